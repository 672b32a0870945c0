"""`holdfast changes`: what was committed, in order, from the archive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import with_query
from holdfast_host.cli.change_answers import Change
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.follow_numbered import follow_numbered
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, say_labelled

_EXAMPLES: Final = """\b
Examples:
  holdfast changes --type Account
  holdfast changes --after 12.3 -f --json
"""


@click.command("changes", epilog=_EXAMPLES)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until Ctrl-C, also when the host starts anew.")
@click.option("--type", "actor_type", metavar="TYPE", help="Only changes of this type's instances.")
@click.option("--after", metavar="POSITION", help="Only what follows: the position of a line, or now.")
@host_options
@json_option
def command(
    follows: bool, actor_type: str | None, after: str | None, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Show what was committed, turn by turn and in order: what each instance put and deleted, and its alarm.

    It is read from the archive of 'holdfast serve --archive', and begins with that. --json shows each line as the API
    does; who keeps the last position goes on behind it.
    """
    asked = {key: value for key, value in (("type", actor_type), ("after", after)) if value is not None}
    with open_client(host, token_file) as client:
        lines = follow_changes(client, asked, time.sleep) if follows else _read(client, asked)
        for line in lines:
            if as_json:
                print_json(line)
            else:
                _show(line)


def _read(client: HostClient, asked: dict[str, str]) -> Iterator[Change]:
    return client.lines(with_query("/v1/changes", asked), Change)


def follow_changes(client: HostClient, asked: dict[str, str], pause: Callable[[float], None]) -> Iterator[Change]:
    """Each line once, without end; what is committed while the host is away comes when it is back."""

    def read_on() -> Iterator[Change]:
        for line in _read(client, {**asked, "follow": "true"}):
            asked["after"] = line["position"]
            yield line

    return follow_numbered(client, read_on, pause)


def _show(line: Change) -> None:
    """Print `12.3 2026-11-30T12:00:00.5Z Account/alice | balance = 70`."""
    if gap := line.get("gap"):
        text = f"what partition {gap['partition']} committed before {gap['to']} is not all here"
        say_labelled(line["position"], text, colour="red")
        return
    if "type" not in line:
        say_labelled(line["position"], "from here on")
        return
    parts = ["all keys cleared"] if line.get("cleared") else []
    parts += ["replaced by an import"] if line.get("imported") else []
    parts += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in line.get("put", {}).items()]
    parts += [f"{key} = {value!r}" for key, value in line.get("raw", {}).items()]
    parts += [f"{key} deleted" for key in line.get("deleted", [])]
    if "alarm" in line:
        parts.append("no alarm" if line["alarm"] is None else f"alarm at {line['alarm']}")
    label = f"{line['position']} {line.get('at')} {line.get('type')}/{line.get('name')}"
    say_labelled(label, ", ".join(parts))
