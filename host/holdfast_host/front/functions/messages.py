"""A request on its way to a function, and its response on the way back: HTTP here, JSON text there.

Both are spelled as `wit/instance.wit` says (`wire.http_messages`). What belongs to a connection rather than to a
message (hop-by-hop headers, lengths) does not pass, in either direction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast_host.core.json_text import BEFORE_LONG_BODY_BYTES_MAX
from holdfast_host.front.http.answers import Answer, status_line
from holdfast_host.front.http.cors import is_cors_header
from holdfast_host.front.http.page_cookie import is_page_cookie, without_page_cookie
from holdfast_host.wire.calls.http_messages import (
    HOP_BY_HOP,
    BadMessageError,
    header_text,
    named_by_connection,
    pack_message,
    parse_message,
    read_body,
    read_headers,
)

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.front.http.server import Exchange

_NOT_FOR_FUNCTIONS: Final = HOP_BY_HOP | {"content-length", "expect"}
_NOT_FOR_CALLERS: Final = HOP_BY_HOP | {"content-length"}
# What a browser does for all of an origin, and for a long time: one that a function has not for itself is not its to
# rule. It would sign out who looks at the inspector, or be told of all that is asked there.
_OF_ORIGIN: Final = frozenset({"alt-svc", "clear-site-data", "nel", "report-to", "strict-transport-security"})
_BODILESS: Final = frozenset({204, 304})
_RESET_CONTENT: Final = 205  # has no body either, but says so
_WHAT: Final = "the response"
_BODY: Final = b',"body":"'  # no string can hold this: its quotes would be escaped
_KNOWN_HEAD_BYTES_MAX: Final = 2048
_KNOWN_HEADS_MAX: Final = 256


class BadResponseError(Exception):
    """A function's response that cannot be sent; its author's to mend, so the text is for the log."""


def pack_request(
    method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes, client: str, socket: str = ""
) -> bytes:
    """The request as the guest reads it.

    `client` is the address that it came from, `socket` the number of the one that it may become.
    """
    facts = {"method": method, "url": url, "client": client, "headers": list(headers)}
    if socket:
        facts["socket"] = socket
    return pack_message(facts, body)


def headers_for_function(exchange: Exchange, body_bytes: int, *, hide_authorization: bool) -> list[tuple[str, str]]:
    """The request's headers in their order, without those of the connection.

    Args:
        exchange: the request.
        body_bytes: what was received, after transfer and content coding were taken off.
        hide_authorization: the header carries the host's own token, which is no function's business.
    """
    named = named_by_connection(exchange.headers.getall("Connection", ()))
    dropped = _NOT_FOR_FUNCTIONS | named if named else _NOT_FOR_FUNCTIONS
    if "Content-Encoding" in exchange.headers:  # taken off as the body was read
        dropped |= {"content-encoding"}
    if exchange.wants_socket:
        dropped -= {"upgrade"}  # its handler is to see what it is asked for
    if hide_authorization:
        dropped |= {"authorization"}
    headers = [
        (name, value)
        for name, value in ((header_text(name), header_text(value)) for name, value in exchange.raw_headers)
        if name.lower() not in dropped
    ]
    if "Cookie" in exchange.headers:
        headers = [each for each in map(without_page_cookie, headers) if each is not None]
    if body_bytes or "Content-Length" in exchange.headers:
        headers.append(("Content-Length", str(body_bytes)))
    return headers


class ResponseHead(NamedTuple):
    """The part of a response's head that its function has written."""

    status: int
    lines: bytes
    is_dated: bool

    @classmethod
    def of(cls, status: int, headers: list[tuple[str, str]]) -> ResponseHead:
        """With these headers."""
        given = {name.lower() for name, _ in headers}
        lines = [status_line(status), *(f"{name}: {value}\r\n".encode() for name, value in headers)]
        if "server" not in given:
            lines.append(b"Server: holdfast\r\n")
        return cls(status, b"".join(lines), "date" in given)


class FunctionAnswer(Answer):
    """A function's response: its own headers, and what the host adds to them. Used once."""

    def __init__(self, head: ResponseHead, body: bytes, length: int | None) -> None:
        super().__init__(head.status, body)
        self._head = head
        self._length = length

    @property
    def head(self) -> ResponseHead:
        """What its function has written of its head."""
        return self._head

    @property
    def has_body(self) -> bool:
        """Whether its status is of those that have one."""
        return self._length is not None and self._head.status != _RESET_CONTENT

    def compose(self, exchange: Exchange, connection_line: bytes) -> tuple[bytes, bytes]:
        """Head and body as they go out."""
        length = b"" if self._length is None else b"Content-Length: %d\r\n" % self._length
        date = b"" if self._head.is_dated else exchange.dates.header()
        head = b"".join((self._head.lines, length, date, connection_line, b"\r\n"))
        return head, b"" if exchange.method == "HEAD" else self.payload


class ResponseReader:
    """Reads the responses of functions. One per front; heads come again and again, and are known by their text then."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[tuple[bytes, bool, bool], ResponseHead] = {}
        self._bytes_max = 0  # of the headers of those that are known

    def read(
        self, reply: bytes, method: str, further: Iterable[tuple[str, str]] = (), *, shared: bool, by_path: bool
    ) -> FunctionAnswer:
        """As `read_response`."""
        limits = self._limits
        end = reply.find(_BODY, 0, _KNOWN_HEAD_BYTES_MAX)
        if end < 0 or method == "HEAD" or len(reply) > BEFORE_LONG_BODY_BYTES_MAX:
            return read_response(reply, method, limits, further, shared=shared, by_path=by_path)
        if self._bytes_max != limits.fetch_headers_bytes_max or len(self._known) > _KNOWN_HEADS_MAX:
            self._known.clear()
            self._bytes_max = limits.fetch_headers_bytes_max
        key = reply[:end], shared, by_path
        head = self._known.get(key)
        if head is not None:
            body = _only_text(reply[end + len(_BODY) - 1 : -1])
            if body is not None and reply.endswith(b"}") and len(body) <= limits.fetch_body_bytes_max:
                return FunctionAnswer(head, body, len(body))
        answer = read_response(reply, method, limits, further, shared=shared, by_path=by_path)
        if head is None and answer.has_body and _is_whole_head(key[0]):
            self._known[key] = answer.head
        return answer


def _only_text(text: bytes) -> bytes | None:
    """What a JSON string says, where this is one and nothing else; None where it is not, or no UTF-8 can hold it."""
    try:
        value = json.loads(text.decode())
        return value.encode() if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None


def _is_whole_head(text: bytes) -> bool:
    """Whether a message's text in front of its body says status and headers, and nothing else."""
    try:
        facts = json.loads(text.decode() + "}")
    except (ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.keys() == {"status", "headers"}


def read_response(
    reply: bytes,
    method: str,
    limits: Limits,
    further: Iterable[tuple[str, str]] = (),
    *,
    shared: bool = False,
    by_path: bool = False,
) -> FunctionAnswer:
    """The response that a guest wrote.

    Args:
        reply: its JSON text.
        method: the request's, for HEAD has no body but may announce one.
        limits: the host's.
        further: headers that it gets beside its own.
        shared: the host says what pages may do, whatever the function says of that.
        by_path: it goes to a page of the host's own origin.

    Raises:
        BadResponseError: it is none, or it does not keep HTTP's rules or the limits.
    """
    try:
        facts = parse_message(reply, _WHAT)
        status, headers = _read_head(facts, limits)
        body = read_body(facts, _WHAT)
    except BadMessageError as error:
        raise BadResponseError(*error.args) from None
    if len(body) > limits.fetch_body_bytes_max:
        raise BadResponseError(
            f"a response of {len(body)} bytes exceeds the limit of {limits.fetch_body_bytes_max} bytes"
        )
    announced = next((value for name, value in headers if name.lower() == "content-length"), "")
    passed = [*_for_callers(headers, shared=shared, by_path=by_path), *further]
    head = ResponseHead.of(status, passed)
    if status in _BODILESS:
        return FunctionAnswer(head, b"", None)
    if status == _RESET_CONTENT:
        return FunctionAnswer(head, b"", 0)
    length = len(body)
    if method == "HEAD" and not body and announced.isascii() and announced.isdigit():
        length = int(announced[:18])
    return FunctionAnswer(head, body, length)


def read_response_head(
    text: bytes, limits: Limits, further: Iterable[tuple[str, str]] = (), *, shared: bool = False, by_path: bool = False
) -> tuple[int, list[tuple[str, str]]]:
    """Status and headers of a response whose body comes in pieces; BadResponseError as for `read_response`."""
    try:
        status, headers = _read_head(parse_message(text, _WHAT), limits)
    except BadMessageError as error:
        raise BadResponseError(*error.args) from None
    return status, [*_for_callers(headers, shared=shared, by_path=by_path), *further]


def bodiless_answer(status: int, method: str, headers: list[tuple[str, str]]) -> FunctionAnswer | None:
    """The whole answer to a request that gets no body, whatever its function would give; None where it gets one."""
    head = ResponseHead.of(status, headers)
    if status == _RESET_CONTENT:
        return FunctionAnswer(head, b"", 0)
    return FunctionAnswer(head, b"", None) if method == "HEAD" or status in _BODILESS else None


def _read_head(facts: dict[str, Any], limits: Limits) -> tuple[int, list[tuple[str, str]]]:
    headers = read_headers(facts.get("headers", []), limits.fetch_headers_bytes_max, _WHAT)
    status = facts.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        raise BadMessageError(f"the status of the response is {str(status)[:20]}, it must be 200 to 599")
    return status, headers


def without_those_of_origin(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers for a page of the host's own origin, without those that rule all of it."""
    return [each for each in headers if each[0].lower() not in _OF_ORIGIN]


def _for_callers(headers: list[tuple[str, str]], *, shared: bool, by_path: bool) -> list[tuple[str, str]]:
    named = named_by_connection(value for name, value in headers if name.lower() == "connection")
    dropped = _NOT_FOR_CALLERS | named if named else _NOT_FOR_CALLERS
    if by_path:
        headers = without_those_of_origin(headers)
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and not (shared and is_cors_header(name)) and not is_page_cookie(name, value)
    ]
