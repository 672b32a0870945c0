"""An end for statements whose server has fallen silent, which no setting of the server's can give."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@contextmanager
def cut_after(connection: psycopg.Connection[Any], limit_s: float) -> Iterator[None]:
    """End the connection where the server has not answered the block's statements within that.

    A timeout of the driver would ask the server to cancel, which needs an answer too.
    """
    lock, over = threading.Lock(), threading.Event()

    def cut() -> None:
        with lock:
            if over.is_set() or connection.closed:
                return
            with socket.socket(fileno=socket.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()
