"""Reading instances that are not in memory: any number in one question, and of what they hold a piece at a time.

The rows of the instances come first, and say how much each holds; then their keys, jobs and sockets, `PIECE_BYTES` a
question, so that what commits meanwhile does not wait behind all that a crowd of instances holds.

Only its owner writes an instance, and what is not loaded is not written; but receipts that have expired are taken from
any. Where that came between the two questions, the first is asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.core.limits import MIB
from holdfast_host.storage.postgres.arrays import blobs, ints, longs, number
from holdfast_host.storage.postgres.handles import Handle, fill

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.link import Link, Rows
    from holdfast_host.storage.store import StoredInstance

PIECE_BYTES: Final = 8 * MIB
_INSTANCES_MAX: Final = 1_000  # a question
_LIVE_BYTES, _APART_BYTES, _DATA, _APART = 3, 4, 1, 2  # columns of an instance's row

Told = Callable[["StoredInstance"], None]
Row = tuple[bytes | None, ...]


class Loading:
    """The loads of one worker; the leader's.

    Attributes:
        expiries: grows when receipts have expired.
    """

    def __init__(self, link: Link, take_number: Callable[[], int]) -> None:
        """`take_number()` is for instances of which nothing is stored."""
        self._link = link
        self._take_number = take_number
        self.expiries = 0

    def load(self, handles: Sequence[Handle], told: Told) -> None:
        """Read all that is stored of these, or number new ones; `told(handle)` of each once it is there."""
        for first in range(0, len(handles), _INSTANCES_MAX):
            self._load(handles[first : first + _INSTANCES_MAX], told)

    def _load(self, handles: Sequence[Handle], told: Told) -> None:
        self._link.send(
            "load",
            [ints([each.type_id for each in handles]), blobs([each.name for each in handles])],
            lambda rows: self._found(handles, rows, told),
        )

    def _found(self, handles: Sequence[Handle], rows: Rows, told: Told) -> None:
        by_position = {number(at): row for at, *row in rows}
        further = deque[tuple[Handle, Row]]()
        for position, handle in enumerate(handles, 1):
            row = by_position.get(position)
            if row is not None:
                further.append((handle, tuple(row)))
                continue
            if not handle.number:
                handle.data_number = handle.row = new = self._take_number()
                handle.number = new  # last: who sees it finds the rest
            told(handle)
        self._read_further(further, told, self.expiries)

    def _read_further(self, left: deque[tuple[Handle, Row]], told: Told, expiries: int) -> None:
        """What stands under the next of them."""
        if not left:
            return
        if expiries != self.expiries:
            self.load([handle for handle, _ in left], told)
            return
        piece, piece_bytes = [left.popleft()], 0
        while left:
            piece_bytes += _held_bytes(piece[-1][1])
            if piece_bytes + _held_bytes(left[0][1]) > PIECE_BYTES:
                break
            piece.append(left.popleft())

        def read(rows: Rows) -> None:
            if expiries != self.expiries:
                left.extendleft(reversed(piece))
            else:
                self._fill(piece, rows, told)
            self._read_further(left, told, expiries)

        numbers = [longs([number(row[column]) for _, row in piece]) for column in (_DATA, _APART)]
        self._link.send("load_rows", numbers, read)

    def _fill(self, piece: Sequence[tuple[Handle, Row]], rows: Rows, told: Told) -> None:
        of: list[Rows] = [[] for _ in piece]
        for at, *row in rows:
            of[number(at) - 1].append(tuple(row))
        for (handle, own), further in zip(piece, of, strict=True):
            if not handle.number:
                fill(handle, own, further)
            told(handle)


def _held_bytes(row: Row) -> int:
    return number(row[_LIVE_BYTES]) + number(row[_APART_BYTES])
