"""The events of sockets that are under way to one worker: how many may be, and whose is the next.

A socket, an instance and a function have bounds of their own, so that none of them takes all. Who is past one waits,
and is not read from meanwhile; when there is room, instances go on in turn, and within one its sockets.

What does not live here: what a worker does with an event, and what becomes of it when the worker dies (it ends the
socket, see `front.sockets.table`).
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from holdfast_host.core.limits import MIB
from holdfast_host.wire.frames import EVENT_SLOT, Call, CallKind, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.front.sockets.client import ClientSocket
    from holdfast_host.front.sockets.rooms import Room

SOCKET_EVENTS_MAX: Final = 8
INSTANCE_EVENTS_MAX: Final = 128
EVENTS_MAX: Final = 2_048
BYTES_MAX: Final = 64 * MIB
FUNCTION_BYTES_MAX: Final = BYTES_MAX // 2
_KIND: Final = int(CallKind.SOCKET)


class EventFlow:
    """One link to a worker, from its HELLO to its end; then nothing more is given. For the front's loop.

    Args (when made):
        send: writes a CALL to the worker.
    """

    def __init__(self, send: Callable[[Call], None]) -> None:
        self._send = send
        self.is_over = False  # the link is gone: its sockets end, and nobody is told
        self.count = 0  # of events that were given
        self._free = list(range(EVENT_SLOT + EVENTS_MAX - 1, EVENT_SLOT - 1, -1))
        self._further = itertools.count(EVENT_SLOT + EVENTS_MAX)  # of closes that could not wait
        self._under_way: dict[int, tuple[ClientSocket | None, Room, int]] = {}
        self._bytes = 0
        self._bytes_of: defaultdict[str, int] = defaultdict(int)  # by function
        self._ready: deque[Room] = deque()  # in which a socket waits
        self._held: defaultdict[str, deque[Room]] = defaultdict(deque)  # whose function has its bytes under way

    @property
    def under_way(self) -> int:
        """Events without a REPLY."""
        return len(self._under_way)

    def offer(self, socket: ClientSocket) -> None:
        """A socket may have something to give: it does so now, or when it is its turn."""
        if self.is_over or socket.is_waiting:
            return
        if socket.under_way >= SOCKET_EVENTS_MAX:
            socket.is_stalled = True
            return
        self._enqueue(socket)
        self._serve()

    def give(self, socket: ClientSocket | None, room: Room, method: bytes, body: bytes) -> None:
        """Send an event; from within `ClientSocket.give_next`, or for a socket that never was."""
        slot = self._free.pop() if self._free else next(self._further)
        self._under_way[slot] = (socket, room, len(body))
        self._bytes += len(body)
        self._bytes_of[room.function] += len(body)
        room.under_way += 1
        if socket is not None:
            socket.under_way += 1
        self.count += 1
        self._send(Call(slot, room.type_id, 0, _KIND, 0, room.name, method, b"", body))

    def reply(self, slot: int) -> None:
        """An event is over.

        Raises:
            ProtocolError: there is none in that slot.
        """
        found = self._under_way.pop(slot, None)
        if found is None:
            raise ProtocolError(f"a REPLY for the event {slot - EVENT_SLOT}, which is not under way")
        socket, room, body_bytes = found
        if slot < EVENT_SLOT + EVENTS_MAX:
            self._free.append(slot)
        self._bytes -= body_bytes
        room.under_way -= 1
        left = self._bytes_of[room.function] - body_bytes
        if left or room.function in self._held:
            self._bytes_of[room.function] = left
        else:
            del self._bytes_of[room.function]
        if socket is not None:
            socket.under_way -= 1
            if socket.is_stalled:
                socket.is_stalled = False
                self._enqueue(socket)
        self._get_ready(room)
        self._serve()
        self._release(room.function)

    def end(self) -> None:
        """The link is gone."""
        self.is_over = True
        self._under_way.clear()
        self._ready.clear()
        self._held.clear()

    def _enqueue(self, socket: ClientSocket) -> None:
        room = socket.room
        socket.is_waiting = True
        if room.waiting is None:
            room.waiting = deque()
        room.waiting.append(socket)
        self._get_ready(room)

    def _get_ready(self, room: Room) -> None:
        if room.waiting and not room.is_ready and room.under_way < INSTANCE_EVENTS_MAX:
            room.is_ready = True
            self._ready.append(room)

    def _serve(self) -> None:
        """Let those that wait give one event each, in turn, as far as there is room."""
        while self._ready and self._free and self._bytes < BYTES_MAX:
            room = self._ready.popleft()
            if self._bytes_of.get(room.function, 0) >= FUNCTION_BYTES_MAX:
                self._held[room.function].append(room)  # it stays ready: it is in turn there
                continue
            room.is_ready = False
            self._serve_one(room)
            self._get_ready(room)

    def _serve_one(self, room: Room) -> None:
        if not room.waiting:
            return
        socket = room.waiting.popleft()
        socket.is_waiting = False
        # What it gives may cut another client of the room, whose end is given first, from within this.
        if socket.give_next() and socket.has_more and not socket.is_waiting:
            if socket.under_way < SOCKET_EVENTS_MAX:
                self._enqueue(socket)
            else:
                socket.is_stalled = True
        if not room.waiting:
            room.waiting = None

    def _release(self, function: str) -> None:
        """Let those go on whose function has room again, one by one: each may take it."""
        held = self._held.get(function)
        while held and self._bytes_of.get(function, 0) < FUNCTION_BYTES_MAX:
            self._ready.append(held.popleft())
            self._serve()
        if held is not None and not held:
            del self._held[function]
