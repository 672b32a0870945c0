"""What instances send to their sockets here, in their order and in pieces: a crowd's message stops nobody else's.

A piece is 256 sockets; instances take turns. Whole SEND frames are counted as taken when their last socket has them in
its buffer: from then on a slow client's bytes are counted as its own (`front.sockets.slow_clients`).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from holdfast_host.front.sockets.event_stream import pack_event
from holdfast_host.front.sockets.protocol import pack_message
from holdfast_host.wire.sockets.frames import Send, SendKind

if TYPE_CHECKING:
    from holdfast_host.front.sockets.rooms import Room

PIECE_SOCKETS: Final = 256

_Owner = TypeVar("_Owner")


class _Once(Generic[_Owner]):
    """What is made when it is first asked for: `functools.cached_property` without its lock, which costs the most."""

    def __init__(self, make: Callable[[_Owner], bytes]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, owner: _Owner, _: type[_Owner]) -> bytes:
        """Made, and from now on the owner's own."""
        made = owner.__dict__[self._name] = self._make(owner)
        return made


class Delivery:
    """One message, or one close, to some sockets, which see to it that it is theirs. Lives until the last has it."""

    def __init__(self, serials: Sequence[int], room: Room | None, taken: Callable[[], None] | None = None) -> None:
        self.serials = serials
        self.room = room  # whose sockets they are; None: of whichever
        self.at = 0  # how many of them have it
        self.taken = taken  # called when all have it

    @_Once
    def frame(self) -> bytes:
        """For a WebSocket."""
        raise NotImplementedError

    @_Once
    def event(self) -> bytes:
        """For an event stream."""
        raise NotImplementedError

    def hand_out(self, serials: Sequence[int], find: Find) -> None:
        """Give it to these, as far as they are still here."""
        for serial in serials:
            receiver = find(serial)
            if receiver is not None:
                self.hand_to(receiver)

    def hand_to(self, receiver: Receiver) -> None:
        """Give it to one of them."""
        raise NotImplementedError


class Sent(Delivery):
    """A message. Packed once for all."""

    def __init__(self, send: Send, room: Room, taken: Callable[[], None]) -> None:
        super().__init__(send.serials, room, taken)
        self._send = send

    @property
    def payload_bytes(self) -> int:
        """How long the message is."""
        return len(self._send.data)

    def hand_out(self, serials: Sequence[int], find: Find) -> None:
        """Give it to these, as far as they are still here; what a crowd costs is spent in this loop."""
        for serial in serials:
            receiver = find(serial)
            if receiver is not None:
                receiver.take(self)

    def hand_to(self, receiver: Receiver) -> None:
        """Give it to one of them."""
        receiver.take(self)

    @_Once
    def frame(self) -> bytes:
        """For a WebSocket: an event is a text that says its parts."""
        send = self._send
        if send.kind != SendKind.EVENT:
            return pack_message(send.data, binary=send.kind == SendKind.BINARY)
        facts = {"id": send.event_id.decode() or None, "event": send.event.decode() or None, "data": send.data.decode()}
        return pack_message(json.dumps(facts, separators=(",", ":")).encode(), binary=False)

    @_Once
    def event(self) -> bytes:
        """For an event stream; nothing for bytes, which it cannot carry."""
        send = self._send
        return b"" if send.kind == SendKind.BINARY else pack_event(send.data, send.event, send.event_id)


class Closing(Delivery):
    """A close."""

    def __init__(self, serials: Sequence[int], room: Room | None, code: int, reason: str) -> None:
        super().__init__(serials, room)
        self.code = code
        self.reason = reason

    def hand_to(self, receiver: Receiver) -> None:
        """Give it to one of them."""
        receiver.close(self)


class Receiver:
    """A socket, or one that is about to be."""

    __slots__ = ()

    def take(self, delivery: Delivery) -> None:
        """Send a message."""
        raise NotImplementedError

    def close(self, closing: Closing) -> None:
        """Close it."""
        raise NotImplementedError


Find = Callable[[int], Receiver | None]


class Deliveries:
    """Of one front; for its loop.

    Args (when made):
        find: the receiver with that serial; None where it has gone.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._loop = asyncio.get_running_loop()
        self._rooms: deque[Room] = deque()  # with pieces to hand out
        self._of_host: deque[Delivery] = deque()  # closes that the host says, of whichever room
        self._is_due = False
        self._idle = asyncio.Event()
        self.count = 0  # of frames that went out

    def add(self, room: Room, delivery: Delivery) -> None:
        """Hand it out behind what the room's sockets are still to get; at once where that is little and short."""
        if room.deliveries is None:
            serials = delivery.serials
            if len(serials) <= PIECE_SOCKETS:
                delivery.hand_out(serials, self._find)
                self.count += len(serials)
                if delivery.taken is not None:
                    delivery.taken()
                return
            room.deliveries = deque()
            self._rooms.append(room)
        room.deliveries.append(delivery)
        self._go_on()

    def close_all(self, serials: Sequence[int], code: int, reason: str) -> None:
        """Close these, before anything else goes out."""
        self._of_host.append(Closing(serials, None, code, reason))
        self._go_on()

    async def settled(self) -> None:
        """Return when everything is handed out."""
        while self._is_due:
            self._idle.clear()
            await self._idle.wait()

    def _go_on(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._is_due = False
        if self._of_host:
            if self._hand_out(self._of_host[0]):
                self._of_host.popleft()
        elif self._rooms:
            room = self._rooms.popleft()
            waiting = room.deliveries
            if waiting and self._hand_out(waiting[0]):
                waiting.popleft()
            if waiting:
                self._rooms.append(room)
            else:
                room.deliveries = None
        if self._rooms or self._of_host:
            self._go_on()
        else:
            self._idle.set()

    def _hand_out(self, delivery: Delivery) -> bool:
        """One piece of it; True when that was the last."""
        piece = delivery.serials[delivery.at : delivery.at + PIECE_SOCKETS]
        delivery.at += len(piece)
        delivery.hand_out(piece, self._find)
        self.count += len(piece)
        if delivery.at < len(delivery.serials):
            return False
        if delivery.taken is not None:
            delivery.taken()
        return True
