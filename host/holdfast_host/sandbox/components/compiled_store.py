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
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.limits import MIB
from holdfast_host.sandbox.settings import ENGINE_SETTINGS, RULES_VERSION, wasmtime_version

MEMORY_ADDED_BYTES_MAX: Final = 2 * MIB  # see `memory_image`
_LAST_WORD_BYTES: Final = 4

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
            shutil.copyfile(kept, into)
            if sha256_of(into) == compiled_sha256 and _replace_image(into, place.offset, image):
                return place
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
    return None


def _replace_image(compiled: Path, offset: int, image: bytes) -> bool:
    """False, and nothing written, where no image of that size ends there: all of one code end with the same word."""
    if not 0 <= offset <= compiled.stat().st_size - len(image):
        return False
    with compiled.open("r+b") as file:
        file.seek(offset + len(image) - _LAST_WORD_BYTES)
        if file.read(_LAST_WORD_BYTES) != image[-_LAST_WORD_BYTES:]:
            return False
        file.seek(offset)
        file.write(image)
    return True


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
