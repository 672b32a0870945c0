"""Outbound HTTP for actors and functions.

    from holdfast import http

    answer = http.post("https://api.example.com/v1/charges", json={"amount": 5}, timeout=10)
    if answer.status == 201:
        charge = answer.json()

What may be asked stands in holdfast.toml, `[outbound] allow`. The instance waits for the answer; a call that it gets
meanwhile waits for the instance.
"""

from __future__ import annotations

import sys
from typing import Any

from holdfast._http import Request
from holdfast._outbound import (
    HttpError,
    HttpResponse,
    HttpStream,
    OutboundBusyError,
    OutboundDeniedError,
    OutboundTimeoutError,
    OutboundUnreachableError,
    request,
    send,
    stream,
)
from holdfast._text_streams import ServerSentEvent

fetch = send

__all__ = [
    "HttpError",
    "HttpResponse",
    "HttpStream",
    "HttpxTransport",
    "OutboundBusyError",
    "OutboundDeniedError",
    "OutboundTimeoutError",
    "OutboundUnreachableError",
    "ServerSentEvent",
    "delete",
    "fetch",
    "get",
    "patch",
    "post",
    "put",
    "request",
    "stream",
]


def get(url: str, **options: Any) -> HttpResponse:
    """GET; the options are those of `request`."""
    return request("GET", url, **options)


def post(url: str, **options: Any) -> HttpResponse:
    """POST; the options are those of `request`."""
    return request("POST", url, **options)


def put(url: str, **options: Any) -> HttpResponse:
    """PUT; the options are those of `request`."""
    return request("PUT", url, **options)


def patch(url: str, **options: Any) -> HttpResponse:
    """PATCH; the options are those of `request`."""
    return request("PATCH", url, **options)


def delete(url: str, **options: Any) -> HttpResponse:
    """DELETE; the options are those of `request`."""
    return request("DELETE", url, **options)


# To type checkers it is whatever httpx wants, which the SDK does not import.
_Transport: Any = object


class HttpxTransport(_Transport):  # type: ignore[misc]
    """For code that is written for httpx, where the project brings it: `httpx.Client(transport=HttpxTransport())`.

    Its client follows redirects or not, keeps cookies and raises its own errors; timeouts count for the whole request.
    """

    def handle_request(self, request: Any) -> Any:
        """Send an httpx.Request; an httpx.Response."""
        httpx: Any = sys.modules["httpx"]  # of whoever has made the request
        waits = [each for each in request.extensions.get("timeout", {}).values() if each is not None]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        asked = Request(str(request.url), request.method, headers, request.read())
        try:
            answer = send(asked, timeout=max(waits) if waits else None, redirects=False)
        except OutboundTimeoutError as error:
            raise httpx.ReadTimeout(error.message, request=request) from error
        except HttpError as error:
            raise httpx.ConnectError(error.message, request=request) from error
        return httpx.Response(answer.status, headers=answer.headers.items(), content=answer.body, request=request)

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> HttpxTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
