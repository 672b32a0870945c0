"""Outbound HTTP: the functions of `holdfast.http`, over the import of the sandbox whose turn runs.

A component is one sandbox, whose import is known from its activation on. A test kit has many in one Python, and says of
each turn whose it is.
"""

from __future__ import annotations

import math
from typing import Any, Final, NoReturn

from holdfast._host_imports import Err, HttpImport, facts_of, raise_refusal
from holdfast._http import HeaderPairs, Headers, Request, Response
from holdfast._values.codec import decode_given, encode_plain

NOTHING: Final[Any] = object()


class HttpError(Exception):
    """An outbound request has no answer.

    Attributes:
        message: Why.
        retryable: Whether nothing was sent, and the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class OutboundDeniedError(HttpError):
    """The function may not ask that, or it leads to an address that nobody may ask."""


class OutboundUnreachableError(HttpError):
    """No connection, or it broke: the outcome may be unknown."""


class OutboundTimeoutError(HttpError):
    """No whole answer in time: the outcome may be unknown."""


class OutboundBusyError(HttpError):
    """Too many requests are under way; nothing was sent."""


HTTP_ERRORS: Final = {
    each.__name__: each
    for each in (OutboundDeniedError, OutboundUnreachableError, OutboundTimeoutError, OutboundBusyError)
}


class HttpResponse(Response):
    """The answer to an outbound request; a function may hand it on as its own response.

    Attributes:
        status: 200 to 599; any of them is an answer.
        headers: Its headers.
        body: The whole body, inflated where it was gzip.
    """

    def json(self) -> Any:  # type: ignore[override]  # of an answer, what it holds; of a class, how one is made
        """The body as JSON; ValueError where it is none, or has a number that no float can hold, like `1e400`."""
        return decode_given(self.text())


class _Import:
    """The import that requests go through."""

    current: HttpImport | None = None


def use_import(http: HttpImport | None) -> HttpImport | None:
    """From now on requests go through this one; the one before."""
    before, _Import.current = _Import.current, http
    return before


def request(
    method: str,
    url: str,
    *,
    headers: HeaderPairs | Headers | None = None,
    body: str | bytes = b"",
    json: Any = NOTHING,
    timeout: float | None = None,
    redirects: bool = True,
) -> HttpResponse:
    """Send a request and wait for the whole answer, whatever its status.

    It leaves when what this instance's earlier turns wrote is durable. It is no part of the turn: if the turn fails
    afterwards, what the server did stays.

    Args:
        method: `GET`, `POST`, ...
        url: The whole URL; holdfast.toml lists what may be asked: `[outbound] allow`.
        headers: A mapping, or pairs where a name repeats. The host sets lengths and `Host` by itself.
        body: Text or bytes.
        json: A value that is sent as plain JSON; in place of `body`.
        timeout: Seconds for all of it, at most 30, which is also what holds where it is not said.
        redirects: Whether they are followed, 5 at most.

    Raises:
        HttpError: There is no answer; its subclasses say why.
        LimitError: The body of request or answer is longer than 10 MiB.
        CodecError: `json` has something that JSON cannot express.
    """
    return send(request_of(method, url, headers, body, json), timeout=timeout, redirects=redirects)


def request_of(method: str, url: str, headers: HeaderPairs | Headers | None, body: str | bytes, json: Any) -> Request:
    """The Request that these make, of which `json` may be NOTHING; see `request`."""
    found = Headers(headers)
    if json is not NOTHING:
        if body:
            raise TypeError("a request has a body or json, not both")
        body = encode_plain(json, "the request")
        if "content-type" not in found:
            found.add("Content-Type", "application/json")
    return Request(url, method, found, body)


def timeout_ms_of(timeout: float) -> int:
    """Seconds as milliseconds; ValueError for what is no time."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ValueError(f"the timeout of a request is a number of seconds above zero, not {timeout!r}")
    return math.ceil(timeout * 1000)


def send(request: Request, *, timeout: float | None = None, redirects: bool = True) -> HttpResponse:
    """Send a Request; see `request`."""
    if not isinstance(request, Request):
        raise TypeError(f"fetch takes a holdfast.Request, not {type(request).__name__}")
    further: dict[str, Any] = {}
    if timeout is not None:
        further["timeout_ms"] = timeout_ms_of(timeout)
    if not redirects:
        further["redirects"] = False
    http = _Import.current
    if http is None:
        raise RuntimeError("outbound requests belong to turns, and none is running")
    try:
        answer = http.request(request.to_wire(**further))
    except Err as error:
        _raise(error)
    return HttpResponse.from_wire(answer)


def _raise(error: Err) -> NoReturn:
    facts = facts_of(error)
    kind = HTTP_ERRORS.get(facts["name"])
    if kind is None:
        raise_refusal(error)
    raise kind(facts["message"], retryable=bool(facts.get("retryable"))) from None
