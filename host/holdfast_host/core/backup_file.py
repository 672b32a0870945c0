"""The file that `holdfast backup` writes: a tar archive of a data directory, with the first and the last word of ours.

`holdfast-backup.json` comes first: `format`, `holdfast` (the release), `created_us`, `partitions`, `with_key`. Then the
files under their names in the data directory, without `compiled/` and `logs/`, which are made again. `checksums.json`
comes last: size and SHA-256 of each of them by name. A backup that broke off has none; one that could not be made
ends with `failed.json` instead, an error as the API shows it.
"""

from __future__ import annotations

import re
import tarfile
from typing import Final

FORMAT: Final = 1
HEAD: Final = "holdfast-backup.json"
CHECKSUMS: Final = "checksums.json"
FAILED: Final = "failed.json"
END: Final = bytes(2 * tarfile.BLOCKSIZE)

# Nothing else is written where a backup is restored, whoever wrote it.
_NAME: Final = re.compile(
    r"format\.json|registry/[a-z0-9_]+\.(?:sqlite3|json)|secrets/(?:sealed\.json|key)"
    r"|components/[0-9a-f]{64}\.wasm|parts/[0-9]{2,4}/data\.mdb"
)


def is_file_name(name: str) -> bool:
    """Whether a backup may have a file of that name."""
    return _NAME.fullmatch(name) is not None


def member_head(name: str, size_bytes: int) -> bytes:
    """What stands before a file's bytes in the archive."""
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    member.mode = 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def padding(size_bytes: int) -> bytes:
    """What stands after them."""
    return bytes(-size_bytes % tarfile.BLOCKSIZE)
