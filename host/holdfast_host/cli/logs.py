"""`holdfast logs`: what instances and functions print."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from holdfast_host.cli.client import host_options, open_client
from holdfast_host.cli.output import json_option, print_json

_EXAMPLES: Final = """\b
Examples:
  holdfast logs
  holdfast logs -f --type Account --name alice
"""
_COLOURS: Final = {"error": "red", "warning": "yellow", "stderr": "yellow"}


@click.command("logs", epilog=_EXAMPLES)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--type", "actor_type", metavar="TYPE", help="Only lines of this type's instances.")
@click.option("--name", help="Only lines of the instance of that name.")
@click.option("--function", help="Only lines of this function and its actors.")
@click.option(
    "-n", "--tail", type=click.IntRange(0, 10_000), help="Only the last so many.  [default: all that are kept]"
)
@host_options
@json_option
def command(
    follow: bool,
    actor_type: str | None,
    name: str | None,
    function: str | None,
    tail: int | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Show what instances and functions have printed and logged, oldest first."""
    given = {"type": actor_type, "name": name, "function": function, "tail": tail}
    asked = {key: str(value) for key, value in given.items() if value is not None}
    if follow:
        asked["follow"] = "true"
    with open_client(host, token_file) as client:
        for line in client.lines(f"/v1/logs?{urlencode(asked)}"):
            if as_json:
                print_json(line)
            else:
                click.echo(readable_line(line))


def readable_line(line: dict[str, Any]) -> str:
    """`12:00:01.250 Account/alice | text`; the lines of a traceback below each other."""
    when = datetime.fromtimestamp(line["time"]).astimezone().isoformat(" ", "milliseconds")[11:23]
    label = f"{line['type']}/{line['name']}" if "type" in line else str(line.get("function", ""))
    label = label if label.isprintable() else ascii(label)[1:-1]
    text = "\n".join(filter(None, (str(line.get("message", "")), str(line.get("backtrace", "")))))
    colour = _COLOURS.get(str(line.get("level")))
    head = click.style(f"{when} {label} |", dim=True)
    return "\n".join(f"{head} {click.style(_printable(each), fg=colour)}" for each in text.splitlines() or [""])


def _printable(text: str) -> str:
    """A guest's text without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in text)
