"""What makes a host not ready that only its workers see: a commit that hangs, a disk or a map without room.

Told when it begins and when it is over. What is to be done about it is the supervisor's, and the operator's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import StorageRoom, Store
    from holdfast_host.worker.threads.leadership import Leadership

STALL_S: Final = 2.0  # a commit, or another question to a store, that takes so long makes the host not ready


@leaders
class Health:
    """The health of one worker, looked at now and then."""

    def __init__(self, store: Store, leadership: Leadership, in_flight_s: Callable[[float], float]) -> None:
        """`in_flight_s(now)` says for how many seconds a commit or a sweep has been in flight."""
        self._store = store
        self._leadership = leadership
        self._in_flight_s = in_flight_s
        self._stalled = False
        self._asking = False  # the disk, which may hang
        self.room = store.room()  # as it was last seen
        self.on_stall: Callable[[bool], None] = lambda _: None  # told when a commit begins to hang, and when it is over
        self.on_shortage: Callable[[str | None], None] = lambda _: None  # why nothing may grow; None: it may again

    def look(self, generation: int, now: float) -> bool:
        """Tell what has changed, of the room in a section. False: the leadership is lost."""
        stalled = max(self._in_flight_s(now), self.room.silent_s) > STALL_S
        if stalled != self._stalled:
            self._stalled = stalled
            self.on_stall(stalled)
        if self._asking:
            return True
        self._asking = True
        return self._leadership.read(generation, self._store.room, self._have_room)

    def _have_room(self, room: StorageRoom) -> None:
        before, self.room = self.room, room
        self._asking = False
        if (room.shortage is None) != (before.shortage is None):
            self.on_shortage(room.shortage)
