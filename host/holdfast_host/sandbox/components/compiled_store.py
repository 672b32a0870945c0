"""Compiled components on disk: found again by content, checked before they are used. Imports no wasmtime.

A compiled component is machine code that the host maps and runs, so only what this host wrote is ever loaded: the
folder is private, a file appears whole or not at all, is never rewritten in place, and its hash stands beside it.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.limits import MIB
from holdfast_host.sandbox.settings import ENGINE_SETTINGS, RULES_VERSION, wasmtime_version

MEMORY_ADDED_BYTES_MAX: Final = 2 * MIB  # see `memory_image`
_LAST_WORD_BYTES: Final = 4
_BLOCK_BYTES: Final = 4096  # of a file system: as many zeros take no room in a file
_ZEROS: Final = bytes(_BLOCK_BYTES)

DRAFT_PREFIX: Final = "new-"  # of what is still being written in the same folder


class DamagedError(Exception):
    """What is kept is not what was written."""


@dataclass(frozen=True, slots=True)
class MemoryImagePlace:
    """Where in a compiled file the memory image lies that other versions of the same code may replace.

    Attributes:
        code: The `key` of the `SplitComponent`, as `code_key` has it.
        offset: In bytes, from the file's beginning.
    """

    code: str
    offset: int


@dataclass(frozen=True, slots=True)
class KeptComponent:
    """The place of one compiled component: `compiled`, and `record` (JSON) that is written last and vouches for it."""

    compiled: Path
    record: Path

    @classmethod
    def at(cls, cache: Path, sha256: str) -> KeptComponent:
        """The place for a component of this hash, under these rules, this wasmtime, these settings, this processor."""
        key = _key(sha256)
        return cls(cache / f"{key}.cwasm", cache / f"{key}.json")

    def looks_unchanged(self) -> bool:
        """True when the file has the size and time that its record vouches for; reads the record only."""
        try:
            facts = json.loads(self.record.read_bytes())
            found = self.compiled.stat()
            return bool(facts["compiled_stat"] == [found.st_size, found.st_mtime_ns])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def read(self) -> dict[str, Any] | None:
        """The description that was kept with it; None where nothing is kept. Reads the whole file: some 50 ms.

        Raises:
            DamagedError: the record does not read, or vouches for other bytes.
        """
        try:
            facts = json.loads(self.record.read_bytes())
            expected, description = facts["compiled_sha256"], facts["description"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{self.record} does not read: {error}") from error
        try:
            found = sha256_of(self.compiled)
        except FileNotFoundError:
            return None
        if found != expected or not isinstance(description, dict):
            raise DamagedError(f"{self.compiled} has changed since it was written")
        return description

    def memory_added_bytes(self) -> int:
        """By how much its memory starts larger than the component asks; 0 where no record says so."""
        try:
            added = json.loads(self.record.read_bytes())["memory_added_bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return added if isinstance(added, int) and 0 <= added <= MEMORY_ADDED_BYTES_MAX else 0

    def code(self) -> str | None:
        """Of which code it is, that other versions can be made of; None where it says of none."""
        try:
            code = json.loads(self.record.read_bytes())["image"]["code"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return code if isinstance(code, str) else None

    def keep(
        self,
        written: Path,
        compiled_sha256: str,
        description: dict[str, Any],
        image: MemoryImagePlace | None = None,
        memory_added_bytes: int = 0,
    ) -> None:
        """Put a file that is synced already, in the same folder, in place, then its record; durable on return."""
        os.replace(written, self.compiled)
        found = self.compiled.stat()
        stat = [found.st_size, found.st_mtime_ns]
        record: dict[str, Any] = {
            "compiled_sha256": compiled_sha256,
            "compiled_stat": stat,
            "memory_added_bytes": memory_added_bytes,
            "description": description,
        }
        if image is not None:
            record["image"] = asdict(image)
        write_durably(self.record, json.dumps(record).encode(), draft=written.with_suffix(".record"))


def code_key(split_key: str) -> str:
    """What the compiled files of one code have in common, under these rules, settings and so on."""
    return _key(f"code {split_key}")


def has_code(cache: Path, code: str) -> bool:
    """True where a compiled file of that code is kept."""
    return any(True for _ in _of_code(cache, code))


def compiled_before(cache: Path, code: str, image: bytes, into: Path) -> MemoryImagePlace | None:
    """Write, into a file that is there, what another version of the same code was compiled to, with this image in it.

    Not synced. None, and nothing of use written, where none is kept undamaged.

    Raises:
        OSError: there is no room.
    """
    for kept, compiled_sha256, place in _of_code(cache, code):
        try:
            found = kept.read_bytes()
            if hashlib.sha256(found).hexdigest() != compiled_sha256 or not _has_image(found, place.offset, image):
                continue
            behind = memoryview(found)[place.offset + len(image) :]
            write_sparse(into, (memoryview(found)[: place.offset], image, behind))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
        else:
            return place
    return None


def write_sparse(into: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Fill a file with these parts, one behind the other; long runs of zeros take no room. Not synced."""
    with into.open("wb") as file:
        for part in parts:
            _write_but_zeros(file, memoryview(part))


def _write_but_zeros(file: BinaryIO, part: memoryview) -> None:
    """At the file's place, which is then behind it; its last block is written whatever it is: the file ends there."""
    begins = file.tell()
    place = written = 0  # in the part: where the next block begins, and up to where all is in the file
    while place < len(part):
        ends = min(len(part), place + _BLOCK_BYTES - (begins + place) % _BLOCK_BYTES)
        if not part[place] and ends < len(part) and part[place:ends].tobytes() == _ZEROS:
            file.write(part[written:place])
            file.seek(begins + ends)
            written = ends
        place = ends
    file.write(part[written:])


def _has_image(compiled: bytes, offset: int, image: bytes) -> bool:
    """Whether an image of that size ends there: all of one code end with the same word."""
    ends = offset + len(image)
    return offset >= 0 and compiled[ends - _LAST_WORD_BYTES : ends] == image[-_LAST_WORD_BYTES:]


def _of_code(cache: Path, code: str) -> Iterator[tuple[Path, str, MemoryImagePlace]]:
    """The compiled files of a code, what each one's record vouches for, and where its image lies."""
    for record in sorted(cache.glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = record.read_bytes()
            if code.encode() not in content:
                continue  # descriptions may be long: they are not parsed for nothing
            facts = json.loads(content)
            place = MemoryImagePlace(**facts["image"])
            if place.code == code and isinstance(place.offset, int):
                yield record.with_suffix(".cwasm"), facts["compiled_sha256"], place


def _key(content: str) -> str:
    facts = [content, RULES_VERSION, wasmtime_version(), sorted(ENGINE_SETTINGS.items()), _processor()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _processor() -> str:
    """What compiled code may depend on: the machine and the features of its processor."""
    try:
        features = re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        features = None
    return f"{platform.machine()} {features[1].strip() if features else platform.processor()}"
