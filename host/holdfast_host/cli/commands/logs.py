"""`holdfast logs`: what instances and functions print."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import with_query
from holdfast_host.cli.follow_logs import follow
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.operator_answers import LogLine
from holdfast_host.cli.output import json_option, print_json, say, say_labelled
from holdfast_host.core.log_levels import LEVELS

_EXAMPLES: Final = """\b
Examples:
  holdfast logs
  holdfast logs -f --type Account --name alice
  holdfast logs --since 10m --level warning
"""
_COLOURS: Final = {"error": "red", "warning": "yellow", "stderr": "yellow"}
_AGO: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_since(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """A time as one types it, in seconds since 1970; a time without an offset is this machine's."""
    if text is None or _SECONDS.fullmatch(text):
        return text
    if ago := _AGO.fullmatch(text):
        return f"{max(0.0, time.time() - int(ago[1]) * _UNIT_S[ago[2]]):.6f}"
    try:
        return f"{max(0.0, datetime.fromisoformat(text).timestamp()):.6f}"
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r} is no time: write 10m, 2026-11-01T12:30:00+00:00, or seconds since 1970"
        ) from None


def _notice(text: str) -> None:
    say(text, err=True)


@click.command("logs", epilog=_EXAMPLES)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until Ctrl-C, also when the host starts anew.")
@click.option("--type", "actor_type", metavar="TYPE", help="Only lines of this type's instances.")
@click.option("--name", help="Only lines of the instance of that name.")
@click.option("--function", help="Only lines of this function and its actors.")
@click.option(
    "--since",
    metavar="TIME",
    callback=read_since,
    help="Only lines from then on: 90s, 10m, 2h or 1d ago, a date and time, or seconds since 1970.",
)
@click.option(
    "--level",
    type=click.Choice(list(LEVELS)),
    help="Only lines of this level and above; stdout is info, stderr is warning.",
)
@click.option(
    "-n", "--tail", type=click.IntRange(0, 10_000), help="Only the last so many.  [default: all that are kept]"
)
@host_options
@json_option
def command(
    follows: bool,
    actor_type: str | None,
    name: str | None,
    function: str | None,
    since: str | None,
    level: str | None,
    tail: int | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Show what instances and functions have printed and logged, oldest first."""
    given = {"type": actor_type, "name": name, "function": function, "since": since, "level": level, "tail": tail}
    asked = {key: str(value) for key, value in given.items() if value is not None}
    with open_client(host, token_file) as client:
        path = with_query("/v1/logs", asked)
        for line in follow(client, asked, _notice) if follows else client.lines(path, LogLine):
            if as_json:
                print_json(line)
            else:
                show_line(line)


def show_line(line: LogLine) -> None:
    """Print `12:00:01.250 Account/alice | text`; the lines of a traceback below each other."""
    when = datetime.fromtimestamp(line["time"]).astimezone().isoformat(" ", "milliseconds")[11:23]
    label = f"{line['type']}/{line.get('name')}" if "type" in line else line.get("function", "")
    text = "\n".join(filter(None, (line.get("message"), line.get("backtrace"))))
    say_labelled(f"{when} {label}", text, colour=_COLOURS.get(line.get("level", "")))
