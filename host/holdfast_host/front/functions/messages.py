"""A request on its way to a function, and its response on the way back: HTTP here, JSON text there.

Both are spelled as `wit/instance.wit` says (`wire.http_messages`). What belongs to a connection rather than to a
message (hop-by-hop headers, lengths) does not pass, in either direction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

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


class FunctionAnswer(Answer):
    """A function's response: its own headers, and what the host adds to them. Used once."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None) -> None:
        super().__init__(status, body)
        self._headers_given = headers
        self._length = length

    def compose(self, exchange: Exchange, connection_line: bytes) -> tuple[bytes, bytes]:
        """Head and body as they go out."""
        given = {name.lower() for name, _ in self._headers_given}
        lines = [status_line(self.status), *(f"{name}: {value}\r\n".encode() for name, value in self._headers_given)]
        if "server" not in given:
            lines.append(b"Server: holdfast\r\n")
        if self._length is not None:
            lines.append(b"Content-Length: %d\r\n" % self._length)
        if "date" not in given:
            lines.append(exchange.dates.header())
        lines += [connection_line, b"\r\n"]
        return b"".join(lines), b"" if exchange.method == "HEAD" else self.payload


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
    if status in _BODILESS:
        return FunctionAnswer(status, passed, b"", None)
    if status == _RESET_CONTENT:
        return FunctionAnswer(status, passed, b"", 0)
    length = len(body)
    if method == "HEAD" and not body and announced.isascii() and announced.isdigit():
        length = int(announced[:18])
    return FunctionAnswer(status, passed, body, length)


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
    if status == _RESET_CONTENT:
        return FunctionAnswer(status, headers, b"", 0)
    return FunctionAnswer(status, headers, b"", None) if method == "HEAD" or status in _BODILESS else None


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
