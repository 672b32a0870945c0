"""`holdfast list`: what is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from holdfast_host.cli.client import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, print_table

_EXAMPLES: Final = """\b
Example:
  holdfast list
"""


@click.command("list", epilog=_EXAMPLES)
@host_options
@json_option
def command(host: str, token_file: Path | None, as_json: bool) -> None:
    """List the deployed functions with their actor types and URLs."""
    with open_client(host, token_file) as client:
        answer = client.get("/v1/functions")
    functions: list[dict[str, Any]] = answer["functions"] if isinstance(answer, dict) else answer
    if as_json:
        print_json(functions)
    elif not functions:
        click.echo("Nothing is deployed: run 'holdfast deploy' in a project.")
    else:
        print_table(
            ("function", "version", "status", "actors", "url"),
            [_row(function) for function in functions],
        )


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    actors = ", ".join(
        actor["type"] if actor.get("owner", True) else f"{actor['type']} (shared)" for actor in function["actors"]
    )
    return (function["name"], str(function["version"]), function["status"], actors, function["url"])
