"""`holdfast undeployed`: what is left of functions that are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, print_table, say

_EXAMPLES: Final = """\b
Example:
  holdfast undeployed
"""


@click.command("undeployed", epilog=_EXAMPLES)
@host_options
@json_option
def command(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the actor types that no deployed version ships and of which there still are instances.

    Each stays reserved to the function that it belonged to. Deploy that again to get at its instances, or let another
    function take the type over with 'holdfast deploy --adopt'.
    """
    with open_client(host, token_file) as client:
        actors = client.get("/v1/undeployed", answers.UndeployedTypes)["actors"]
    if as_json:
        print_json(actors)
    elif not actors:
        say("Nothing: all types that have storage are deployed.")
    else:
        rows = [(each["type"], each["function"], each["func_id"]) for each in actors]
        print_table(("type", "function", "func_id"), rows)
