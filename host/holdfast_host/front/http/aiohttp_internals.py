"""The HTTP library's connection, and all that this package knows of it beyond what the library promises.

Its private attributes are named here and nowhere else. Where a release of it lacks one of them, `is_known` says so, and
requests are not served past it (front.known.direct).
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import StreamReader, web

PRIVATE: Final = (
    "_message_tail",
    "_messages",
    "_next_keepalive_close_time",
    "_process_keepalive",
    "_request_count",
    "_waiter",
)


def is_known(handler: type = web.RequestHandler) -> bool:
    """Whether the library's connection has what is relied on here."""
    return all(hasattr(handler, name) for name in PRIVATE)


class LibraryConnection(web.RequestHandler):
    """One connection, as the library sees it."""

    engaged = False  # by a request that the library does not know of

    @property
    def heads(self) -> int:
        """How many requests' heads have come."""
        return self._request_count

    @property
    def waits(self) -> bool:
        """Whether everything that came before is answered, and the library waits for the next request."""
        waiter = self._waiter
        return waiter is not None and not waiter.done()

    @property
    def queued_bodies(self) -> list[StreamReader]:
        """The bodies of requests that came behind the one that is served."""
        return [body for _, body in self._messages]

    def take_tail(self) -> bytes:
        """What came behind the head of a request that asks for another protocol; it is here no more."""
        tail, self._message_tail = self._message_tail, b""
        return tail

    def count_head(self) -> None:
        """A request's head has come that the library does not see."""
        self._request_count += 1

    def renew_keep_alive(self) -> None:
        """The time for which it may be idle begins anew."""
        self._next_keepalive_close_time = asyncio.get_running_loop().time() + self.keepalive_timeout

    def _process_keepalive(self) -> None:
        """It looks idle to the library also while it is engaged."""
        if self.engaged:
            self.renew_keep_alive()
        super()._process_keepalive()
