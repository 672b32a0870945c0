"""Outbound HTTP: the functions of `holdfast.http`, over the import of the sandbox whose turn runs.

A component is one sandbox, whose import is known from its activation on. A test kit has many in one Python, and says of
each turn whose it is.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from holdfast._errors import LimitError
from holdfast._host_imports import Err, HttpImport, facts_of, raise_refusal
from holdfast._http import HeaderPairs, Headers, Request, Response
from holdfast._text_streams import ServerSentEvent, cut_lines, read_events
from holdfast._values.codec import decode_given, decode_json, encode_plain

PIECE_BYTES: Final = 64 << 10  # that one read asks for
WHOLE_BYTES_MAX: Final = 10 << 20

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

    def events(self) -> Iterator[ServerSentEvent]:
        """The events that it holds, where it is a `text/event-stream`."""
        return read_events([self.body])


class HttpStream:
    """An answer whose body is read as it comes; `holdfast.http.stream` opens one.

    It iterates over the pieces of its body (bytes), as they come; `lines`, `events` and `read` read the same body. What
    is not read waits at the server. A function may hand it on: `Response(answer, answer.status)`.

    Attributes:
        status: 200 to 599; any of them is an answer.
        headers: Its headers.
    """

    def __init__(self, http: HttpImport, head: str) -> None:
        facts = decode_json(head)
        self.status: int = facts["status"]
        self.headers = Headers.from_wire(facts.get("headers", ()))
        self._http = http
        self._stream: str | None = facts["stream"]

    def __iter__(self) -> HttpStream:
        return self

    def __next__(self) -> bytes:
        """The next piece, as soon as there is one.

        Raises:
            HttpError: It broke off, or nothing came in time.
        """
        piece = self._read(PIECE_BYTES)
        if not piece:
            raise StopIteration
        return piece

    def read(self) -> bytes:
        """All that is left of the body; LimitError where that is longer than 10 MiB."""
        whole = bytearray()
        for piece in self:
            whole += piece
            if len(whole) > WHOLE_BYTES_MAX:
                self.close()
                raise LimitError(f"the answer's body is longer than the limit of {WHOLE_BYTES_MAX} bytes for one read")
        return bytes(whole)

    def lines(self) -> Iterator[str]:
        """Its lines as UTF-8, without their ends, each as soon as its end has come."""
        return cut_lines(self)

    def events(self) -> Iterator[ServerSentEvent]:
        """The events of a `text/event-stream`, each as soon as it is whole."""
        return read_events(self)

    def close(self) -> None:
        """What has not been read is not wanted any more. The end of the turn does the same."""
        if self._stream is not None:
            self._read(0)

    def __enter__(self) -> HttpStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<HttpStream {self.status}, {'closed' if self._stream is None else 'open'}>"

    def _read(self, bytes_max: int) -> bytes:
        stream, self._stream = self._stream, None
        if stream is None:
            return b""
        try:
            piece = binascii.a2b_base64(self._http.read(stream, bytes_max))
        except Err as error:
            _raise(error)
        if piece:
            self._stream = stream
        return piece


class _Import:
    """The import that requests go through."""

    current: HttpImport | None = None


def use_import(http: HttpImport | None) -> HttpImport | None:
    """From now on requests go through this one; the one before."""
    before = _Import.current
    if before is not http:  # in a component it is the one already: an activation writes to no page for it
        _Import.current = http
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


def stream(
    method: str,
    url: str,
    *,
    headers: HeaderPairs | Headers | None = None,
    body: str | bytes = b"",
    json: Any = NOTHING,
    timeout: float | None = None,
    redirects: bool = True,
) -> HttpStream:
    """Send a request and wait for the head of the answer alone; its body is read as it comes.

    Example:
        with http.stream("POST", url, json={"stream": True}) as answer:
            for event in answer.events():
                print(event.data)

    Args, and what is raised: as for `request`. `timeout` counts for the head, and then for each piece.
    """
    http, text = _import(), _wire(request_of(method, url, headers, body, json), timeout, redirects)
    try:
        head = http.open(text)
    except Err as error:
        _raise(error)
    return HttpStream(http, head)


def send(request: Request, *, timeout: float | None = None, redirects: bool = True) -> HttpResponse:
    """Send a Request; see `request`."""
    if not isinstance(request, Request):
        raise TypeError(f"fetch takes a holdfast.Request, not {type(request).__name__}")
    text = _wire(request, timeout, redirects)
    try:
        answer = _import().request(text)
    except Err as error:
        _raise(error)
    return HttpResponse.from_wire(answer)


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


def _wire(request: Request, timeout: float | None, redirects: bool) -> str:
    further: dict[str, Any] = {}
    if timeout is not None:
        further["timeout_ms"] = timeout_ms_of(timeout)
    if not redirects:
        further["redirects"] = False
    return request.to_wire(**further)


def _import() -> HttpImport:
    if _Import.current is None:
        raise RuntimeError("outbound requests belong to turns, and none is running")
    return _Import.current


def _raise(error: Err) -> NoReturn:
    facts = facts_of(error)
    kind = HTTP_ERRORS.get(facts["name"])
    if kind is None:
        raise_refusal(error)
    raise kind(facts["message"], retryable=bool(facts.get("retryable"))) from None
