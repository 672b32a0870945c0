"""`holdfast instances`: which instances of a type there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from holdfast_host.cli.client import HostClient, host_options, open_client
from holdfast_host.cli.output import json_option, print_json

_EXAMPLES: Final = """\b
Examples:
  holdfast instances Account
  holdfast instances Room --prefix tenant-7: --limit 20
"""
PAGE_ENTRIES: Final = 1000


@click.command("instances", epilog=_EXAMPLES)
@click.argument("actor_type", metavar="TYPE")
@click.option("--prefix", default="", help="Only names that begin with this.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def command(actor_type: str, prefix: str, limit: int | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """List the instances of TYPE that have something stored or an alarm, in the order of their names.

    One line each, as they come: bytes stored, name. With --json one JSON document a line.
    """
    with open_client(host, token_file) as client:
        for instance in read_instances(client, actor_type, prefix, limit):
            if as_json:
                print_json(instance)
            else:
                click.echo(f"{instance['bytes']:>12,}  {_printable(instance['name'])}")


def read_instances(client: HostClient, actor_type: str, prefix: str, limit: int | None) -> Iterator[dict[str, Any]]:
    """Page by page, so that a million takes no more memory than a thousand."""
    left, cursor = limit, None
    while left is None or left > 0:
        asked = {"prefix": prefix, "limit": str(PAGE_ENTRIES if left is None else min(left, PAGE_ENTRIES))}
        if cursor is not None:
            asked["cursor"] = cursor
        page = client.get(f"/v1/instances/{quote(actor_type, safe='')}?{urlencode(asked)}")
        yield from page["instances"]
        cursor = page["cursor"]
        if cursor is None:
            return
        if left is not None:
            left -= len(page["instances"])


def _printable(name: str) -> str:
    """The name, its control characters escaped: a name is any text, a terminal is not to obey it."""
    return name if name.isprintable() else ascii(name)[1:-1]
