"""`holdfast backup`: everything of a running host, as of one moment, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import with_query
from holdfast_host.cli.archive_place import refuse_place_in_bucket
from holdfast_host.cli.host_options import open_client, whole_host_options
from holdfast_host.cli.output import CommandFailedError, Stages, json_option, tell
from holdfast_host.core.durable_files import fill_durably, move_durably, written_alone
from holdfast_host.supervisor.directory.restoring import BackupError, BackupFacts, read_backup

_EXAMPLES: Final = """\b
Examples:
  holdfast backup holdfast-2026-12-01.tar
  holdfast backup holdfast.tar --with-key
"""


@click.command("backup", epilog=_EXAMPLES)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--with-key", is_flag=True, help="Add the key of the secrets: who has the file can then read them.")
@whole_host_options
@json_option
def command(file: Path, with_key: bool, host: str, token_file: Path | None, as_json: bool) -> None:
    """Write a backup of the running host into FILE: one consistent state of all instances, functions and secrets.

    Calls go on meanwhile. The secrets are sealed: without --with-key they need the file secrets/key of the data
    directory to be read again. FILE is there once it was read back and compared with what the host had.
    """
    refuse_place_in_bucket(file, "FILE")
    if file.exists():
        raise CommandFailedError(f"{file} is there already: name another file, or remove it.")
    draft = file.with_name(f"{file.name}.part")
    try:
        with written_alone(draft) as written:
            try:
                with Stages(quiet=as_json) as stages, open_client(host, token_file) as client:
                    stages.begin("Taking the backup")
                    fill_durably(written, client.stream(with_query("/v1/backup", _query(with_key=with_key))))
                    stages.begin("Reading it back")
                    facts = read_backup(draft)
                move_durably(draft, file)
            finally:
                draft.unlink(missing_ok=True)
    except BackupError as error:
        raise CommandFailedError(f"There is no backup: {error}") from None
    except BlockingIOError:
        raise CommandFailedError(f"Another backup into {file} is under way: wait until it has ended.") from None
    except OSError as error:
        raise CommandFailedError(f"{draft} cannot be written: {error.strerror}.") from None
    tell(_shown(facts, file), f"{file}: {facts.bytes:,} bytes, {facts.files} files, as of {facts.created_at}", as_json)


def _query(*, with_key: bool) -> dict[str, str]:
    return {"with_key": "true"} if with_key else {}


def _shown(facts: BackupFacts, file: Path) -> dict[str, object]:
    return {"file": str(file), "bytes": facts.bytes, "files": facts.files, "created_at": facts.created_at}
