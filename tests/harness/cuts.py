"""A proxy on loopback between a host and its PostgreSQL, which a test has stall, delay, lose answers or break off."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

_PIECE_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # close without a word


class Way:
    """One direction of all connections: what it is given waits while it is held, and arrives late by `delay_s`."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        """From now on nothing arrives, as where packets are lost one way."""
        self._open.clear()

    def release(self) -> None:
        """All that was held arrives."""
        self._open.set()

    def wait(self) -> None:
        if self.delay_s:
            time.sleep(self.delay_s)
        self._open.wait()


class Proxy:
    """Leads to a port of loopback; closed by its `with` block."""

    def __init__(self, port: int) -> None:
        self.to_server, self.to_host = Way(), Way()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._changing = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_exception: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_off()
        self.release()

    def dsn_of(self, dsn: str) -> str:
        """That address by way of here."""
        return dsn.replace(f":{self._target}/", f":{self.port}/")

    def hold(self) -> None:
        """Nothing arrives either way."""
        self.to_server.hold()
        self.to_host.hold()

    def release(self) -> None:
        """All arrives again."""
        self.to_server.release()
        self.to_host.release()

    def break_off(self) -> None:
        """Reset all connections: both ends see it at once, and what is under way is lost."""
        with self._changing:
            ends, self._ends = self._ends, []
        for each in ends:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                each.shutdown(socket.SHUT_RD)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changing:
                self._ends += (near, far)
            threading.Thread(target=self._carry, args=(near, far, self.to_server), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, self.to_host), daemon=True).start()

    def _carry(self, giver: socket.socket, receiver: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while piece := giver.recv(_PIECE_BYTES):
                way.wait()
                receiver.sendall(piece)
        with suppress(OSError):
            way.wait()
            receiver.shutdown(socket.SHUT_WR)
