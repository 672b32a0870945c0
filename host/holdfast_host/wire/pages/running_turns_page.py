"""The page that says whose turns a worker runs: written by the worker, read by the supervisor when it has died.

An anonymous file that both map; the supervisor makes one for each worker and keeps it through all its lives. A record
is the name's length (0: free), the type's number and the name; the length is written last and cleared first, so a
record is never half read. A turn that finds no free record goes unnoted. A request of a function's handler is noted
under the function's name, with FUNCTION in place of a type's number.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

RECORDS: Final = 1_024
UNNOTED: Final = -1
FUNCTION: Final = 0  # types are numbered from 1

_RECORD_BYTES: Final = 264
_RECORD_LENGTHS: Final = _RECORD_BYTES // 2  # the first word of a record is the name's length
_TYPE: Final = struct.Struct("<I")
_WHOSE: Final = struct.Struct("<I256s")  # type and name, up to the record's end
_TYPE_AT: Final = 4
_NAME_AT: Final = 8


class RunningPage:
    """RECORDS records. `note` and `clear` are one process's, by one thread at a time; any other may read."""

    def __init__(self, fd: int) -> None:
        """Map the page behind this descriptor, which the page then owns."""
        self.fd = fd
        self._map = mmap.mmap(fd, RECORDS * _RECORD_BYTES)
        self._lengths = memoryview(self._map).cast("H")
        self._free = list(range(RECORDS - 1, -1, -1))

    @classmethod
    def create(cls) -> RunningPage:
        """A new page with nothing on it."""
        fd = os.memfd_create("holdfast-running", os.MFD_CLOEXEC)
        os.ftruncate(fd, RECORDS * _RECORD_BYTES)
        return cls(fd)

    def note(self, type_id: int, name: bytes) -> int:
        """A turn of this instance begins; its record, for `clear`."""
        if not self._free:
            return UNNOTED
        record = self._free.pop()
        _WHOSE.pack_into(self._map, record * _RECORD_BYTES + _TYPE_AT, type_id, name)
        self._lengths[record * _RECORD_LENGTHS] = len(name)
        return record

    def clear(self, record: int) -> None:
        """That turn is over."""
        if record != UNNOTED:
            self._lengths[record * _RECORD_LENGTHS] = 0
            self._free.append(record)

    def names(self) -> list[tuple[int, bytes]]:
        """Type number and name of the instances whose turns run, each once."""
        found: dict[tuple[int, bytes], None] = {}
        for record, length in enumerate(self._lengths[::_RECORD_LENGTHS]):
            if length:
                at = record * _RECORD_BYTES
                (type_id,) = _TYPE.unpack_from(self._map, at + _TYPE_AT)
                found[type_id, self._map[at + _NAME_AT : at + _NAME_AT + length]] = None
        return list(found)

    def wipe(self) -> None:
        """Forget all; before a worker is started."""
        self._map[:] = bytes(len(self._map))

    def close(self) -> None:
        """Unmap and close."""
        self._lengths.release()
        self._map.close()
        os.close(self.fd)
