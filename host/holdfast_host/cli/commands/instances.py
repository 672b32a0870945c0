"""`holdfast instances`: which instances of a type there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, say

_EXAMPLES: Final = """\b
Examples:
  holdfast instances Account
  holdfast instances Room --prefix tenant-7: --limit 20
"""


@click.command("instances", epilog=_EXAMPLES)
@click.argument("actor_type", metavar="TYPE")
@click.option("--prefix", default="", help="Only names that begin with this.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def command(actor_type: str, prefix: str, limit: int | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """List the instances of TYPE that have anything: keys, alarm, jobs, kept answers, sockets; in the order of names.

    One line each, as they come: bytes of keys and values, name. With --json one JSON document a line.
    """
    with open_client(host, token_file) as client:
        path = api_path("instances", actor_type)
        for instance in client.rows(path, "instances", answers.ListedInstance, {"prefix": prefix}, limit):
            if as_json:
                print_json(instance)
            else:
                say(f"{instance['bytes']:>12,}  {instance['name']}")
