"""Where an archive lies: a folder, or what begins with a prefix in a bucket. Both are walked and read in one way."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from holdfast_host.core.bucket_address import is_bucket, read_bucket
from holdfast_host.storage.archive.s3 import BucketPath, open_bucket

ArchiveRoot: TypeAlias = Path | BucketPath  # and any place below one


def archive_root(place: str | Path) -> ArchiveRoot:
    """The root of an archive, by what the operator has named.

    Raises:
        ConfigurationError: it is a bucket, and its address is wrong or the client for it is not installed.
    """
    return open_bucket(read_bucket(str(place))) if is_bucket(place) else Path(place)
