"""`holdfast erase`: all that one instance has stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import CommandFailedError, confirm, json_option, tell

_EXAMPLES: Final = """\b
Example:
  holdfast erase Account alice --yes
"""


@click.command("erase", epilog=_EXAMPLES)
@instance_arguments
@click.option("--yes", is_flag=True, help="Do not ask.")
@host_options
@json_option
def command(actor_type: str, name: str, yes: bool, host: str, token_file: Path | None, as_json: bool) -> None:
    """Delete all that the instance NAME of TYPE has, for good: keys, alarm, jobs, kept answers, sockets.

    It is a turn like any other. The sockets are closed, and the instance hears nothing of that.
    """
    label = f"{actor_type}/{name}"
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailedError(f"Erasing deletes all that {label} has stored, for good: say so with --yes.")
        confirm(f"Delete all that {label} has stored, for good?")
    with open_client(host, token_file) as client:
        answer = client.delete(instance_path(actor_type, name), answers.Deleted)
    tell(answer, f"{label} {'is erased' if answer['deleted'] else 'had nothing stored'}.", as_json)
