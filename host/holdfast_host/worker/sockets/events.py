"""An event of a socket on its way through a turn: a message, or its close.

The socket's row is looked at on the turn's own thread, before the guest runs: where it is gone, or does not hear any
more, there is nothing to do. Of a close the row is removed with what the handler writes. One that fails is noted in the
row, with what the host knows of its attempts, and tried again as an alarm is (`closings`).
"""

from __future__ import annotations

import binascii
import json
import math
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.store import Changes, Ending, SocketRow
from holdfast_host.wire.calls.frames import EVENT_SLOT
from holdfast_host.wire.pages.state_page import BEGUN, LEFT
from holdfast_host.wire.sockets.frames import ON_CLOSE, ON_ERROR
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.turn import Turn
from holdfast_host.worker.turns.turn_sockets import describe

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.wire.sockets.frames import Message
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn_host import TurnHost

_DONE: Final = 200


class EventTurn(Turn):
    """The turn of an event: no caller waits for it, and no limit of calls is its own."""

    __slots__ = ("event",)

    def __init__(self, entry: Entry, event: MessageEvent | CloseEvent, request: Call) -> None:
        """`request` is the event's CALL, without its body."""
        super().__init__(entry, None, request, math.inf)
        self.event = event
        self.is_call = False

    @property
    def limits(self) -> Limits:
        """The host's."""
        return self._host.limits

    @property
    def begun_by(self) -> bytes:
        """The trace context of the turn that accepted its socket, once its row was read."""
        return self.event.trace

    @leaders
    def begin(self, host: TurnHost, generation: int, now: float, loaded: LoadedType, overlay: Overlay) -> None:
        """As any other."""
        super().begin(host, generation, now, loaded, overlay)
        self.event.note(BEGUN)

    @leaders
    def mark(self, group: int) -> None:
        """Note the group that its effects wait for, or that they wait for none."""
        self.event.note(group)

    def mark_left(self) -> None:
        """Note that something of it has left."""
        self.event.note_left()

    def prepare(self) -> bool:
        """Whether the guest is to run; its own thread's, before it does."""
        return self.event.prepare(self)

    def texts(self) -> tuple[bytes, bytes]:
        """What the guest is given."""
        return self.event.texts

    def failed(self) -> None:
        """It has failed: `changes` become what is to be noted of that; its own thread's."""
        self.event.failed(self)


class _Event:
    """What both kinds share: the front's slot that waits for the end."""

    __slots__ = ("_client", "_slot", "socket", "texts", "trace")

    def __init__(self, socket: int, client: ClientConnection | None, slot: int) -> None:
        self.socket = socket
        self.texts = (b"", b"")
        self.trace = b""  # as in its row
        self._client = client
        self._slot = slot

    def answer(self, status: int = _DONE) -> ClientConnection | None:
        """Free the front's slot, once; the connection that has that to send."""
        client, self._client = self._client, None
        return client if client is not None and client.answer(self._slot, status, b"") else None

    def note(self, word: int) -> None:
        """How far it is, for a front whose worker dies; of a close the row says it."""

    def note_left(self) -> None:
        """The same, of what has left."""


class MessageEvent(_Event):
    """A client's message."""

    __slots__ = ("_at", "_message", "_words")

    def __init__(self, message: Message, client: ClientConnection, slot: int) -> None:
        super().__init__(message.socket, client, slot)
        self._message = message
        pages = client.pages
        self._words = None if pages is None else pages.events.words
        self._at = slot - EVENT_SLOT

    def note(self, word: int) -> None:
        """BEGUN, or the group of its effects, or ENDED, beside what has left."""
        if self._words is not None:
            self._words[self._at] = self._words[self._at] & LEFT | word

    def note_left(self) -> None:
        """Something of it has left."""
        if self._words is not None:
            self._words[self._at] |= LEFT

    def note_lost(self) -> None:
        """What it has written is lost, though its group may be reached: nobody is to take it for heard."""
        if self._words is not None:
            self._words[self._at] = LEFT | BEGUN

    def prepare(self, turn: EventTurn) -> bool:
        """Whether the socket is one that hears, and the type one that listens."""
        row = turn.storage.socket(self.socket)
        if row is None or row.closed or row.ending is not None or row.events:
            return False
        if turn.loaded is not None and not turn.loaded.may_handle("socket_message"):
            return False
        message, self.trace = self._message, row.trace
        if message.binary:
            data = binascii.b2a_base64(message.data, newline=False)
            self.texts = _event_text("message", self.socket, row, binary=True), data
        else:
            self.texts = b'{"event":"message","binary":false,"socket":%b}' % describe(self.socket, row), message.data
        return True

    def failed(self, turn: EventTurn) -> None:
        """A message that failed has done nothing."""


class CloseEvent(_Event):
    """A socket's close, from when it is known until its row is gone; see `closings`."""

    __slots__ = ("alone", "delay_s", "ending", "given_up", "in_line", "noted", "owner", "ran", "suspect")

    def __init__(
        self,
        owner: StoredInstance,
        socket: int,
        ending: Ending,
        client: ClientConnection | None = None,
        slot: int = 0,
        *,
        suspect: bool = False,
    ) -> None:
        """`suspect`: an earlier worker may have begun it, and died of it."""
        super().__init__(socket, client, slot)
        self.owner = owner
        self.ending = ending
        self.suspect = suspect
        self.alone = False  # it may run, although it has killed a worker
        self.noted = False  # where the row says that an attempt has begun, it is one of this worker
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """It is to be tried anew."""
        self.ran = self.in_line = False
        self.given_up = ""  # why, once it has failed too often
        self.delay_s = 0.0  # until the next attempt; 0: there is none

    def prepare(self, turn: EventTurn) -> bool:
        """Whether a handler is to run; the row goes with the turn in any case, where there is one."""
        storage = turn.storage
        row = storage.socket(self.socket)
        if row is None:
            return False
        ending = self.ending = row.ending or self.ending
        self.trace = row.trace
        if ending.killed and not self.alone:
            self.in_line = True
            return False
        if ending.begun and not self.noted:
            died = HostUnavailableError("the worker died while the handler ran")
            storage.put_socket(self.socket, self._counted(turn, row, died, killed=True))
            return False
        handler = self._handler(turn)
        if handler is None:
            storage.end_socket(self.socket)
            return False
        if not ending.begun and (self.suspect or ending.tries):
            storage.put_socket(self.socket, row._replace(ending=ending._replace(begun=True)))
            turn.sync()
            self.noted = True
        storage.end_socket(self.socket)
        kind = "error" if handler == ON_ERROR else "close"
        facts = {"code": ending.code, "reason": ending.reason, "clean": ending.clean}
        self.texts = _event_text(kind, self.socket, row, **facts), b""
        self.ran = True
        return True

    def failed(self, turn: EventTurn) -> None:
        """Note that an attempt has failed, and when the next one is; or give the socket up, after the last."""
        turn.changes = None
        if not self.ran or turn.broken is not None:
            return  # nothing ran, or nothing can be written now
        row = turn.storage.stored_socket(self.socket)
        if row is not None and turn.error is not None:
            turn.changes = Changes(sockets={self.socket: self._counted(turn, row, turn.error)})

    def _counted(
        self, turn: EventTurn, row: SocketRow, error: HoldfastError, *, killed: bool = False
    ) -> SocketRow | None:
        """Its row after one more failure; None after the last."""
        tries = self.ending.tries + 1
        if tries > turn.limits.socket_retries_max:
            self.given_up = f"{error.name}: {error.message}"
            return None
        self.ending = self.ending._replace(tries=tries, begun=False, killed=killed)
        self.delay_s = 4.0 ** (tries - 1)
        return row._replace(ending=self.ending)

    def _handler(self, turn: EventTurn) -> bytes | None:
        loaded = turn.loaded
        if self.ending.broke and loaded is not None and loaded.may_handle("socket_error"):
            return ON_ERROR
        return ON_CLOSE if loaded is not None and loaded.may_handle("socket_close") else None


def _event_text(kind: str, socket: int, row: SocketRow, **facts: object) -> bytes:
    head = json.dumps({"event": kind, **facts}, ensure_ascii=False, separators=(",", ":")).encode()
    return b'%b,"socket":%b}' % (head[:-1], describe(socket, row))
