"""`holdfast logs`: what instances and functions print."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from holdfast_host.cli.client import host_options, open_client, with_query
from holdfast_host.cli.output import json_option, print_json, say_labelled

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
        for line in client.lines(with_query("/v1/logs", asked)):
            if as_json:
                print_json(line)
            else:
                show_line(line)


def show_line(line: dict[str, Any]) -> None:
    """Print `12:00:01.250 Account/alice | text`; the lines of a traceback below each other."""
    when = datetime.fromtimestamp(line["time"]).astimezone().isoformat(" ", "milliseconds")[11:23]
    label = f"{line['type']}/{line['name']}" if "type" in line else str(line.get("function", ""))
    text = "\n".join(filter(None, (str(line.get("message", "")), str(line.get("backtrace", "")))))
    say_labelled(f"{when} {label}", text, colour=_COLOURS.get(str(line.get("level"))))
