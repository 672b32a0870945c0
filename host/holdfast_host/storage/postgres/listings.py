"""What is read of all instances of a worker's shards: page by page, for its timetables and for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.core.listing_pages import NamePage
from holdfast_host.storage.lmdb.keys import ALARM_STATES
from holdfast_host.storage.lmdb.sockets import unpack_socket
from holdfast_host.storage.postgres.arrays import long, number
from holdfast_host.storage.store import Alarm, SocketRow, StoredInstance

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.link import Rows

_POSITION_BYTES: Final = 8
_PARKED: Final = ALARM_STATES.index("parked")
_PAGE_ROWS: Final = 256
_BEGUN, _KILLED = 1, 2


class Listings(ABC):
    """That part of a store; any thread but a leader in no section."""

    _shards: bytes  # the worker's, as an int[]

    @abstractmethod
    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet."""

    @abstractmethod
    def _ask(self, statement: str, parameters: Sequence[bytes]) -> Rows:
        """The rows of a statement."""

    def due_alarms(self, before_us: int, entries_max: int) -> list[tuple[int, StoredInstance]]:
        """The earliest alarms that are due before a time, in due order, with that time."""
        rows = self._ask("due_alarms", [self._shards, long(before_us), long(entries_max)])
        return [(number(due_us), self.place(number(type_id), name or b"")) for due_us, type_id, name in rows]

    def parked_alarms(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[StoredInstance]:
        """Some instances of a type whose alarms are parked, without those of these names."""
        found: list[StoredInstance] = []
        due_us = row = -1
        while len(found) < entries_max:
            rows = self._alarms(_PARKED, due_us, row, _PAGE_ROWS)
            for _, _, of_type, name, *_ in rows:
                if number(of_type) == type_id and name not in but and len(found) < entries_max:
                    found.append(self.place(type_id, name or b""))
            if len(rows) < _PAGE_ROWS:
                break
            due_us, row = number(rows[-1][0]), number(rows[-1][1])
        return found

    def alarm_page(
        self, state: str, after: bytes, entries_max: int
    ) -> tuple[list[tuple[int, bytes, Alarm]], bytes | None]:
        """Type, name and alarm of those in a state, in due order, and the position to go on from."""
        due_us = int.from_bytes(after[:_POSITION_BYTES], "big") if after else -1
        row = int.from_bytes(after[_POSITION_BYTES:], "big") if after else -1
        rows = self._alarms(ALARM_STATES.index(state), due_us, row, entries_max + 1)
        page = rows[:entries_max]
        found = [
            (number(type_id), name or b"", unpack_alarm(due, scheduled_us, retries, of_state, marks, last_error, trace))
            for due, _, type_id, name, scheduled_us, retries, of_state, marks, last_error, trace in page
        ]
        if len(rows) == len(page):
            return found, None
        return found, b"".join(number(each).to_bytes(_POSITION_BYTES, "big") for each in page[-1][:2])

    def _alarms(self, state: int, due_us: int, row: int, rows_max: int) -> Rows:
        return self._ask("alarms", [long(state), long(due_us), long(row), self._shards, long(rows_max)])

    def socket_page(
        self, after: bytes, entries_max: int
    ) -> tuple[list[tuple[StoredInstance, int, SocketRow]], bytes | None]:
        """The sockets of all instances, each behind the auto response, and the position to go on from."""
        apart = int.from_bytes(after[:_POSITION_BYTES], "big") if after else -1
        socket = int.from_bytes(after[_POSITION_BYTES:], "big") if after else -1
        rows = self._ask("sockets", [long(apart), long(socket), self._shards, long(entries_max + 1)])
        page = rows[:entries_max]
        found = [
            (self.place(number(type_id), name or b""), number(each), unpack_socket(row or b""))
            for _, each, type_id, name, row in page
        ]
        if len(rows) == len(page):
            return found, None
        return found, b"".join(number(each).to_bytes(_POSITION_BYTES, "big") for each in page[-1][:2])

    def instances(self, type_id: int, prefix: bytes, after: bytes, entries_max: int) -> NamePage:
        """Name and live bytes of a type's instances in name order, and the name to go on after."""
        stop = after_prefix(prefix)
        rows = self._ask("instances", [long(type_id), after, prefix, stop, self._shards, long(entries_max + 1)])
        page = [(name or b"", number(live_bytes)) for name, live_bytes in rows[:entries_max]]
        return NamePage(page, page[-1][0] if len(rows) > entries_max else None)


def after_prefix(prefix: bytes) -> bytes:
    """The least name that is above all with this prefix; empty where there is none."""
    bare = prefix.rstrip(b"\xff")
    return bare[:-1] + bytes((bare[-1] + 1,)) if bare else b""


def unpack_alarm(*fields: bytes | None) -> Alarm:
    """An alarm's columns, as they stand in the table from its due time on."""
    due_us, scheduled_us, retries, state, marks, last_error, trace = fields
    return Alarm(
        number(due_us),
        number(retries),
        number(scheduled_us),
        ALARM_STATES[number(state)],
        (last_error or b"").decode(),
        bool(number(marks) & _BEGUN),
        bool(number(marks) & _KILLED),
        trace or b"",
    )
