"""`holdfast delete`: undeploy a function."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, say

_EXAMPLES: Final = """\b
Example:
  holdfast delete account
"""


@click.command("delete", epilog=_EXAMPLES)
@click.argument("function")
@host_options
@json_option
def command(function: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Undeploy FUNCTION. Its instances keep their storage, and a later deploy finds it again."""
    with open_client(host, token_file) as client:
        answer = client.delete(api_path("functions", function), answers.Undeployment)
    if as_json:
        print_json(answer)
    else:
        say(f"Function '{function}' is undeployed; the storage of its instances is kept.")
