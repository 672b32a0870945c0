"""The worker's sockets to its clients: frames in, replies out, flow control.

Sockets never block: what a client does not take stays in its out-buffer, and a client with too much there is not read
from.
"""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.wire.calls.frames import (
    PROTOCOL,
    FrameReader,
    Kind,
    ProtocolError,
    pack_json,
    pack_reply,
    unpack_json,
)
from holdfast_host.wire.pages.state_page import StatePage
from holdfast_host.wire.sockets.pages import PAGES, SocketPages
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.threads.poller import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.worker.threads.poller import Poller
    from holdfast_host.worker.turns.turn import Turn

_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR


@leaders
class ClientConnection:
    """One client: a front, or another worker. Lives until its socket ends."""

    def __init__(
        self,
        connection: socket.socket,
        poller: Poller,
        *,
        unsent_bytes_max: int,
        greeting: Callable[[], dict[str, Any]],
        on_frame: Callable[[ClientConnection, int, bytes], None],
        on_close: Callable[[ClientConnection], None],
        on_hello: Callable[[ClientConnection], None] = lambda client: None,
    ) -> None:
        self._socket = connection
        self._poller = poller
        self._unsent_bytes_max = unsent_bytes_max
        self._greeting = greeting
        self._on_frame = on_frame
        self._on_close = on_close
        self._on_hello = on_hello
        self._reader = FrameReader()
        self._unsent = memoryview(b"")
        self._fds: list[int] = []
        self._reading = self._writing = False
        self.page: StatePage
        self.greeted = False
        self.closed = False
        self.name = "?"
        self.front = 0  # a front's number; 0: it has no sockets
        self.pages: SocketPages | None = None  # a front's
        self.turns: dict[int, Turn] = {}  # by slot: not yet answered
        self._replies: list[bytes] = []  # what may leave, since the last flush
        connection.setblocking(False)
        self._reading = True
        poller.add(connection.fileno(), self._ready)

    def expect(self, turn: Turn) -> None:
        """The turn's caller waits for its answer in the slot of its request."""
        self.turns[turn.request.slot] = turn

    def answer(self, slot: int, status: int, body: bytes) -> bool:
        """A slot's answer, which leaves with the next flush; False where nobody is there any more."""
        turn = self.turns.pop(slot, None)
        if turn is not None and turn.quota is not None:
            turn.quota.release()
        if self.closed:
            self.release_page()
            return False
        self._replies.append(pack_reply(slot, status, body))
        return True

    def post(self, frame: bytes) -> None:
        """A frame that answers nothing, which leaves with the next flush."""
        self._replies.append(frame)

    def flush(self) -> None:
        """Send what may leave, in one write."""
        if self.closed:
            self._replies.clear()
            return
        data = self._unsent
        if self._replies:
            data = memoryview(b"".join((data, *self._replies)))
            self._replies.clear()
        if data:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            self._unsent = data[sent:]
        self._watch()

    def close(self) -> None:
        """End it: what has not begun is cancelled by `on_close`, what runs finds nobody."""
        if self.closed:
            return
        self.closed = True
        self._poller.remove(self._socket.fileno())
        self._socket.close()
        self._on_close(self)

    def release_page(self) -> None:
        """Unmap the state page once it is closed and its last turn is over."""
        if self.closed and not self.turns and self.greeted:
            self.greeted = False
            self.page.close()

    def _watch(self) -> None:
        """Write when there is something to write; read unless the client is too far behind."""
        writing = bool(self._unsent)
        reading = len(self._unsent) < self._unsent_bytes_max
        if (reading, writing) != (self._reading, self._writing):
            self._reading, self._writing = reading, writing
            self._poller.change(self._socket.fileno(), reading=reading, writing=writing)

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self.flush()
        if self.closed:
            return
        if events & select.EPOLLIN:
            self._read()
        elif events & _BROKEN:
            self.close()

    def _read(self) -> None:
        try:
            if self.greeted:
                data = self._socket.recv(READ_BYTES)
            else:
                data, fds, _, _ = socket.recv_fds(self._socket, READ_BYTES, 4)
                self._fds += fds
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            for kind, payload in self._reader.feed(data):
                if self.greeted:
                    self._on_frame(self, kind, payload)
                else:
                    self._greet(kind, payload)
        except ProtocolError:
            self.close()

    def _greet(self, kind: int, payload: bytes) -> None:
        fds, self._fds = self._fds, []
        try:
            self._take_hello(kind, payload, fds)
        except ProtocolError:
            for fd in fds:
                os.close(fd)
            raise
        self.greeted = True
        self._replies.append(pack_json(Kind.HELLO, self._greeting()))
        self._on_hello(self)
        self.flush()

    def _take_hello(self, kind: int, payload: bytes, fds: list[int]) -> None:
        """Who the client is, and its pages: a front has those of its sockets beside the one of calls."""
        if kind != Kind.HELLO:
            raise ProtocolError("the first frame must be a HELLO")
        facts = unpack_json(payload)
        if facts.get("protocol") != PROTOCOL:
            raise ProtocolError(f"the client speaks protocol {facts.get('protocol')}, this worker {PROTOCOL}")
        front = facts.get("front", 0)
        if type(front) is not int or not 0 <= front < 1 << 32:
            raise ProtocolError("a HELLO with a damaged number of its front")
        if len(fds) != (1 + PAGES if front else 1):
            raise ProtocolError(f"a HELLO with {len(fds)} descriptors of pages")
        self.name = f"{facts.get('client')} {facts.get('pid')}"
        self.front = front
        self.page = StatePage(fds[0])
        if front:
            self.pages = SocketPages.adopt(*fds[1:])
