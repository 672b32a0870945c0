"""`holdfast inspect`: one instance from outside."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path, with_query
from holdfast_host.cli.client import HostClient
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import counted, json_option, print_json, readable_json, say

_EXAMPLES: Final = """\b
Examples:
  holdfast inspect Account alice
  holdfast inspect Room lobby --prefix message: --limit 1000 --full
"""
_VALUE_CHARS_MAX: Final = 200


@click.command("inspect", epilog=_EXAMPLES)
@instance_arguments
@click.option("--prefix", default="", help="Only keys that begin with this.")
@click.option("--start", help="Begin at this key.")
@click.option("--after", help="Begin after this key.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many keys.")
@click.option("--full", is_flag=True, help="Show long values whole.")
@host_options
@json_option
def command(
    actor_type: str,
    name: str,
    prefix: str,
    start: str | None,
    after: str | None,
    limit: int,
    full: bool,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Show the instance NAME of TYPE: whether it is in memory, may run, its alarm, its keys and values.

    It shows what is durable; looking wakes nobody up. Long values are cut, with --full and --json they are whole.
    """
    if after is not None:
        if start is not None:
            raise click.UsageError("--start and --after are both given: one of them says where to begin.")
        start = f"{after}\0"
    with open_client(host, token_file) as client:
        facts, page = _read(client, actor_type, name, prefix, start, limit)
    if as_json:
        print_json({**facts, **page})
        return
    say(f"{actor_type}/{name}")
    say(f"  {'active' if facts['active'] else 'not in memory'}, {_waiting(facts['queued'])}")
    if facts["quarantined"]:
        say("  quarantined: it killed workers again and again; 'holdfast release' lets it run again")
    say(f"  version  {facts['version']}")
    say(f"  alarm    {_alarm(facts['alarm'])}")
    say(f"  storage  {counted(facts['keys'], 'key')}, {counted(facts['bytes'], 'byte')}")
    if facts.get("apart_bytes"):
        say(f"  apart    {counted(facts['apart_bytes'], 'byte')}, of answers under idempotency keys, jobs and sockets")
    if facts.get("jobs"):
        say(f"  jobs     {counted(facts['jobs'], 'job')}: 'holdfast job list --of {actor_type} {name}' lists them")
    cut = False
    for entry in page["entries"]:
        text = readable_json(entry.get("value", entry.get("raw")))
        if len(text) > _VALUE_CHARS_MAX and not full:
            text, cut = f"{text[:_VALUE_CHARS_MAX]} ... ({len(text):,} characters)", True
        say(f"    {readable_json(entry['key'])[1:-1]} = {text}")
    if cut:
        say("  long values are cut: --full shows them whole, 'holdfast storage get' shows one")
    if page["next"] is not None:
        say(f"  more: {_onwards(page['next'])}")


def _onwards(following: str) -> str:
    """The option that shows the next page. A key that ends in NUL, which no command line can hold, comes after one."""
    if following.endswith("\0"):
        return f"--after {quote(following[:-1])}"
    return f"--start {quote(following)}"


def _waiting(turns: int) -> str:
    return f"{counted(turns, 'turn')} {'waits' if turns == 1 else 'wait'}"


def _alarm(alarm: answers.Alarm | None) -> str:
    if alarm is None:
        return "none"
    retries = f", {counted(alarm['retry_count'], 'retry')}" if alarm["retry_count"] else ""
    error = f", last error: {alarm['last_error']}" if alarm["last_error"] else ""
    return f"{alarm['state']}, due {alarm['due']}{retries}{error}"


def _read(
    client: HostClient, actor_type: str, name: str, prefix: str, start: str | None, limit: int
) -> tuple[answers.Inspected, answers.StoragePage]:
    path = instance_path(actor_type, name)
    asked = {"prefix": prefix, "limit": str(limit), **({} if start is None else {"start": start})}
    return client.get(f"{path}?count=true", answers.Inspected), client.get(
        with_query(f"{path}/storage", asked), answers.StoragePage
    )
