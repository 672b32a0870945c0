"""`holdfast sockets`: which sockets an instance has, and closing one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.output import json_option, print_json, say, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast sockets Room lobby
  holdfast sockets Room lobby --close 0000000100000007
"""


@click.command("sockets", epilog=_EXAMPLES)
@instance_arguments
@click.option("--close", "closed", metavar="ID", help="Close this one instead.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.  [default: all]")
@host_options
@json_option
def command(
    actor_type: str,
    name: str,
    closed: str | None,
    limit: int | None,
    host: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """List the sockets of an instance: id, when it was opened, its kind, its tags, what is attached to it.

    One line each, as they come. With --json one JSON document a line.
    """
    with open_client(host, token_file) as client:
        if closed is not None:
            answer = client.delete(instance_path(actor_type, name, "sockets", closed), answers.ClosedSocket)
            tell(answer, f"The socket {closed} of {actor_type}/{name} is closed.", as_json)
            return
        for each in client.rows(instance_path(actor_type, name, "sockets"), "sockets", answers.ListedSocket, {}, limit):
            if as_json:
                print_json(each)
                continue
            tags = f"  {', '.join(each['tags'])}" if each["tags"] else ""
            attached = each.get("attachment")
            attachment = "" if attached is None else f"  {json.dumps(attached, ensure_ascii=False)}"
            say(f"{each['id']}  {each['opened_at']}  {each['kind']:<9}{tags}{attachment}")
