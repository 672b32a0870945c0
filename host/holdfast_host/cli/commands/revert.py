"""`holdfast revert`: one instance's keys as they were at a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.change_answers import Reverted
from holdfast_host.cli.commands.logs import read_since
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import counted, json_option, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast revert Account alice --at 10m
  holdfast revert Account alice --at 2026-12-01T12:30:00+00:00
"""


@click.command("revert", epilog=_EXAMPLES)
@instance_arguments
@click.option(
    "--at",
    metavar="TIME",
    required=True,
    callback=read_since,
    help="The moment: 90s, 10m, 2h or 1d ago, a date and time, or seconds since 1970.",
)
@host_options
@json_option
def command(actor_type: str, name: str, at: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Give the instance NAME of TYPE the keys that it had, as a turn of its own; other instances go on meanwhile.

    They are read from the archive of 'holdfast serve --archive'. Its alarm, jobs, sockets and kept answers stay as they
    are, and what other instances did because of it is not undone.
    """
    with open_client(host, token_file) as client:
        answer = client.post(instance_path(actor_type, name, "revert"), {"at": float(at)}, Reverted)
    changed = f"{counted(answer['put'], 'key')} put, {answer['deleted']} deleted"
    tell(answer, f"{actor_type}/{name} is as of {answer['at']}: {changed}.", as_json)
