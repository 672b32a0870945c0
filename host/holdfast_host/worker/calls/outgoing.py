"""A connection that this worker has made: frames in, bytes out, on the leader's poller.

It never blocks: what the other side does not take waits in pieces, none of which is copied again for each write.
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING, Final

from holdfast_host.core.failures import required
from holdfast_host.wire.calls.frames import FrameReader, ProtocolError
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.threads.poller import READ_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from holdfast_host.worker.threads.poller import Poller

_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
_WRITE_BYTES: Final = 256 << 10  # at once: what is left over is not copied


@leaders
class OutgoingConnection:
    """One link's connection, made anew by its owner after each end."""

    def __init__(
        self,
        poller: Poller,
        *,
        on_frame: Callable[[int, bytes], None],
        on_end: Callable[[ProtocolError | None], None],
    ) -> None:
        """`on_end(error)` is told once that it has ended: by the other side, or for what that one sent."""
        self._poller = poller
        self._on_frame = on_frame
        self._on_end = on_end
        self._socket: socket.socket | None = None
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._writing = False

    @property
    def is_open(self) -> bool:
        """Whether there is one."""
        return self._socket is not None

    def open(self, client: socket.socket) -> None:
        """This is the connection from now on; it has been made, and does not block."""
        self._socket = client
        self._reader = FrameReader()
        self._poller.add(client.fileno(), self._ready)

    def write(self, data: bytes) -> None:
        """Send it, now or when the other side takes more; `on_end` where that finds it gone."""
        if self._socket is None or not data:
            return
        self._unsent.append(memoryview(data))
        if not self._writing:
            self._flush()

    def close(self) -> None:
        """End it from here; `on_end` is not told."""
        client, self._socket = self._socket, None
        if client is not None:
            self._poller.remove(client.fileno())
            client.close()
        self._unsent.clear()
        self._writing = False

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if self._socket is None:
            return
        if events & select.EPOLLIN:
            self._read()
        elif events & _BROKEN:
            self._end()

    def _read(self) -> None:
        connection = required(self._socket, "the socket of a link that was read")
        try:
            data = connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        try:
            for kind, payload in self._reader.feed(data):
                self._on_frame(kind, payload)
        except ProtocolError as error:
            self._end(error)

    def _flush(self) -> None:
        """Write what the socket takes; the rest when it takes more."""
        connection, unsent = required(self._socket, "the socket of a link that is written to"), self._unsent
        try:
            while unsent:
                piece = unsent[0]
                sent = connection.send(piece[:_WRITE_BYTES])
                if sent < len(piece):
                    unsent[0] = piece[sent:]
                else:
                    unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._end()
            return
        if bool(unsent) != self._writing:
            self._writing = bool(unsent)
            self._poller.change(connection.fileno(), reading=True, writing=self._writing)

    def _end(self, error: ProtocolError | None = None) -> None:
        self.close()
        self._on_end(error)
