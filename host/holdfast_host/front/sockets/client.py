"""One client's connection once it is a socket: what comes of it becomes events, what is sent to it goes out.

Its life: *open*, until the client or the instance closes it, a rule is broken, or it breaks; *lost*, when it may have
missed something, until it is told so; *shut*, while a close frame of ours waits for the client's; *over*. Its close is
an event like its messages, and comes after them.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.front.sockets.deliveries import Closing, Delivery, Receiver
from holdfast_host.front.sockets.event_stream import COMMENT
from holdfast_host.front.sockets.protocol import (
    ABNORMAL,
    Closed,
    Message,
    MessageReader,
    Part,
    Ping,
    Violation,
    pack_close,
    pack_ping,
    pack_pong,
)
from holdfast_host.wire.sockets.frames import ON_CLOSE, ON_ERROR, ON_MESSAGE, socket_number
from holdfast_host.wire.sockets.frames import Closed as CloseEvent
from holdfast_host.wire.sockets.frames import Message as MessageEvent

if TYPE_CHECKING:
    from holdfast_host.front.sockets.rooms import Room
    from holdfast_host.front.sockets.table import SocketTable

CLOSE_S: Final = 10.0  # that a client has to answer a close frame, and to take what was written before
PING_TICKS: Final = 60  # of silence until a ping, and until its answer; a tick is a second
COMMENT_TICKS: Final = 15
ANSWERS_MAX: Final = 256  # of one client's frames that the front sees to itself, in one step of its loop


class State(IntEnum):
    """Where a socket is."""

    OPEN = 0
    LOST = 1  # it may have missed something: our close frame is to go out, and nothing comes or goes before it
    SHUT = 2  # our close frame is out; messages are dropped
    OVER = 3  # nothing more is read or written


_OPEN: Final = State.OPEN  # looked up for each frame of a crowd's
_CLOSABLE: Final = (State.OPEN, State.LOST)
_DEAF: Final = (State.LOST, State.SHUT)


class Ending(NamedTuple):
    """How it ended, for its instance."""

    method: bytes
    code: int
    clean: bool
    reason: str = ""


class ClientSocket(Receiver, asyncio.Protocol):
    """What both kinds have. Lives until its connection is closed and its close was given; for the front's loop."""

    __slots__ = (
        "_ending",
        "_is_behind",
        "_said",
        "_state",
        "_table",
        "_wire",
        "is_stalled",
        "is_waiting",
        "room",
        "serial",
        "under_way",
    )
    events = False

    def __init__(self, table: SocketTable, wire: asyncio.Transport, room: Room, serial: int) -> None:
        self._table = table
        self._wire = wire
        self.room = room
        self.serial = serial
        self._state = State.OPEN
        self._said: Ending | None = None  # what we said in a close frame
        self._ending: Ending | None = None  # to be given
        self._is_behind = False  # its client takes less than it is sent
        self.under_way = 0  # events
        self.is_waiting = False  # for its turn to give one
        self.is_stalled = False  # it has something to give, and as many under way as it may

    @property
    def said(self) -> Ending | None:
        """How it is being closed by us; None where it still counts as open."""
        return self._said if self._state in _DEAF else None

    @property
    def unsent_bytes(self) -> int:
        """What the client has not taken."""
        return self._wire.get_write_buffer_size()

    @property
    def has_more(self) -> bool:
        """Whether there may be another event."""
        return self._ending is not None

    def give_next(self) -> bool:
        """Give the next event to the worker; False where there is none yet."""
        ending, self._ending = self._ending, None
        if ending is None:
            return False
        number = socket_number(self._table.front, self.serial)
        body = CloseEvent(number, ending.code, ending.clean, ending.reason).pack()
        self.room.flow.give(None, self.room, ending.method, body)
        self._table.forget(self)
        return True

    def look(self, tick: int) -> int | None:
        """See whether it still lives; when to look again, None for never."""
        raise NotImplementedError

    def close(self, closing: Closing) -> None:
        """Close it as its instance, or the host, says."""
        if closing.room is None or closing.room is self.room:
            self.shut(closing.code, closing.reason)

    def shut(self, code: int, reason: str) -> None:
        """The same."""
        raise NotImplementedError

    def lose(self, code: int, reason: str) -> None:
        """It may have missed something: nothing comes or goes any more, and `close` follows."""
        if self._state in _CLOSABLE:
            self._state = State.LOST
            self._said = Ending(ON_CLOSE, code, False, reason)
        self.drop_unread()

    def cut(self, code: int, reason: str) -> None:
        """End it now, without a word to the client, which would not take it."""
        self.drop_unread()
        if self._state is not State.OVER:
            self._state = State.OVER
            self._end(Ending(ON_ERROR, code, False, reason))
        self._wire.abort()

    def abort(self) -> None:
        """Close the connection, whatever is still to be sent."""
        self._wire.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._table.slow.forget(self)
        if self._state is State.OVER:
            return
        said = self._said or Ending(ON_CLOSE, ABNORMAL, False)
        if self._state in _DEAF:
            self.drop_unread()
        self._state = State.OVER
        self._end(said)

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        self._is_behind = True
        self._table.slow.watch(self)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        self._is_behind = False
        self._table.slow.forget(self)

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        self.room.flow.offer(self)

    def drop_unread(self) -> None:
        """What came is not looked at any more."""

    def _hang_up(self) -> None:
        """Close the connection when everything is taken that was written."""
        self._wire.close()
        if self._wire.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CLOSE_S, self._wire.abort)


class WebSocketClient(ClientSocket):
    """A WebSocket."""

    __slots__ = ("_heard_at", "_is_reading", "_pinged_at", "_reader", "held_bytes")

    def __init__(self, table: SocketTable, wire: asyncio.Transport, room: Room, serial: int) -> None:
        super().__init__(table, wire, room, serial)
        self._reader = MessageReader(table.limits.socket_message_bytes_max)
        self._is_reading = True
        self._heard_at = table.tick
        self._pinged_at: int | None = None
        self.held_bytes = 0  # as `table.unread` has it

    @property
    def has_more(self) -> bool:
        """Whether there may be another event."""
        return self._ending is not None or self._reader.has_more

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._heard_at = self._table.tick
        if self._state is State.OVER:
            return
        flow = self.room.flow
        if self._state is _OPEN and flow.has_room_for(self):
            # As most messages come. It is what `offer` would come to, with nothing held in between.
            message = self._reader.read_whole(data)
            if message is not None:
                self._give_message(message)
                return
        self._reader.feed(data)
        flow.offer(self)
        if self.is_waiting or self.is_stalled:
            self._pause_reading()
        self._table.unread.count(self, self._reader.held_bytes)

    def eof_received(self) -> bool:
        """The client sends no more: without a close frame it is broken."""
        return False

    def give_next(self) -> bool:
        """Give the next event to the worker; False where there is none yet."""
        seen = 0
        while (event := self._reader.next()) is not None:
            seen += 1
            if isinstance(event, Message):
                if self._state not in _DEAF and self._give_message(event):
                    self._table.unread.count(self, self._reader.held_bytes)
                    if not self._reader.has_more:
                        self._resume_reading()
                    return True
            elif isinstance(event, Ping):
                if self._state is State.OPEN:
                    self._write(pack_pong(event.payload))
            elif isinstance(event, Closed | Violation):
                self._client_ends(event)
                break
            if seen == ANSWERS_MAX or isinstance(event, Part):
                self._pause_reading()
                asyncio.get_running_loop().call_soon(self._go_on)
                self._table.unread.count(self, self._reader.held_bytes)
                return False
        self._table.unread.count(self, self._reader.held_bytes)
        if self._ending is not None:
            return super().give_next()
        self._resume_reading()
        return False

    def take(self, delivery: Delivery) -> None:
        """Send what the instance sends."""
        if self._state is _OPEN and delivery.room is self.room:
            self._wire.write(delivery.frame)
            if self._is_behind:
                self._table.slow.grew(self)

    def look(self, tick: int) -> int | None:
        """Ping who is silent; end who does not answer."""
        if self._state is not State.OPEN:
            return None
        pinged_at = self._pinged_at
        if pinged_at is not None and self._heard_at < pinged_at and self._is_reading:
            if tick - pinged_at < PING_TICKS:
                return pinged_at + PING_TICKS
            self._state = State.OVER
            self._end(Ending(ON_CLOSE, ABNORMAL, False, "no answer to a ping"))
            self._wire.abort()
            return None
        self._pinged_at = None
        if tick - self._heard_at < PING_TICKS:
            return self._heard_at + PING_TICKS
        if self._is_reading:
            self._pinged_at = tick
            self._wire.write(pack_ping())
        return tick + PING_TICKS

    def shut(self, code: int, reason: str) -> None:
        """Say so to the client, which has a moment to answer."""
        if self._state not in _CLOSABLE:
            return
        self._state = State.SHUT
        self._said = Ending(ON_CLOSE, code, False, reason)
        self._wire.write(pack_close(code, reason))
        asyncio.get_running_loop().call_later(CLOSE_S, self._wire.abort)
        self._resume_reading()
        if not (self.is_waiting or self.is_stalled):
            self.give_next()

    def _go_on(self) -> None:
        """Others have had their turn: the rest of what came."""
        self.room.flow.offer(self)

    def _write(self, frame: bytes) -> None:
        """Answer what the client sent: it may send, and take nothing."""
        self._wire.write(frame)
        if self._is_behind:
            self._table.slow.grew(self)

    def _pause_reading(self) -> None:
        if self._is_reading and not self._wire.is_closing():
            self._is_reading = False
            self._wire.pause_reading()

    def _resume_reading(self) -> None:
        if not self._is_reading and not self._wire.is_closing():
            self._is_reading = True
            self._wire.resume_reading()

    def _give_message(self, message: Message) -> bool:
        """False where it needs no event: the front has the answer."""
        room = self.room
        if room.auto is not None and not message.binary and message.payload == room.auto[0]:
            if self._state is State.OPEN:
                self._write(room.auto[1])
            return False
        body = MessageEvent(socket_number(self._table.front, self.serial), message.binary, message.payload).pack()
        room.flow.give(self, room, ON_MESSAGE, body)
        return True

    def _client_ends(self, event: Closed | Violation) -> None:
        state, self._state = self._state, State.OVER
        if isinstance(event, Violation):
            if state in _CLOSABLE:
                self._wire.write(pack_close(event.code, event.reason))
                # It may still be sending: closed at once, the connection would be reset, and the word be lost.
                asyncio.get_running_loop().call_later(CLOSE_S, self._wire.abort)
                if self._wire.can_write_eof():  # over TLS nobody can
                    self._wire.write_eof()
            ending = self._said or Ending(ON_ERROR, event.code, False, event.reason)
        else:
            if state in _CLOSABLE:
                self._wire.write(pack_close(event.code))
            self._hang_up()
            ending = Ending(ON_CLOSE, event.code, True, event.reason)
        self._ending = ending

    def drop_unread(self) -> None:
        """What came is not looked at any more."""
        self._reader = MessageReader()
        self._table.unread.count(self, 0)


class EventStreamClient(ClientSocket):
    """An event stream, which only listens."""

    __slots__ = ()
    events = True

    def data_received(self, data: bytes) -> None:
        """What a client sends behind its request means nothing."""

    def take(self, delivery: Delivery) -> None:
        """Send what the instance sends."""
        if self._state is _OPEN and delivery.room is self.room:
            self._wire.write(delivery.event)
            if self._is_behind:
                self._table.slow.grew(self)

    def look(self, tick: int) -> int | None:
        """Show proxies that it is in use, and find out whether the client is still there."""
        if self._state is not State.OPEN:
            return None
        if not self.unsent_bytes:
            self._wire.write(COMMENT)
        return tick + COMMENT_TICKS

    def shut(self, code: int, reason: str) -> None:
        """End it; there is no close frame."""
        if self._state not in _CLOSABLE:
            return
        self._state = State.OVER
        self._hang_up()
        self._end(Ending(ON_CLOSE, code, True, reason))
