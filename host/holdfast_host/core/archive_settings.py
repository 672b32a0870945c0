"""What the operator says of the archive, read and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from holdfast_host.core.bucket_address import is_bucket, read_bucket
from holdfast_host.core.errors import ConfigurationError

_KEEP: Final = re.compile(r"([0-9]{1,6})([hd])")
_KEEP_UNITS_S: Final = {"h": 3600.0, "d": 86400.0}


def read_archive(path: str | Path | None, data: Path) -> Path | str | None:
    """The archive's folder, its address in a bucket, or ConfigurationError; None for none."""
    if path is None:
        return None
    if is_bucket(path):
        return str(read_bucket(str(path)))
    found = Path(path).absolute()
    if found == data or data in found.parents or found in data.parents:
        raise ConfigurationError(f"--archive {path}: name a folder outside of the data directory {data}")
    if found.exists() and not found.is_dir():
        raise ConfigurationError(f"--archive {path} is a file; name a folder")
    return found


def read_keep(text: str, archive: str | Path | None) -> float:
    """How far back it must reach, in seconds, or ConfigurationError."""
    found = _KEEP.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ConfigurationError(f"--archive-keep {text!r} is no time, as '30d' or '12h'")
    if archive is None:
        raise ConfigurationError(f"--archive-keep {text} is for an archive: give --archive too")
    return int(found[1]) * _KEEP_UNITS_S[found[2]]
