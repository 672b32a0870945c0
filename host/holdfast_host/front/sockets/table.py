"""All sockets of a front, by their serials: from the offer of one to its close, and what its workers say of them.

A socket outlives the worker of its instance. While there is none, nothing is read; when its successor is there, it is
told which sockets stand, and those that may have missed something are closed (`front.sockets.recovery`). What a worker
says of a socket that is not here is passed over, but for an OPEN, which becomes a close.

What does not live here: a socket's own life (`front.sockets.client`), and requests (`front.functions.handshakes`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import HostUnavailableError, SocketRefusedError
from holdfast_host.front.access.callers import NOBODY, OPERATOR
from holdfast_host.front.sockets.client import EventStreamClient, WebSocketClient
from holdfast_host.front.sockets.deliveries import PIECE_SOCKETS, Closing, Deliveries, Sent
from holdfast_host.front.sockets.event_flow import EventFlow
from holdfast_host.front.sockets.offers import EarlyBytes, Offer, Opened
from holdfast_host.front.sockets.protocol import ABNORMAL, POLICY, RESTART, pack_message
from holdfast_host.front.sockets.recovery import Recovery
from holdfast_host.front.sockets.rooms import Room
from holdfast_host.front.sockets.slow_clients import SlowClients, UnreadMessages
from holdfast_host.wire.calls.frames import Kind, ProtocolError
from holdfast_host.wire.sockets.frames import (
    ON_CLOSE,
    SERIAL_MAX,
    Auto,
    Close,
    Closed,
    Open,
    Send,
    front_of,
    pack_taken,
    serial_of,
    socket_number,
    untold_bytes_max,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.front.access.callers import Caller
    from holdfast_host.front.sockets.client import ClientSocket
    from holdfast_host.front.worker_link import LinkUp, WorkerLink

_HEAD_BYTES: Final = 5  # of a frame: its length and its kind
_SEND: Final = int(Kind.SEND)
_STOPPING: Final = "the host is stopping: connect again"
_ENDED: Final = "the token that it was opened with is revoked, rotated or has expired"


class SocketTable:
    """One per front, for its loop.

    Args (when made):
        front: the number of this process.
        function_of: the function that owns a type, by the type's number.
        partition_of: where an instance lies, by its type's number and its name.
        limits: the host's, with what this front has room for.
    """

    def __init__(
        self,
        front: int,
        function_of: Callable[[int], str],
        partition_of: Callable[[int, bytes], int],
        limits: Limits,
    ) -> None:
        self.front = front
        self.limits = limits
        self.tick = 0  # seconds, as far as silence is measured
        self.slow = SlowClients(self.limits)
        self.unread = UnreadMessages(self.limits.front_unread_bytes_max)
        self.early = EarlyBytes(self.limits.front_untaken_bytes_max)
        self._function_of = function_of
        self._partition_of = partition_of
        self._loop = asyncio.get_running_loop()
        self._held: dict[int, ClientSocket | Offer] = {}
        self._callers: dict[int, Caller] = {}  # by serial: of sockets that were opened with a token of the host
        self._deliveries = Deliveries(self._held.get)
        self._rooms: dict[tuple[int, bytes], Room] = {}
        self._flows: defaultdict[WorkerLink, EventFlow] = defaultdict(EventFlow)
        self._begun: defaultdict[WorkerLink, int] = defaultdict(int)  # how often it was up
        self._taken: defaultdict[WorkerLink, int] = defaultdict(int)  # bytes of SEND, since its HELLO
        self._told: defaultdict[WorkerLink, int] = defaultdict(int)  # what of them its worker has heard of
        self._untold_bytes_max = untold_bytes_max(limits.front_ahead_bytes)
        self._untold: set[WorkerLink] = set()  # that are to hear of more
        self._of_function: defaultdict[str, int] = defaultdict(int)
        self._looks: defaultdict[int, list[int]] = defaultdict(list)  # serials, by the tick at which they are due
        self._ticking: asyncio.TimerHandle | None = None
        self._next_serial = 1
        self._stopping = False
        self._opened = 0
        self._streams = 0

    def __len__(self) -> int:
        return len(self._held)

    def measures(self) -> dict[str, Any]:
        """What is counted."""
        return {
            "open": len(self._held),
            "streams": self._streams,
            "opened": self._opened,
            "events": sum(flow.count for flow in self._flows.values()),
            "sent": self._deliveries.count,
            "cut": self.slow.cut + self.unread.cut,
            "held_bytes": self.unread.held_bytes,
            "unsent_bytes": self.slow.unsent_bytes,
        }

    # From requests.

    def offer(self, function: str) -> Offer:
        """A socket that the request may become; `withdraw` it, or `connect` a client.

        Raises:
            SocketRefusedError: there is no room.
            HostUnavailableError: the front stops, or has no number left.
        """
        limits = self.limits
        if self._stopping:
            raise HostUnavailableError(_STOPPING)
        if len(self._held) >= limits.front_sockets_max:
            raise SocketRefusedError(
                f"this host holds {len(self._held)} sockets, the limit is {limits.front_sockets_max}"
            )
        if self._of_function[function] >= limits.function_sockets_max:
            raise SocketRefusedError(
                f"the function {function!r} has {limits.function_sockets_max} sockets here, which is the limit"
            )
        serial = self._next_serial
        if serial > SERIAL_MAX:
            raise HostUnavailableError(
                f"this front has given {SERIAL_MAX} sockets their numbers: it has to be restarted"
            )
        self._next_serial += 1
        self._of_function[function] += 1
        made = Offer(socket_number(self.front, serial), serial, function, limits.socket_handshake_s, self.early)
        self._held[serial] = made
        return made

    def connect(self, offer: Offer, opened: Opened, wire: asyncio.Transport, caller: Caller = NOBODY) -> ClientSocket:
        """The handshake is whole: the socket in the place of its offer. What came early for it goes out at once.

        It lives no longer than its caller's token, where that is one that may end.
        """
        room, serial = opened.room, offer.serial
        made = (EventStreamClient if opened.events else WebSocketClient)(self, wire, room, serial)
        self._settle(offer)
        self._uncount(offer.function)
        self._of_function[room.function] += 1
        self._held[serial] = made
        if caller not in (NOBODY, OPERATOR):
            self._callers[serial] = caller
            if caller.ended:  # meanwhile
                self._loop.call_soon(self.end_of, caller)
        self._opened += 1
        self._streams += made.events
        self._look_later(serial, self.tick + 1)
        return made

    def hand_over_early(self, offer: Offer, opened: Opened, socket: ClientSocket) -> None:
        """Send what waited for the handshake, and close the others that had accepted it."""
        for each in offer.opened:
            if each is not opened:
                self._refuse(each.room, offer.serial)
        for delivery in offer.early:
            if delivery.room in (opened.room, None):
                delivery.hand_to(socket)

    def withdraw(self, offer: Offer) -> None:
        """The request has become no socket: whoever accepted it hears of a close."""
        self._settle(offer)
        if self._held.get(offer.serial) is not offer:
            return
        del self._held[offer.serial]
        self._uncount(offer.function)
        for each in offer.opened:
            self._refuse(each.room, offer.serial)

    def forget(self, socket: ClientSocket) -> None:
        """Its close is given, or nobody is to be told of it."""
        socket.drop_unread()  # a message that never became whole
        self._callers.pop(socket.serial, None)
        if self._held.pop(socket.serial, None) is not None:
            self._streams -= socket.events
            self._uncount(socket.room.function)
            self._leave(socket.room)

    def end_of(self, caller: Caller) -> None:
        """The caller's token has ended, and with it what was opened under it."""
        serials = tuple(serial for serial, each in self._callers.items() if each is caller)
        if serials:
            self._deliveries.close_all(serials, POLICY, _ENDED)

    async def close_all(self) -> None:
        """The host stops: close all, and return when each has its close frame."""
        self._stopping = True
        self._deliveries.close_all(tuple(self._held), RESTART, _STOPPING)
        await self._deliveries.settled()

    def abort_all(self) -> None:
        """The front ends."""
        if self._ticking is not None:
            self._ticking.cancel()
        for each in list(self._held.values()):
            if not isinstance(each, Offer):
                each.abort()

    # From links.

    def hello(self) -> dict[str, int]:
        """What this front says of its sockets as it begins a link."""
        return {"front": self.front}

    def on_up(self, link: WorkerLink, up: LinkUp) -> None:
        """A link begins: judge what its predecessor left, say what stands, and go on with that."""
        flow = self._flows[link]
        self._begun[link] += 1
        self._taken[link] = self._told[link] = 0
        rooms = [room for room in self._rooms.values() if room.flow is flow]
        standing, closes = Recovery(flow, rooms, self._held, up).decide(self._next_serial)
        self._rooms = {key: room for key, room in self._rooms.items() if room.sockets}  # offers may have left some
        link.send_frame(standing.pack())
        flow.resume(link.send_frame, link.pages.events.words)
        for (code, reason), serials in closes.items():
            self._deliveries.close_all(serials, code, reason)

    def on_lost(self, link: WorkerLink) -> None:
        """A worker is gone, and all that it has said is here."""
        self._flows[link].pause()

    def on_frame(self, link: WorkerLink, kind: int, payload: bytes) -> None:
        """What a worker says.

        Raises:
            ProtocolError: no worker says that.
        """
        if kind == _SEND:
            self._send(link, Send.unpack(payload), len(payload) + _HEAD_BYTES)
        elif kind == Kind.OPEN:
            self._open(link, Open.unpack(payload))
        elif kind == Kind.CLOSE:
            self._close(link, Close.unpack(payload))
        elif kind == Kind.AUTO:
            self._answer_by_itself(link, Auto.unpack(payload))
        else:
            raise ProtocolError(f"a frame of kind {kind} out of turn")

    def on_reply(self, link: WorkerLink, slot: int) -> None:
        """An event is over."""
        self._flows[link].reply(slot)

    def _send(self, link: WorkerLink, send: Send, frame_bytes: int) -> None:
        begun = self._begun[link]

        def taken() -> None:
            if self._begun[link] != begun:
                return  # it is of an earlier worker
            self._taken[link] = taken_bytes = self._taken[link] + frame_bytes
            if taken_bytes - self._told[link] > self._untold_bytes_max:
                if not self._untold:
                    self._loop.call_soon(self._tell_taken)
                self._untold.add(link)

        room = self._room(link, send.type_id, send.name) or self._expect(link, send)
        if room is None:
            taken()
        else:
            self._deliveries.add(room, Sent(send, room, taken))
        link.pages.sends.clear(send.slot)

    def _close(self, link: WorkerLink, close: Close) -> None:
        room = self._room(link, close.type_id, close.name) or self._expect(link, close)
        if room is not None:
            self._deliveries.add(room, Closing(close.serials, room, close.code, close.reason))
        link.pages.sends.clear(close.slot)

    def _open(self, link: WorkerLink, opened: Open) -> None:
        if front_of(opened.socket) != self.front:
            raise ProtocolError(f"an OPEN for the front {front_of(opened.socket)}, this is {self.front}")
        room = self._enter(link, opened.type_id, opened.name)
        held = self._held.get(serial_of(opened.socket))
        if held is not None and (held.has(room) if isinstance(held, Offer) else held.room is room):
            self._leave(room)  # nothing new: it is said again
        elif isinstance(held, Offer) and not (opened.again and held.has_missed(room)):
            held.open(Opened(room, opened.events, opened.protocol))
        else:
            self._refuse(room, serial_of(opened.socket))

    def _answer_by_itself(self, link: WorkerLink, auto: Auto) -> None:
        room = self._room(link, auto.type_id, auto.name)
        if room is not None and auto.text is None:
            room.auto = None
        elif room is not None and auto.text is not None:
            room.auto = auto.text.encode(), pack_message(auto.answer.encode(), binary=False)
        link.pages.sends.clear(auto.slot)

    def _tell_taken(self) -> None:
        for link in self._untold:
            self._told[link] = self._taken[link]
            link.send_frame(pack_taken(self._taken[link]))
        self._untold.clear()

    # Rooms.

    def _enter(self, link: WorkerLink, type_id: int, name: bytes) -> Room:
        room = self._rooms.get((type_id, name))
        flow = self._flows[link]
        if room is None or room.flow is not flow:  # it is another worker's since
            partition = self._partition_of(type_id, name)
            room = Room(flow, type_id, name, self._function_of(type_id), partition)
            self._rooms[type_id, name] = room
        room.sockets += 1
        return room

    def _leave(self, room: Room) -> None:
        room.sockets -= 1
        if not room.sockets and self._rooms.get((room.type_id, room.name)) is room:
            del self._rooms[room.type_id, room.name]

    def _refuse(self, room: Room, serial: int) -> None:
        """The instance has accepted what is no socket: it hears of a close."""
        body = Closed(socket_number(self.front, serial), ABNORMAL, clean=False).pack()
        room.flow.give(None, room, ON_CLOSE, body)
        self._leave(room)

    def _room(self, link: WorkerLink, type_id: int, name: bytes) -> Room | None:
        """The instance, where sockets of it are here that came over this link."""
        room = self._rooms.get((type_id, name))
        return room if room is not None and room.flow is self._flows.get(link) else None

    def _expect(self, link: WorkerLink, frame: Send | Close) -> Room | None:
        """The room of sockets that are still offered: a successor may send to them before it says their OPEN again."""
        room = None
        for serial in frame.serials:
            offer = self._held.get(serial)
            if isinstance(offer, Offer):
                room = self._enter(link, frame.type_id, frame.name)
                offer.expected.append(room)
        return room

    def _settle(self, offer: Offer) -> None:
        offer.settle()
        for room in offer.expected:
            self._leave(room)
        offer.expected.clear()

    def _uncount(self, function: str) -> None:
        left = self._of_function[function] - 1
        if left > 0:
            self._of_function[function] = left
        else:
            self._of_function.pop(function, None)

    # Time.

    def _look_later(self, serial: int, tick: int) -> None:
        self._looks[tick].append(serial)
        if self._ticking is None:
            self._ticking = self._loop.call_later(1.0, self._pass_tick)

    def _pass_tick(self) -> None:
        self._ticking = None
        self.tick += 1
        self._look_at(self._looks.pop(self.tick, []))
        if self._looks and self._ticking is None:
            self._ticking = self._loop.call_later(1.0, self._pass_tick)

    def _look_at(self, serials: list[int]) -> None:
        """In pieces, as crowds have their messages: many that came at one time are looked at in one second."""
        for serial in serials[-PIECE_SOCKETS:]:
            held = self._held.get(serial)
            due = None if held is None or isinstance(held, Offer) else held.look(self.tick)
            if due is not None:
                self._look_later(serial, max(due, self.tick + 1))
        del serials[-PIECE_SOCKETS:]
        if serials:
            self._loop.call_soon(self._look_at, serials)
