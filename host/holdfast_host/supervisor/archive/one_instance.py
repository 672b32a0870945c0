"""`python -m holdfast_host.supervisor.archive.one_instance`: what one instance had stored at a moment, into a file.

A process of its own, for it takes processor time and opens a partition: the one that the instance lies in, as the base
before the moment has it, in a folder that is removed again. Its standard output is one JSON object: `at`, or `error`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import Limits
from holdfast_host.storage.archive.frames import ArchiveError, read_about
from holdfast_host.storage.archive.keys_file import write_pairs
from holdfast_host.storage.archive.roots import ArchiveRoot, archive_root
from holdfast_host.storage.data_directory import partition_path
from holdfast_host.storage.lmdb.replay import Replay, ReplayError
from holdfast_host.supervisor.archive.restoring import (
    Moment,
    belongs,
    exact_text,
    find_base,
    frames_behind,
    restore_file,
)


def write_keys(root: ArchiveRoot, scratch: Path, type_id: int, name: bytes, at_us: int) -> None:
    """Write `scratch/keys`, as `read_pairs` reads it.

    Raises:
        ArchiveError, ReplayError, ConfigurationError, OSError: the archive does not have the moment, or is damaged.
    """
    if not read_about(root):
        raise ArchiveError("it is gone")
    moment = Moment(at_us)
    _, base = find_base(root, moment)
    partition = partition_of(type_id, name, base.partitions)
    part = f"parts/{partition:02d}/data.mdb"
    if part in base.files:
        _check_room(scratch, base.files[part][0])
        restore_file(root, base, part, scratch)
    path = partition_path(scratch, partition)
    path.parent.mkdir(exist_ok=True)
    replay = Replay.open({partition: path}, base.partitions)
    try:
        for frame in frames_behind(root, base, at_us):
            for number, record in frame.records() if frame.head.kind == "records" else ():
                if number == partition and belongs(number, record, at_us, moment):
                    replay.apply(number, record, only=(type_id, name))
        replay.flush()
        write_pairs(scratch / "keys", replay.keys_of(type_id, name))
    finally:
        replay.close()


def _check_room(scratch: Path, size: int) -> None:
    """A copy beside a host that runs leaves it the space that its commits need."""
    free, reserve = shutil.disk_usage(scratch).free, Limits().disk_reserve_bytes
    if free < size + reserve:
        raise ArchiveError(
            f"a copy of {size} bytes is made of the partition that the instance lies in, and {scratch.parent} has "
            f"{free} bytes free, of which {reserve} are kept: make room"
        )


def main() -> None:
    """Do it; the arguments are those of `write_keys`, the name in hex."""
    root, scratch, type_id, name, at_us = sys.argv[1:]
    try:
        write_keys(archive_root(root), Path(scratch), int(type_id), bytes.fromhex(name), int(at_us))
        said = {"at": exact_text(int(at_us))}
    except (ArchiveError, ReplayError) as error:
        said = {"error": str(error)}
    except ConfigurationError as error:
        said = {"error": error.message}
    except OSError as error:
        said = {"error": f"{error.filename} cannot be read or written: {error.strerror}"}
    finally:
        shutil.rmtree(Path(scratch) / "parts", ignore_errors=True)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
