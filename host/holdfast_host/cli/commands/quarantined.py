"""`holdfast quarantined`: what may not run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.operator_answers import Quarantined
from holdfast_host.cli.output import json_option, print_json, say

_EXAMPLES: Final = """\b
Example:
  holdfast quarantined
"""
_WHAT: Final = {"handler": "its fetch handler", "version": "all of it"}


@click.command("quarantined", epilog=_EXAMPLES)
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def command(limit: int | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """List what may not run for having killed workers again and again: functions, then instances by type and name.

    One line each, as they come: when it last killed a worker, its function and version, and what it is. With --json one
    JSON document a line. 'holdfast release' and a new version let it run again.
    """
    with open_client(host, token_file) as client:
        for each in client.rows("/v1/quarantined", "quarantined", Quarantined, {}, limit):
            if as_json:
                print_json(each)
                continue
            what = _WHAT.get(each["what"]) or f"{each.get('type')}/{each.get('name')}"
            say(f"{each['died_at']}  {each['function']} version {each['version']}  {what}")
