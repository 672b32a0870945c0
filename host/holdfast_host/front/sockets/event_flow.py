"""The events of sockets that are under way to one worker: how many may be, and whose is the next.

A socket, an instance and a function have bounds of their own, so that none of them takes all. Who is past one waits,
and is not read from meanwhile; when there is room, instances go on in turn, and within one its sockets.

While there is no worker nothing is sent, and so soon nothing is read from clients: what is under way is kept, in its
order, until its successor is there and the evidence says which of it goes there (`front.sockets.recovery`).

What does not live here: what a worker does with an event.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from holdfast_host.core.limits import MIB
from holdfast_host.wire.calls.frames import EVENT_SLOT, ProtocolError, pack_event
from holdfast_host.wire.pages.state_page import EVENT_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.front.sockets.client import ClientSocket
    from holdfast_host.front.sockets.rooms import Room

SOCKET_EVENTS_MAX: Final = 8
INSTANCE_EVENTS_MAX: Final = 128
EVENTS_MAX: Final = EVENT_SLOTS
BYTES_MAX: Final = 64 * MIB
FUNCTION_BYTES_MAX: Final = BYTES_MAX // 2
_SLOTS_END: Final = EVENT_SLOT + EVENTS_MAX


class Given:
    """An event that is under way: it has a slot, and no REPLY."""

    __slots__ = ("body_bytes", "deaths", "frame", "is_sent", "method", "room", "socket")

    def __init__(
        self, frame: bytes, method: bytes, body_bytes: int, room: Room, socket: ClientSocket | None, is_sent: bool
    ) -> None:
        self.frame = frame
        self.method = method
        self.body_bytes = body_bytes
        self.room = room
        self.socket = socket  # None: of one that has ended, or never was
        self.is_sent = is_sent
        self.deaths = 0  # of workers that had begun it

    @property
    def body(self) -> bytes:
        """What it says."""
        return self.frame[-self.body_bytes :]


class EventFlow:
    """What is under way to one worker, successor after successor. For the front's loop."""

    def __init__(self) -> None:
        self._send: Callable[[bytes], None] | None = None  # None while there is no worker
        self._words: memoryview[int] | None = None
        self.count = 0  # of events that were given
        self._free = list(range(EVENT_SLOT + EVENTS_MAX - 1, EVENT_SLOT - 1, -1))
        self._further = itertools.count(EVENT_SLOT + EVENTS_MAX)  # of closes that could not wait
        self._under_way: dict[int, Given] = {}  # by slot, in the order in which they were given
        self._bytes = 0
        self._bytes_of: defaultdict[str, int] = defaultdict(int)  # by function
        self._ready: deque[Room] = deque()  # in which a socket waits
        self._held: defaultdict[str, deque[Room]] = defaultdict(deque)  # whose function has its bytes under way
        self._serving = False

    @property
    def under_way(self) -> int:
        """Events without a REPLY."""
        return len(self._under_way)

    def all_given(self) -> list[tuple[int, Given]]:
        """What is under way, by slots, in order."""
        return [*self._under_way.items()]

    def pause(self) -> None:
        """The worker is gone."""
        self._send = self._words = None

    def resume(self, send: Callable[[bytes], None], words: memoryview[int]) -> None:
        """There is one, which writes to these words: `send` it what is under way, and go on."""
        self._send, self._words = send, words
        for given in self._under_way.values():
            given.is_sent = True
            send(given.frame)
        self._serve()
        for function in [*self._held]:
            self._release(function)

    def has_room_for(self, socket: ClientSocket) -> bool:
        """Whether an event of the socket may be given at once: nobody is before it, and no bound is reached."""
        room = socket.room
        return (
            self._send is not None
            and room.waiting is None
            and not (self._ready or self._serving or socket.is_waiting or socket.is_stalled)
            and self._free != []
            and socket.under_way < SOCKET_EVENTS_MAX
            and room.under_way < INSTANCE_EVENTS_MAX
            and self._bytes < BYTES_MAX
            and self._bytes_of.get(room.function, 0) < FUNCTION_BYTES_MAX
        )

    def offer(self, socket: ClientSocket) -> None:
        """A socket may have something to give: it does so now, or when it is its turn."""
        if socket.is_waiting:
            return
        if socket.under_way >= SOCKET_EVENTS_MAX:
            socket.is_stalled = True
            return
        self._enqueue(socket)
        self._serve()

    def give(self, socket: ClientSocket | None, room: Room, method: bytes, body: bytes) -> None:
        """Send an event; from within `ClientSocket.give_next`, or for a socket that never was."""
        slot = self._free.pop() if self._free else next(self._further)
        frame, body_bytes, send = pack_event(slot, room.type_id, room.name, method, body), len(body), self._send
        self._under_way[slot] = Given(frame, method, body_bytes, room, socket, send is not None)
        self._bytes += body_bytes
        self._bytes_of[room.function] += body_bytes
        room.under_way += 1
        if socket is not None:
            socket.under_way += 1
        self.count += 1
        if send is not None:
            if self._words is not None and slot < _SLOTS_END:
                self._words[slot - EVENT_SLOT] = 0
            send(frame)

    def reply(self, slot: int) -> None:
        """An event is over.

        Raises:
            ProtocolError: there is none in that slot.
        """
        given = self._under_way.get(slot)
        if given is None:
            raise ProtocolError(f"a REPLY for the event {slot - EVENT_SLOT}, which is not under way")
        self.end(slot)
        if self._ready:
            self._serve()
        if self._held:
            self._release(given.room.function)

    def end(self, slot: int) -> None:
        """Nothing more will come of the event in this slot."""
        given = self._under_way.pop(slot)
        socket, room, body_bytes = given.socket, given.room, given.body_bytes
        if slot < _SLOTS_END:
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
        if room.waiting:
            self._get_ready(room)

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
        """Let those that wait give one event each, in turn, as far as there is room.

        What one gives may cut another client, whose end is then in turn here: served from within, it would take the
        slot of the message that is about to be given, and only what has a slot of the page can be judged.
        """
        if self._serving:
            return
        self._serving = True
        try:
            while self._ready and self._free and self._bytes < BYTES_MAX and self._send is not None:
                room = self._ready.popleft()
                if self._bytes_of.get(room.function, 0) >= FUNCTION_BYTES_MAX:
                    self._held[room.function].append(room)  # it stays ready: it is in turn there
                    continue
                room.is_ready = False
                self._serve_one(room)
                self._get_ready(room)
        finally:
            self._serving = False

    def _serve_one(self, room: Room) -> None:
        if not room.waiting:
            return
        socket = room.waiting.popleft()
        socket.is_waiting = False
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
