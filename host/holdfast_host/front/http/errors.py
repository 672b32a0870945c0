"""Errors to responses, the one place for it. No stack trace leaves; what is our bug goes to the log."""

from __future__ import annotations

import logging

from aiohttp import web

from holdfast_host.core.errors import (
    BadRequestError,
    HoldfastError,
    HostUnavailableError,
    InternalError,
)
from holdfast_host.front.http.answers import JSON, Answer

_log = logging.getLogger(__name__)

_CHALLENGE = b'WWW-Authenticate: Bearer realm="holdfast"\r\n'


class RouteError(Exception):
    """An error whose response carries a header line: the methods that a route allows."""

    def __init__(self, error: HoldfastError, further: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.further = further


def answer_of(error: Exception) -> Answer:
    """The response for whatever a handler raised."""
    if isinstance(error, HoldfastError):
        return Answer(error.status, error.to_json(), JSON, _CHALLENGE if error.status == 401 else b"")
    if isinstance(error, RouteError):
        return Answer(error.error.status, error.error.to_json(), JSON, error.further)
    if isinstance(error, web.RequestPayloadError):
        return answer_of(BadRequestError("the body's transfer or content encoding is broken"))
    _log.error("a handler failed", exc_info=error)
    return answer_of(InternalError("the host failed to handle this request: its log says why"))


def socket_refused() -> RouteError:
    """What a request gets that asks for a WebSocket where nobody takes one."""
    return RouteError(
        BadRequestError("nothing here takes a WebSocket: ask without the header Upgrade", status=426),
        b"Upgrade: HTTP/1.1\r\nConnection: Upgrade\r\n",
    )


def stopping() -> HostUnavailableError:
    """What a request gets that comes too late."""
    return HostUnavailableError("the host is stopping: nothing was done")
