"""The sockets of instances: their rows, how they are written and read.

A row says whose it is: those of a front that is gone are found by going through all of them.

    version u8 (1), opened u64 (us), flags u8, type id u32, lengths u16 of name, tags, protocol and attachment; these
    four; where the flags say so, the trace context (25 bytes) of the turn that accepted it; where the flags say that it
    is ending: code u16, marks u8, tries u8, and the reason
"""

from __future__ import annotations

import struct
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat, takewhile
from operator import and_, itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lmdb

from holdfast_host.core.errors import InternalError
from holdfast_host.storage.lmdb.keys import PREFIX_BYTES, SOCKET_FIRST, socket_prefix
from holdfast_host.storage.store import (
    SOCKET_CLOSED,
    SOCKET_ENDS,
    SOCKET_EVENTS,
    Ending,
    SocketRow,
    StoreBrokenError,
    StoredInstance,
)
from holdfast_host.wire.calls.trace_context import CONTEXT_BYTES

if TYPE_CHECKING:
    from holdfast_host.storage.lmdb.partition import Partition

_VERSION: Final = 1
_ROW: Final = struct.Struct("<BQBIHHHH")
_ROW_BYTES: Final = _ROW.size
_ENDING: Final = struct.Struct("<HBB")
_EVENTS, _CLOSED, _ENDS, _TRACED = SOCKET_EVENTS, SOCKET_CLOSED, SOCKET_ENDS, 8
_LENGTHS: Final = struct.Struct("<HH")  # the first two
_MARKS: Final = _EVENTS | _CLOSED | _ENDS
_VERSION_AT, _FLAGS_AT, _LENGTHS_AT = 0, 9, 14  # in a row
_CLEAN, _BROKE, _BEGUN, _KILLED = 1, 2, 4, 8
_NUMBER_BYTES: Final = 8
_PIECE_ROWS: Final = 64  # between two looks at the time


class PackedSocketRow(SocketRow):
    """A row of a page as it lies on disk: its marks are known, the rest is read when somebody asks for it.

    All sockets of an instance are read for its first broadcast, and all of a worker when it starts: what is asked of
    nearly all of them is their marks. Its parts as a tuple are the row and its flags.
    """

    __slots__ = ()

    packed: bytes = property(itemgetter(0))  # type: ignore[assignment]  # read in C
    marks: int = property(itemgetter(1))  # type: ignore[assignment]

    def read(self) -> SocketRow:
        """All of it."""
        return unpack_socket(self.packed)

    @property
    def opened_us(self) -> int:
        """Read from the row, as those below."""
        return self.read().opened_us

    @property
    def events(self) -> bool:
        """Read from the marks."""
        return self.marks & _EVENTS != 0

    @property
    def closed(self) -> bool:
        """Read from the marks."""
        return self.marks & _CLOSED != 0

    @property
    def tags(self) -> bytes:
        """By itself: each message to those with a tag asks all rows."""
        packed = self.packed
        name_n, tags_n = _LENGTHS.unpack_from(packed, _LENGTHS_AT)
        return packed[_ROW_BYTES + name_n : _ROW_BYTES + name_n + tags_n]

    @property
    def protocol(self) -> bytes:
        """Read from the row."""
        return self.read().protocol

    @property
    def attachment(self) -> bytes:
        """Read from the row."""
        return self.read().attachment

    @property
    def ending(self) -> Ending | None:
        """Read from the row, where the marks say that there is one."""
        return self.read().ending if self.marks & _ENDS else None

    @property
    def trace(self) -> bytes:
        """Read from the row."""
        return self.read().trace

    def _replace(self, **changes: Any) -> SocketRow:  # type: ignore[override]  # it is read then
        return self.read()._replace(**changes)

    def __eq__(self, other: object) -> bool:
        return self.read() == (other.read() if isinstance(other, SocketRow) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.read())

    def __repr__(self) -> str:
        return repr(self.read())


class OwnedRows(NamedTuple):
    """The rows of one instance on a page."""

    type_id: int
    name: bytes
    numbers: Sequence[int]
    rows: list[SocketRow]


def socket_key(number: int, socket: int) -> bytes:
    """The key of a socket's row."""
    return socket_prefix(number) + socket.to_bytes(_NUMBER_BYTES, "big")


def pack_socket(instance: StoredInstance, row: SocketRow) -> bytes:
    """The value of a socket's row."""
    name, tags, protocol, attachment, ending = instance.name, row.tags, row.protocol, row.attachment, row.ending
    flags = row.events * _EVENTS | row.closed * _CLOSED | (ending is not None) * _ENDS | (row.trace != b"") * _TRACED
    lengths = (len(name), len(tags), len(protocol), len(attachment))
    head = _ROW.pack(_VERSION, row.opened_us, flags, instance.type_id, *lengths)
    packed = b"".join((head, name, tags, protocol, attachment, row.trace))
    if ending is None:
        return packed
    marks = ending.clean * _CLEAN | ending.broke * _BROKE | ending.begun * _BEGUN | ending.killed * _KILLED
    return packed + _ENDING.pack(ending.code, marks, ending.tries) + ending.reason.encode()


def unpack_socket(row: bytes) -> SocketRow:
    """What `pack_socket` wrote."""
    return unpack_owned(row)[2]


def unpack_owned(row: bytes) -> tuple[int, bytes, SocketRow]:
    """The same with the type and the name of its instance."""
    version, opened_us, flags, type_id, name_n, tags_n, protocol_n, attachment_n = _ROW.unpack_from(row)
    if version != _VERSION:
        raise InternalError(f"a socket's row of version {version}")
    tags_at = _ROW_BYTES + name_n
    protocol_at = tags_at + tags_n
    attachment_at = protocol_at + protocol_n
    trace_at = attachment_at + attachment_n
    end = trace_at + CONTEXT_BYTES if flags & _TRACED else trace_at
    found = SocketRow(
        opened_us,
        flags & _EVENTS != 0,
        flags & _CLOSED != 0,
        row[tags_at:protocol_at],
        row[protocol_at:attachment_at],
        row[attachment_at:trace_at],
        _unpack_ending(row, end) if flags & _ENDS else None,
        row[trace_at:end],
    )
    return type_id, row[_ROW_BYTES:tags_at], found


def _unpack_ending(row: bytes, at: int) -> Ending:
    code, marks, tries = _ENDING.unpack_from(row, at)
    clean, broke, begun, killed = (marks & each != 0 for each in (_CLEAN, _BROKE, _BEGUN, _KILLED))
    return Ending(code, row[at + _ENDING.size :].decode(), clean, broke, tries, begun, killed)


def write_sockets(txn: Any, instance: StoredInstance, number: int, changed: Mapping[int, SocketRow | None]) -> int:
    """Write or remove them; by how many bytes that lets the instance grow, which may be less than none."""
    grown = 0
    for socket, row in changed.items():
        key = socket_key(number, socket)
        if row is None:
            old = txn.pop(key)
        else:
            packed = pack_socket(instance, row)
            old = txn.replace(key, packed)
            grown += _NUMBER_BYTES + len(packed)
        if old is not None:
            grown -= _NUMBER_BYTES + len(old)
    return grown


def delete_sockets(txn: Any, number: int) -> None:
    """Delete all of a number: there is a limit to how many an instance may have."""
    prefix = socket_prefix(number)
    with txn.cursor() as cursor:
        there = cursor.set_range(prefix)
        while there and bytes(cursor.key()[: len(prefix)]) == prefix:
            there = cursor.delete()  # moves to the next row


def instance_sockets(
    partition: Partition, number: int, after: int, entries_max: int, page_read_s: float
) -> tuple[list[tuple[int, SocketRow]], int | None]:
    """An instance's sockets after a number, and the number to go on after; None where that is all."""
    rows, more = _read(partition, socket_key(number, after), socket_prefix(number), entries_max, page_read_s)
    if not rows:
        return [], None
    keys, values = zip(*rows, strict=True)
    found = [*zip(_numbers_in(keys), _as_packed(values), strict=True)]
    return found, found[-1][0] if more else None


def socket_page(
    partition: Partition, after: bytes, entries_max: int, page_read_s: float
) -> tuple[list[OwnedRows], bytes | None]:
    """The sockets of all instances after a key, instance by instance, and the key to go on after."""
    rows, more = _read(partition, after or SOCKET_FIRST, SOCKET_FIRST, entries_max, page_read_s)
    if not rows:
        return [], None
    keys, values = zip(*rows, strict=True)
    numbers, packed = _numbers_in(keys), _as_packed(values)
    found = []
    for first, stop in _runs(keys):
        type_id, name, _ = unpack_owned(values[first])
        found.append(OwnedRows(type_id, name, numbers[first:stop], packed[first:stop]))
    return found, keys[-1] if more else None


def _runs(keys: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where the keys of each instance begin and end."""
    first = 0
    while first < len(keys):
        prefix = keys[first][:PREFIX_BYTES]
        stop = bisect_right(keys, prefix, first, key=lambda key: key[:PREFIX_BYTES])
        yield first, stop
        first = stop


def _numbers_in(keys: Sequence[bytes]) -> tuple[int, ...]:
    """The numbers of the sockets, all read at once."""
    return struct.unpack(">" + f"{PREFIX_BYTES}xQ" * len(keys), b"".join(keys))


def _as_packed(values: Sequence[bytes]) -> list[SocketRow]:
    """The rows, of which nothing is read yet but their version and flags: a loop in Python would cost the most."""
    unknown = {*map(itemgetter(_VERSION_AT), values)} - {_VERSION}
    if unknown:
        raise InternalError(f"a socket's row of version {unknown.pop()}")
    marks = map(and_, map(itemgetter(_FLAGS_AT), values), repeat(_MARKS))
    return [*map(tuple.__new__, repeat(PackedSocketRow), zip(values, marks, strict=True))]


def _read(
    partition: Partition, after: bytes, prefix: bytes, entries_max: int, page_read_s: float
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The rows after a key that begin as the prefix does, and whether there are more."""
    rows: list[tuple[bytes, bytes]] = []
    try:
        with partition.env.begin() as txn, txn.cursor() as cursor:
            over_at = time.perf_counter() + page_read_s
            if not cursor.set_range(after + b"\0"):
                return rows, False
            following = cursor.iternext()
            while piece := [*islice(following, min(_PIECE_ROWS, entries_max - len(rows)))]:
                if not piece[-1][0].startswith(prefix):
                    rows += takewhile(lambda row: row[0].startswith(prefix), piece)
                    return rows, False
                rows += piece
                if time.perf_counter() >= over_at:
                    break
            further = next(following, None)
            return rows, further is not None and further[0].startswith(prefix)
    except lmdb.Error as error:
        raise StoreBrokenError(f"partition {partition.number} cannot be read: {error}") from error
