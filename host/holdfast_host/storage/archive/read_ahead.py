"""Reading many objects of a bucket, one after the other: some are on their way while one is read."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import BucketPath

_AHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class Fetched(BucketPath):
    """An object whose content is here."""

    content: bytes = b""

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Read it."""
        return io.BytesIO(self.content)


def read_ahead(paths: Sequence[ArchiveRoot]) -> Iterator[ArchiveRoot]:
    """The same places in the same order; of a bucket, each with its content.

    Raises:
        OSError: where one cannot be read, in its turn.
    """
    left, waiting = deque(each for each in paths if isinstance(each, BucketPath)), deque[Future[Fetched]]()
    if not left:
        yield from paths
        return
    pool = ThreadPoolExecutor(_AHEAD, thread_name_prefix="holdfast-s3")
    try:
        while left or waiting:
            while left and len(waiting) < _AHEAD:
                waiting.append(pool.submit(_fetch, left.popleft()))
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fetch(path: BucketPath) -> Fetched:
    return Fetched(path.bucket, path.at, path.read_bytes())
