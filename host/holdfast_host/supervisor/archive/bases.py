"""The bases that an archive has, and what a moment that is kept needs of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from holdfast_host.storage.archive.frames import BASE, ArchiveError
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import BucketPath

_COMPONENTS: Final = "components/"


@dataclass(frozen=True, slots=True)
class Base:
    """A base that is whole; `seq` is that of the last frame before it was begun."""

    path: ArchiveRoot
    created_us: int
    origin: str
    partitions: int
    seq: int
    files: dict[str, tuple[int, str]]  # size and SHA-256 by their names in the data directory


def read_bases(root: ArchiveRoot) -> list[Base]:
    """All bases, the oldest first.

    Raises:
        ArchiveError: one is damaged.
        OSError: they cannot be read.
    """
    found = []
    folder: ArchiveRoot = root / "bases"
    paths: list[ArchiveRoot] = [*folder.iterdir()] if folder.is_dir() else []
    for path in sorted(paths, key=lambda each: each.name):
        if not path.name.isdigit():
            continue  # one that was not finished, or is being removed
        try:
            facts = json.loads((path / BASE).read_bytes())
            files = {name: (int(size), str(digest)) for name, (size, digest) in facts["files"].items()}
            found.append(Base(path, facts["created_us"], facts["origin"], facts["partitions"], facts["seq"], files))
        except FileNotFoundError:
            if not isinstance(path, BucketPath):  # there it is being made, or removed: this comes last, and goes first
                raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{path / BASE} is damaged: {error!r}") from error
    return found


def split_bases(bases: list[Base], before_us: int) -> tuple[list[Base], list[Base]]:
    """Those that no moment after that one needs, and the others."""
    kept_from = max([number for number, base in enumerate(bases) if base.created_us <= before_us], default=0)
    return bases[:kept_from], bases[kept_from:]


def needed_seq(kept: list[Base]) -> int:
    """The number of a frame before which nothing is needed; a clock that was set back disorders them."""
    return min(base.seq for base in kept)


def wanted_components(kept: list[Base]) -> set[str]:
    """The names of components that a base has."""
    return {name.rpartition("/")[2] for base in kept for name in base.files if name.startswith(_COMPONENTS)}
