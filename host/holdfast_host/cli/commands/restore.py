"""`holdfast restore`: a data directory from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.output import CommandFailedError, Stages, counted, json_option, say, tell
from holdfast_host.supervisor.directory.restoring import BackupError, restore_backup
from holdfast_host.supervisor.verification import verify_directory

_EXAMPLES: Final = """\b
Examples:
  holdfast restore holdfast-2026-12-01.tar /var/lib/holdfast
  holdfast restore holdfast.tar /var/lib/holdfast --key-file secrets-key
"""


@click.command("restore", epilog=_EXAMPLES)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="KEY",
    help="The key of the secrets, for a backup without it: secrets/key of the data directory that it was taken of.",
)
@json_option
def command(file: Path, directory: Path, key_file: Path | None, as_json: bool) -> None:
    """Make the data directory DIR, which must be empty or not there, from the backup FILE.

    Each file is compared with its checksum, and then all of it is looked at as 'holdfast verify' does. Stop the host
    that the backup was taken of before you start one on DIR: both would run the same alarms and jobs.
    """
    try:
        with Stages(quiet=as_json) as stages:
            stages.begin("Restoring")
            facts = restore_backup(file, directory, key_file)
            stages.begin("Verifying")
            faults = [fault for finding in verify_directory(directory) for fault in finding.faults]
    except BackupError as error:
        raise CommandFailedError(f"Nothing was restored: {error}") from None
    for fault in faults:
        say(f"  {fault}", err=True)
    if faults:
        raise CommandFailedError(f"{directory} was restored, and is not well: {counted(len(faults), 'fault')}.")
    answer = {"directory": str(directory), "files": facts.files, "created_at": facts.created_at}
    tell(answer, f"{directory}: as of {facts.created_at}. Start it with: holdfast serve --data {directory}", as_json)
