"""`holdfast import`: an instance from an export."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import instance_path, with_query
from holdfast_host.cli.host_options import host_options, instance_arguments, open_client
from holdfast_host.cli.imported import said_of
from holdfast_host.cli.output import CommandFailedError, json_option, tell

_EXAMPLES: Final = """\b
Examples:
  holdfast import Account alice alice.ndjson
  holdfast export Account alice --host http://old:8787 | holdfast import Account alice -
"""
_PIECE_BYTES: Final = 1 << 16


@click.command("import", epilog=_EXAMPLES)
@instance_arguments
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--replace", is_flag=True, help="Also where NAME has something stored: all of that goes.")
@host_options
@json_option
def command(
    actor_type: str, name: str, file: Path, replace: bool, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Make the instance NAME of TYPE what FILE, an export, says; - is stdin.

    It is one turn: until it has ended nobody sees anything of it, and one that fails changes nothing. Calls, requests
    and sockets of the instance that was exported stay its own.
    """
    path = with_query(instance_path(actor_type, name, "import"), {"replace": "true"} if replace else {})
    try:
        with open_client(host, token_file) as client:
            answer = client.upload_lines(path, _pieces(file), answers.Imported)
    except OSError as error:
        raise CommandFailedError(f"{file} cannot be read: {error.strerror}.") from None
    tell(answer, said_of(answer), as_json)


def _pieces(file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        yield from iter(lambda: sys.stdin.buffer.read(_PIECE_BYTES), b"")
        return
    with file.open("rb") as opened:
        yield from iter(lambda: opened.read(_PIECE_BYTES), b"")
