"""`holdfast actors`: what can be called."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.build.parameters import parameters_text
from holdfast_host.cli import answers
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, say

_EXAMPLES: Final = """\b
Example:
  holdfast actors
"""


@click.command("actors", epilog=_EXAMPLES)
@host_options
@json_option
def command(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the deployed actor types, each with its function, the version that runs, and its methods."""
    with open_client(host, token_file) as client:
        actors = client.get("/v1/actors", answers.ActorTypes)["actors"]
    if as_json:
        print_json(actors)
        return
    if not actors:
        say("No actor type is deployed: run 'holdfast deploy' in a project.")
    for each in actors:
        say(f"{each['type']}  ({each['function']}, version {each['version']})")
        for method in each["methods"]:
            summary = method["doc"].strip().partition("\n")[0]
            takes = method["signature"] or parameters_text(method.get("parameters", ()))
            say(f"    {method['name']}{takes}" + (f"  {summary}" if summary else ""))
