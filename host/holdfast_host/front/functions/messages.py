"""A request on its way to a function, and its response on the way back: HTTP here, JSON text there.

Both are spelled as `wit/instance.wit` says. What belongs to a connection rather than to a message (hop-by-hop headers,
lengths) does not pass, in either direction; nothing that a guest writes can break out of its header.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.json_text import BEFORE_LONG_BODY_BYTES_MAX, LONG_BODY
from holdfast_host.core.limits import KIB
from holdfast_host.front.http.answers import Answer, status_line

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.front.http.server import Exchange

_HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NOT_FOR_FUNCTIONS: Final = _HOP_BY_HOP | {"content-length", "expect"}
_NOT_FOR_CALLERS: Final = _HOP_BY_HOP | {"content-length"}
_TEXT_BYTES_MAX: Final = 64 * KIB  # a longer body goes as base64: its size is known, and no text is scanned twice
_PIECE_BYTES: Final = 192 * KIB  # of a body at once; a multiple of 3 and of 4
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # control characters, but for the tab
_BODILESS: Final = frozenset({204, 304})
_RESET_CONTENT: Final = 205  # has no body either, but says so
_HEADERS_MAX: Final = 1_000
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class BadResponseError(Exception):
    """A function's response that cannot be sent; its author's to mend, so the text is for the log."""


def pack_request(method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes, client: str) -> bytes:
    """The request as the guest reads it; `client` is the address that it came from."""
    head = _encode({"method": method, "url": url, "client": client, "headers": list(headers)}).encode()
    if not body:
        return head
    if len(body) <= _TEXT_BYTES_MAX:
        try:
            return b'%b,"body":%b}' % (head[:-1], _encode(body.decode()).encode())
        except UnicodeDecodeError:
            pass
    pieces = [head[:-1], b',"body_base64":"']
    view = memoryview(body)
    pieces += [
        binascii.b2a_base64(view[at : at + _PIECE_BYTES], newline=False) for at in range(0, len(body), _PIECE_BYTES)
    ]
    pieces.append(b'"}')
    return b"".join(pieces)


def headers_for_function(exchange: Exchange, body_bytes: int, *, hide_authorization: bool) -> list[tuple[str, str]]:
    """The request's headers in their order, without those of the connection.

    Args:
        exchange: the request.
        body_bytes: what was received, after transfer and content coding were taken off.
        hide_authorization: the header carries the host's own token, which is no function's business.
    """
    named = _named_by_connection(exchange.headers.getall("Connection", ()))
    dropped = _NOT_FOR_FUNCTIONS | named if named else _NOT_FOR_FUNCTIONS
    if "Content-Encoding" in exchange.headers:  # taken off as the body was read
        dropped |= {"content-encoding"}
    if exchange.wants_socket:
        dropped -= {"upgrade"}  # its handler is to see what it is asked for
    if hide_authorization:
        dropped |= {"authorization"}
    headers = [
        (name, value)
        for name, value in ((_text(name), _text(value)) for name, value in exchange.raw_headers)
        if name.lower() not in dropped
    ]
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


def read_response(reply: bytes, method: str, limits: Limits, further: Iterable[tuple[str, str]] = ()) -> FunctionAnswer:
    """The response that a guest wrote.

    Args:
        reply: its JSON text.
        method: the request's, for HEAD has no body but may announce one.
        limits: the host's.
        further: headers that it gets beside its own.

    Raises:
        BadResponseError: it is none, or it does not keep HTTP's rules or the limits.
    """
    facts = _parse(reply)
    status = facts.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        raise BadResponseError(f"the status of the response is {str(status)[:20]}, it must be 200 to 599")
    headers = _read_headers(facts.get("headers", []), limits)
    body = _read_body(facts)
    if len(body) > limits.fetch_body_bytes_max:
        raise BadResponseError(
            f"a response of {len(body)} bytes exceeds the limit of {limits.fetch_body_bytes_max} bytes"
        )
    announced = next((value for name, value in headers if name.lower() == "content-length"), "")
    named = _named_by_connection(value for name, value in headers if name.lower() == "connection")
    dropped = _NOT_FOR_CALLERS | named if named else _NOT_FOR_CALLERS
    passed = [(name, value) for name, value in headers if name.lower() not in dropped]
    passed += further
    if status in _BODILESS:
        return FunctionAnswer(status, passed, b"", None)
    if status == _RESET_CONTENT:
        return FunctionAnswer(status, passed, b"", 0)
    length = len(body)
    if method == "HEAD" and not body and announced.isascii() and announced.isdigit():
        length = int(announced[:18])
    return FunctionAnswer(status, passed, body, length)


def _parse(reply: bytes) -> dict[str, Any]:
    """The facts of a response. A long one is never parsed as a whole: a guest could make that last for seconds."""
    body: dict[str, Any] = {}
    try:
        if len(reply) > BEFORE_LONG_BODY_BYTES_MAX:
            found = LONG_BODY.search(reply, 0, BEFORE_LONG_BODY_BYTES_MAX)
            if found is None or not reply.endswith(b'"}'):
                raise BadResponseError(f"a response of {len(reply)} bytes must have its body as its last member")
            if found[1]:
                body["body_base64"] = reply[found.end() : -2]
            else:
                body["body"] = json.loads(reply[found.end() - 1 : -1])
            reply = reply[: found.start()].removesuffix(b",") + b"}"
        facts = json.loads(reply.decode())
    except (ValueError, RecursionError):
        raise BadResponseError("the response is not JSON") from None
    if not isinstance(facts, dict):
        raise BadResponseError("the response is no JSON object")
    return {**facts, **body}


def _read_headers(value: Any, limits: Limits) -> list[tuple[str, str]]:
    if not isinstance(value, list) or len(value) > _HEADERS_MAX:
        raise BadResponseError(f"the headers of the response must be an array of at most {_HEADERS_MAX} pairs")
    size = 0
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise BadResponseError("each header of the response must be a pair of texts")
        name, text = pair
        if not _NAME.fullmatch(name):
            raise BadResponseError(f"{name[:80]!r} is no name of a header")
        if _FORBIDDEN.search(text) or not _is_unicode(text):
            raise BadResponseError(f"the header {name} of the response holds a character that no header may hold")
        size += len(name) + len(text.encode())
    if size > limits.fetch_headers_bytes_max:
        raise BadResponseError(
            f"{size} bytes of response headers exceed the limit of {limits.fetch_headers_bytes_max} bytes"
        )
    return [(name, text.strip(" \t")) for name, text in value]


def _read_body(facts: dict[str, Any]) -> bytes:
    encoded, text = facts.get("body_base64"), facts.get("body", "")
    if encoded is None:
        if not isinstance(text, str):
            raise BadResponseError("the body of the response is no text")
        if not _is_unicode(text):
            raise BadResponseError("the body of the response is text with a lone surrogate, which no UTF-8 can hold")
        return text.encode()
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (TypeError, ValueError):
        raise BadResponseError("body_base64 of the response is no base64") from None


def _named_by_connection(values: Iterable[str]) -> frozenset[str]:
    """The further headers that `Connection` says are the connection's own."""
    return frozenset(each.strip().lower() for value in values for each in value.split(","))


def _text(raw: bytes) -> str:
    """A header as text: UTF-8 where it is that, else byte by byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
