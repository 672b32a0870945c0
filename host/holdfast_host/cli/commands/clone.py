"""`holdfast clone`: an instance under another name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.imported import said_of
from holdfast_host.cli.output import json_option, tell

_EXAMPLES: Final = """\b
Example:
  holdfast clone Account alice alice-copy
"""


@click.command("clone", epilog=_EXAMPLES)
@instance_arguments
@click.argument("new")
@click.option("--replace", is_flag=True, help="Also where NEW has something stored: all of that goes.")
@host_options
@json_option
def command(
    actor_type: str, name: str, new: str, replace: bool, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Make the instance NEW of TYPE what NAME is now: keys, alarm, and the jobs that it runs itself.

    Calls and requests that NAME has left to the host stay its own: they take effect once. So do its sockets.
    """
    with open_client(host, token_file) as client:
        asked = {"name": new, "replace": replace}
        answer = client.post(instance_path(actor_type, name, "clone"), asked, answers.Imported)
    tell(answer, said_of(answer), as_json)
