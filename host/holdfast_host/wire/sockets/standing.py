"""SOCKETS: what a front says first on a link, of its sockets that belong to that worker's instances.

It speaks for all serials below one: those that are not in it are sockets no more. An offer is a socket that may still
come, whose OPEN may be lost: of it the worker says OPEN again.
"""

from __future__ import annotations

import operator
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from holdfast_host.wire.calls.frames import Kind, ProtocolError

_HEAD: Final = struct.Struct("<IB")
_COUNTS: Final = struct.Struct("<IIII")
_CLOSING: Final = struct.Struct("<IQHBH")
_CLEAN, _BROKE = 1, 2


class Closing(NamedTuple):
    """One that its instance is to hear of no more but as closed, and how."""

    serial: int
    owner: int  # see wire.send_page.owner_mark
    code: int
    clean: bool
    broke: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StandingSockets:
    """The frame."""

    next_serial: int
    offers: Sequence[int] = ()
    open: Mapping[int, int] = field(default_factory=dict)  # the mark of its owner, by serial, in their order
    closing: Sequence[Closing] = ()

    def pack(self) -> bytes:
        """The whole frame."""
        counts = _COUNTS.pack(self.next_serial, len(self.offers), len(self.open), len(self.closing))
        parts = [counts, _packed("I", self.offers), _packed("I", self.open), _packed("Q", self.open.values())]
        for each in self.closing:
            reason = each.reason.encode()
            marks = each.clean * _CLEAN | each.broke * _BROKE
            parts += [_CLOSING.pack(each.serial, each.owner, each.code, marks, len(reason)), reason]
        return b"".join((_HEAD.pack(sum(map(len, parts)) + 1, Kind.SOCKETS), *parts))

    @classmethod
    def unpack(cls, payload: bytes) -> StandingSockets:
        """What `pack` wrote, from the frame's payload; ProtocolError for anything else."""
        try:
            next_serial, offer_n, open_n, closing_n = _COUNTS.unpack_from(payload)
            offers, at = _unpacked("I", payload, _COUNTS.size, offer_n)
            serials, at = _unpacked("I", payload, at, open_n)
            owners, at = _unpacked("Q", payload, at, open_n)
            standing = _Marks(serials, owners)
            closing = []
            for _ in range(closing_n):
                serial, owner, code, marks, length = _CLOSING.unpack_from(payload, at)
                at += _CLOSING.size + length
                reason = payload[at - length : at].decode()
                closing.append(Closing(serial, owner, code, marks & _CLEAN != 0, marks & _BROKE != 0, reason))
        except (struct.error, ValueError) as error:
            raise ProtocolError("a damaged SOCKETS") from error
        if at != len(payload):
            raise ProtocolError(f"a SOCKETS of {len(payload)} bytes that says {at}")
        return cls(next_serial, offers, standing, closing)


class _Marks(Mapping[int, int]):
    """Marks by serial as they came: a dictionary would take ten times the memory, which a heap keeps for long."""

    __slots__ = ("_marks", "_serials")

    def __init__(self, serials: array[int], marks: array[int]) -> None:
        if not all(map(operator.lt, serials, serials[1:])):
            raise ValueError("serials that are not in their order")
        self._serials = serials
        self._marks = marks

    def __getitem__(self, serial: int) -> int:
        at = bisect_left(self._serials, serial)
        if at == len(self._serials) or self._serials[at] != serial:
            raise KeyError(serial)
        return self._marks[at]

    def __iter__(self) -> Iterator[int]:
        return iter(self._serials)

    def __len__(self) -> int:
        return len(self._serials)


def _packed(kind: str, numbers: Iterable[int]) -> bytes:
    packed: array[int] = array(kind, numbers)
    return packed.tobytes()


def _unpacked(kind: str, payload: bytes, at: int, count: int) -> tuple[array[int], int]:
    numbers: array[int] = array(kind)
    end = at + count * numbers.itemsize
    numbers.frombytes(payload[at:end])
    if len(numbers) != count:
        raise ValueError("too few")
    return numbers, end
