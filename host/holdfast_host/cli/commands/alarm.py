"""`holdfast alarm`: what instances have set for later."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import counted, json_option, print_json, say, tell

STATES: Final = ("armed", "retrying", "abandoned", "parked")
_EXAMPLES: Final = """\b
Examples:
  holdfast alarm list --state abandoned
  holdfast alarm set Session alice
  holdfast alarm clear Session alice
"""
_LIST_EXAMPLES: Final = """\b
Examples:
  holdfast alarm list
  holdfast alarm list --state abandoned --limit 20
"""
_SET_EXAMPLES: Final = """\b
Examples:
  holdfast alarm set Session alice                             # due at once
  holdfast alarm set Session alice 2026-12-24T18:00:00+01:00
"""
_CLEAR_EXAMPLES: Final = """\b
Example:
  holdfast alarm clear Session alice
"""


@click.group("alarm", epilog=_EXAMPLES)
def command() -> None:
    """List alarms, set and clear that of an instance; 'holdfast inspect' shows one. Setting and clearing are turns."""


@command.command("list", epilog=_LIST_EXAMPLES)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def list_alarms(state: str | None, limit: int | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """List alarms by state: when each is due, its instance, how often it was tried again, its last error.

    With --json one JSON document a line.
    """
    asked = {} if state is None else {"state": state}
    with open_client(host, token_file) as client:
        for each in client.rows("/v1/alarms", "alarms", answers.ListedAlarm, asked, limit):
            if as_json:
                print_json(each)
                continue
            actor_type = each["type"] or f"(undeployed type {each['type_id']})"
            error = f"  {each['last_error']}" if each["last_error"] else ""
            retries = f"  {counted(each['retry_count'], 'retry')}" if each["retry_count"] else ""
            say(f"{each['due']}  {each['state']:<9}  {actor_type}/{each['name']}{retries}{error}")


@command.command("set", epilog=_SET_EXAMPLES)
@instance_arguments
@click.argument("due", required=False)
@host_options
@json_option
def set_alarm(actor_type: str, name: str, due: str | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """Set the alarm of an instance, or arm it again after it was abandoned.

    DUE is a date and time with an offset, or seconds since 1970 (not from now); without it the alarm is due at once.
    """
    with open_client(host, token_file) as client:
        body = {} if due is None else {"due": _meant(due)}
        answer = client.put(instance_path(actor_type, name, "alarm"), body, answers.Alarm)
    tell(answer, f"The alarm of {actor_type}/{name} is due {answer['due']}.", as_json)


@command.command("clear", epilog=_CLEAR_EXAMPLES)
@instance_arguments
@host_options
@json_option
def clear_alarm(actor_type: str, name: str, host: str, token_file: Path | None, as_json: bool) -> None:
    """Clear the alarm of an instance."""
    with open_client(host, token_file) as client:
        answer = client.delete(instance_path(actor_type, name, "alarm"), answers.Deleted)
    tell(answer, f"{actor_type}/{name} has no alarm.", as_json)


def _meant(due: str) -> str | float:
    """A number of seconds as such; what else it is the host says."""
    try:
        seconds = float(due)
    except ValueError:
        return due
    return seconds if math.isfinite(seconds) else due
