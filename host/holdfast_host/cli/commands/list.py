"""`holdfast list`: what is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path
from holdfast_host.cli.host_options import host_options, open_client
from holdfast_host.cli.output import json_option, print_json, print_table, say
from holdfast_host.core.limits import MIB

_EXAMPLES: Final = """\b
Examples:
  holdfast list
  holdfast list account               # its versions
"""


@click.command("list", epilog=_EXAMPLES)
@click.argument("function", required=False)
@host_options
@json_option
def command(function: str | None, host: str, token_file: Path | None, as_json: bool) -> None:
    """List the deployed functions with their actor types and URLs, or the versions of FUNCTION that are kept."""
    with open_client(host, token_file) as client:
        if function is not None:
            _print_versions(client.get(api_path("functions", function), answers.KeptVersions), as_json)
            return
        functions = client.get("/v1/functions", answers.Functions)["functions"]
    if as_json:
        print_json(functions)
    elif not functions:
        say("Nothing is deployed: run 'holdfast deploy' in a project.")
    else:
        print_table(
            ("function", "version", "kept", "disk", "status", "actors", "url"),
            [_row(function) for function in functions],
        )


def _row(function: answers.ListedFunction) -> tuple[str, ...]:
    actors = ", ".join(map(_actor, function["actors"]))
    kept = [each["version"] for each in function["versions"]]
    span = str(kept[0]) if len(kept) == 1 else f"{min(kept)}-{max(kept)}"
    status = f"failed: {function.get('reason')}" if function["status"] == "failed" else function["status"]
    return (function["name"], str(function["version"]), span, _mib(function), status, actors, function["url"])


def _actor(binding: answers.Binding) -> str:
    if binding.get("owner", True):
        return binding["type"]
    return f"{binding['type']} ({'optional' if binding.get('optional') else 'shared'})"


def _print_versions(function: answers.KeptVersions, as_json: bool) -> None:
    """One line for each version that `holdfast rollback` can go to."""
    if as_json:
        print_json(function["versions"])
        return
    rows = [
        (
            str(each["version"]),
            "runs" if each["version"] == function["version"] else "",
            each["created_at"],
            each["sha256"][:12],
            _mib(each),
        )
        for each in function["versions"]
    ]
    print_table(("version", "", "created", "sha256", "disk"), rows)
    say(f"All of them take {_mib(function)} of the host's disk; equal ones share theirs.")


def _mib(facts: answers.ListedFunction | answers.KeptVersions | answers.Version) -> str:
    return f"{facts.get('disk_bytes', 0) / MIB:.1f} MiB"
