"""`holdfast release`: out of quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path, instance_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast release Account alice      # an instance
  holdfast release account            # a function, whose fetch handler or whose instances killed workers
"""


@click.command("release", epilog=_EXAMPLES)
@click.argument("owner", metavar="TYPE|FUNCTION")
@click.argument("name", required=False)
@host_options
@json_option
def command(owner: str, name: str | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """Let a quarantined instance, NAME of TYPE, or a quarantined FUNCTION run again.

    'holdfast quarantined' lists what killed workers again and again.
    """
    if name is None:
        path, label = api_path("functions", owner), f"The function '{owner}'"
    else:
        path, label = instance_path(owner, name), f"{owner}/{name}"
    with open_client(host, token_file) as client:
        answer = client.post(f"{path}/release", None, answers.Released)
    done = "is released." if answer["released"] else "was not quarantined: nothing is changed."
    tell(answer, f"{label} {done}", as_json)
