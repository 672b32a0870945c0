"""`holdfast audit`: what was changed through the management API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import with_query
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.commands.logs import read_since
from holdfast_host.cli.follow_numbered import follow_numbered
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.operator_answers import AuditEntry
from holdfast_host.cli.output import json_option, print_json, say_labelled

_EXAMPLES: Final = """\b
Examples:
  holdfast audit
  holdfast audit --since 1d
  holdfast audit -f --json
"""


@click.command("audit", epilog=_EXAMPLES)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until Ctrl-C, also when the host starts anew.")
@click.option(
    "--since",
    metavar="TIME",
    callback=read_since,
    help="Only changes from then on: 90s, 10m, 2h or 1d ago, a date and time, or seconds since 1970.",
)
@host_options
@json_option
def command(follows: bool, since: str | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """Show each change through the management API: when, who, from where, what, and what became of it.

    Each change has two lines in the log, which --json shows: one before it begins, one with its outcome. Shown for
    people is the second one, and the first one where there is no second. A tenant sees the changes of its own.
    """
    oldest = 0.0 if since is None else float(since)
    begun: dict[int, AuditEntry] = {}
    with open_client(host, token_file) as client:
        for entry in follow_audit(client, time.sleep) if follows else client.lines("/v1/audit", AuditEntry):
            if oldest and _time_of(entry) < oldest:
                continue
            if as_json:
                print_json(entry)
            elif entry["event"] == "begun":
                begun[entry["number"]] = entry
            else:
                begun.pop(entry.get("begun", 0), None)
                _show(entry)
    for entry in begun.values():
        _show(entry)


def follow_audit(client: HostClient, pause: Callable[[float], None]) -> Iterator[AuditEntry]:
    """Each line once, without end; what a host that is away writes meanwhile comes when it is back."""
    after = 0

    def read_on() -> Iterator[AuditEntry]:
        nonlocal after
        for entry in client.lines(with_query("/v1/audit", {"after": str(after), "follow": "true"}), AuditEntry):
            after = entry["number"]
            yield entry

    return follow_numbered(client, read_on, pause)


def _time_of(entry: AuditEntry) -> float:
    """When it was written, in seconds since 1970; of a damaged line, now."""
    try:
        return datetime.fromisoformat(entry["at"]).timestamp()
    except ValueError:
        return time.time()


def _show(entry: AuditEntry) -> None:
    """Print `2026-11-30T12:00:00Z ci k3fq7wz2ab from 192.0.2.1 | setSecret /v1/secrets/KEY: 200`."""
    who = " ".join(filter(None, (entry.get("name"), entry.get("token"))))
    outcome = "outcome unknown" if entry.get("status") is None else str(entry.get("status"))
    outcome = " ".join(filter(None, (outcome, entry.get("error"))))
    say_labelled(
        f"{entry['at']} {who} from {entry.get('client', '')}",
        f"{entry.get('what', entry['event'])} {entry.get('object', '')}: {outcome}",
        colour="red" if entry.get("error") else None,
    )
