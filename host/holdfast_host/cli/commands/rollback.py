"""`holdfast rollback`: run a version again that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import CommandFailedError, json_option, tell
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.project_manifest import read_manifest

_EXAMPLES: Final = """\b
Examples:
  holdfast rollback                   # the project in this directory, to the version before
  holdfast rollback account
  holdfast rollback account --to 3
  holdfast rollback account --preview # what it would break; changes nothing
"""


@click.command("rollback", epilog=_EXAMPLES)
@click.argument("function", required=False)
@click.option("--to", "version", type=click.IntRange(min=1), metavar="N", help="The version; else the one before.")
@click.option("--preview", is_flag=True, help="Say what it would break, and change nothing.")
@host_options
@json_option
def command(
    function: str | None, version: int | None, preview: bool, host: str, token_file: Path | None, as_json: bool
) -> None:
    """Run an earlier version of FUNCTION (the project in this directory, by default) again, at once."""
    name = function or _function_here()
    path = api_path("functions", name, "rollback")
    with open_client(host, token_file) as client:
        if preview:
            found = client.get(path if version is None else f"{path}?version={version}", answers.RollbackPreview)
            tell(found, _previewed(name, found), as_json)
            return
        answer = client.post(path, {} if version is None else {"version": version}, answers.RunningFunction)
    tell(answer, f"Function '{name}' runs version {answer['version']} again: {answer['url']}", as_json)


def _previewed(name: str, found: answers.RollbackPreview) -> str:
    which = f"version {found['version']} of '{name}'"
    if found["refused"] is not None:
        return f"A rollback to {which} would be refused: {found['refused']}"
    if not found["breaks"]:
        return f"A rollback to {which} breaks nothing that is relied on."
    return "\n".join((f"A rollback to {which} breaks what relies on it:", *(f"- {each}" for each in found["breaks"])))


def _function_here() -> str:
    try:
        return read_manifest(Path()).name
    except HoldfastError as error:
        raise CommandFailedError(f"{error.message}: name the function.") from None
