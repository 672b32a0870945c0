"""`holdfast restore`: a data directory from a backup, or from an archive as of any moment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from holdfast_host.cli.archive_place import ARCHIVE_PLACE, refuse_place_in_bucket
from holdfast_host.cli.commands.logs import read_since
from holdfast_host.cli.output import CommandFailedError, Stages, counted, json_option, say, tell
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.supervisor.directory.restoring import BackupError, restore_backup
from holdfast_host.supervisor.verification import verify_directory

if TYPE_CHECKING:
    from holdfast_host.supervisor.archive.restoring import Moment

_GROUP: Final = re.compile(r"(?:(\d{1,3}):)?(\d{1,18})", re.ASCII)
_EXAMPLES: Final = """\b
Examples:
  holdfast restore holdfast-2026-12-01.tar /var/lib/holdfast
  holdfast restore holdfast.tar /var/lib/holdfast --key-file secrets-key
  holdfast restore --from /mnt/archive --at 2026-12-01T12:30:00+00:00 /var/lib/holdfast
  holdfast restore --from /mnt/archive --at 10m --key-file secrets-key /var/lib/holdfast
  holdfast restore --from s3://backups/holdfast /var/lib/holdfast
"""


@click.command("restore", epilog=_EXAMPLES)
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path), required=False)
@click.option(
    "--from",
    "archive",
    type=ARCHIVE_PLACE,
    metavar="ARCHIVE",
    help="The folder or bucket of 'holdfast serve --archive', in place of FILE.",
)
@click.option(
    "--at",
    metavar="TIME",
    callback=read_since,
    help="With --from: the moment, as 90s, 10m, 2h or 1d ago, a date and time, or seconds since 1970.  [default: the "
    "last one]",
)
@click.option(
    "--group",
    metavar="N",
    help="With --from: the moment of that commit, which 'holdfast changes' shows; P:N where there are several "
    "partitions.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="KEY",
    help="The key of the secrets, for a backup without it: secrets/key of the data directory that it was taken of.",
)
@json_option
def command(
    file: Path,
    directory: Path | None,
    archive: Path | str | None,
    at: str | None,
    group: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Make the data directory DIR, which must be empty or not there, from the backup FILE, or from an archive.

    Each file is compared with its checksum, and then all of it is looked at as 'holdfast verify' does. Stop the host
    that the backup was taken of before you start one on DIR: both would run the same alarms and jobs.
    """
    if archive is None and (at is not None or group is not None):
        raise click.UsageError("--at and --group are for an archive: give --from too.")
    if (archive is None) == (directory is None):
        raise click.UsageError("Name a backup's FILE and DIR, or --from ARCHIVE and DIR.")
    if at is not None and group is not None:
        raise click.UsageError("--at and --group each name a moment: leave one of them out.")
    made = directory or file
    refuse_place_in_bucket(made, "DIR")
    refuse_place_in_bucket(file, "FILE")
    try:
        with Stages(quiet=as_json) as stages:
            stages.begin("Restoring")
            if archive is None:
                backup = restore_backup(file, made, key_file)
                answer = {"directory": str(made), "files": backup.files, "created_at": backup.created_at}
                when = backup.created_at
            else:
                answer, when = _from_archive(archive, made, at, group, key_file)
            stages.begin("Verifying")
            faults = [fault for finding in verify_directory(made) for fault in finding.faults]
    except BackupError as error:
        raise CommandFailedError(f"Nothing was restored: {error}") from None
    for fault in faults:
        say(f"  {fault}", err=True)
    if faults:
        raise CommandFailedError(f"{made} was restored, and is not well: {counted(len(faults), 'fault')}.")
    tell(answer, f"{made}: as of {when}. Start it with: holdfast serve --data {made}", as_json)


def _from_archive(
    archive: Path | str, made: Path, at: str | None, group: str | None, key_file: Path | None
) -> tuple[dict[str, object], str]:
    from holdfast_host.storage.archive.roots import archive_root
    from holdfast_host.supervisor.archive.restoring import restore_archive

    try:
        root = archive_root(archive)
    except ConfigurationError as error:
        raise BackupError(f"{error.message}.") from error
    facts = restore_archive(root, made, _moment(at, group), key_file)
    return {"directory": str(made), "at": facts.at, "base_at": facts.base_at, "commits": facts.commits}, facts.at


def _moment(at: str | None, group: str | None) -> Moment:
    from holdfast_host.supervisor.archive.restoring import Moment

    if group is None:
        return Moment(None if at is None else round(float(at) * 1e6))
    found = _GROUP.fullmatch(group)
    if found is None:
        raise click.BadParameter(f"--group {group!r} is no commit: write N, or P:N for one of partition P")
    return Moment(partition=int(found[1] or 0), group=int(found[2]))
