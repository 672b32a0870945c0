"""What a server sends on a connection, held to the course of HTTP: an answer to each request, and heads that end.

The library keeps what comes on an idle connection for the next request, and limits each header but not all of them, nor
the interim answers (1xx) before the real one. Here a connection on which more than the answer comes is closed, and an
answer that goes on without a piece of its body ends at the limit of headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage

from holdfast_host.core.errors import LimitError
from holdfast_host.core.limits import KIB

_OK: Final = 200
_UNCOUNTED_BYTES: Final = 16 * KIB  # of first lines and line ends, which are no headers


class AnswerProtocol(ResponseHandler):
    """One connection to a server; belongs to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, headers_bytes_max: int) -> None:
        """`headers_bytes_max`: of an answer, with its interim answers and trailers."""
        super().__init__(loop=loop)
        self._headers_bytes_max = headers_bytes_max
        self._body: aiohttp.StreamReader | None = None  # of the real answer, once its head is there
        self._body_bytes = 0
        self._other_bytes = 0  # since the last piece of the body

    def set_response_params(self, **parameters: Any) -> None:
        """A request has been sent: what comes now is its answer."""
        self._body = None
        self._body_bytes = self._other_bytes = 0
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """What the server sends, whether it was asked or not."""
        if data and self._body is not None and self._body.is_eof():
            self._end()
            return
        self._other_bytes += len(data)
        super().data_received(data)
        if self._body is not None and (self._body.is_eof() or self._body.total_bytes != self._body_bytes):
            self._body_bytes, self._other_bytes = self._body.total_bytes, 0
        elif self._other_bytes > self._headers_bytes_max + _UNCOUNTED_BYTES:
            error = LimitError(f"the answer's headers exceed the limit of {self._headers_bytes_max} bytes")
            if self._body is None:
                self.set_exception(error)
            else:
                self._body.set_exception(error)
            self._end()

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """The library has read a head."""
        message, body = data
        if self._body is not None:  # a second answer to one request
            self._end()
            return
        if message.code >= _OK:
            self._body = body
            self._body_bytes = 0
        super().feed_data(data, size)

    def _end(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()


class AnswerConnector(aiohttp.TCPConnector):
    """Makes connections of that kind."""

    def __init__(self, headers_bytes_max: int, **options: Any) -> None:
        """The options are the library's."""
        super().__init__(**options)
        make: Callable[[], ResponseHandler] = partial(AnswerProtocol, self._loop, headers_bytes_max)
        self._factory = partial(make)
