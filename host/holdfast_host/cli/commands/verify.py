"""`holdfast verify`: everything of a data directory, looked at while no host runs in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from holdfast_host.cli.output import CommandFailedError, counted, json_option, print_json, say
from holdfast_host.supervisor.verification import Finding, verify_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXAMPLES: Final = """\b
Examples:
  holdfast verify /var/lib/holdfast
  holdfast verify holdfast-data --json
"""


@click.command("verify", epilog=_EXAMPLES)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Read the whole data directory DIR, in which no host runs, and say what is wrong.

    Looked at are the registry, the hash of each component, the secrets, and every row of every partition: whose it is,
    that what leads to it is there, and that sums and counts agree. With --json one JSON document a line. The exit code
    is 1 where something is wrong.
    """
    wrong = 0
    for finding in verify_directory(directory):
        wrong += finding.faults_count
        if as_json:
            print_json(_facts(finding))
            continue
        said = ", ".join(counted(count, name.removesuffix("s")) for name, count in _shown(finding))
        say(f"{finding.what}: {said or 'nothing yet'}" if not finding.faults else f"{finding.what}: damaged")
        for fault in finding.faults:
            say(f"  {fault}")
        if (more := finding.faults_count - len(finding.faults)) > 0:
            say(f"  and {more} more")
    if wrong:
        raise CommandFailedError(
            f"{directory} is damaged: {counted(wrong, 'fault')}. Keep a copy before you do anything else."
        )
    if not as_json:
        say("All is well.")


def _shown(finding: Finding) -> list[tuple[str, int]]:
    return [(name, count) for name, count in finding.counts.items() if count or name in {"instances", "functions"}]


def _facts(finding: Finding) -> Mapping[str, object]:
    return {
        "what": finding.what,
        "counts": finding.counts,
        "faults": finding.faults,
        "faults_count": finding.faults_count,
    }
