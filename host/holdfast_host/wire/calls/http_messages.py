"""A whole HTTP request or response as JSON text between host and guest, spelled as `wit/instance.wit` says.

What a guest writes is held to HTTP's rules here: nothing in it can break out of its header. What belongs to a
connection rather than to a message (hop-by-hop headers, lengths) is named here, and dropped by whoever speaks HTTP.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from holdfast_host.core.json_text import BEFORE_LONG_BODY_BYTES_MAX, LONG_BODY
from holdfast_host.core.limits import KIB

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_TEXT_BYTES_MAX: Final = 64 * KIB  # a longer body goes as base64: its size is known, and no text is scanned twice
_PIECE_BYTES: Final = 192 * KIB  # of a body at once; a multiple of 3 and of 4
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # control characters, but for the tab
_HEADERS_MAX: Final = 1_000
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class BadMessageError(Exception):
    """A message that cannot be sent; its author's to mend."""


def pack_message(facts: dict[str, Any], body: bytes | bytearray) -> bytes:
    """A message as the guest reads it: these facts, and the body as the last member."""
    return close_message(_encode(facts)[:-1].encode(), body)


def close_message(head: bytes, body: bytes | bytearray) -> bytes:
    """The same of facts that are text already, but for the bracket that ends them."""
    if not body:
        return b"%b}" % head
    if len(body) <= _TEXT_BYTES_MAX:
        try:
            return b'%b,"body":%b}' % (head, _encode(body.decode()).encode())
        except UnicodeDecodeError:
            pass
    pieces = [head, b',"body_base64":"']
    view = memoryview(body)
    pieces += [
        binascii.b2a_base64(view[at : at + _PIECE_BYTES], newline=False) for at in range(0, len(body), _PIECE_BYTES)
    ]
    pieces.append(b'"}')
    return b"".join(pieces)


def headers_text(headers: Iterable[tuple[str, str]]) -> bytes:
    """The headers of a message, as it has them."""
    return _encode(list(headers)).encode()


def parse_message(text: bytes, what: str) -> dict[str, Any]:
    """The facts of a guest's message, which errors call `what`.

    A long one is never parsed as a whole: a guest could make that last for seconds.

    Raises:
        BadMessageError: it is no JSON object, or a long one without its body at the end.
    """
    body: dict[str, Any] = {}
    try:
        if len(text) > BEFORE_LONG_BODY_BYTES_MAX:
            found = LONG_BODY.search(text, 0, BEFORE_LONG_BODY_BYTES_MAX)
            if found is None or not text.endswith(b'"}'):
                raise BadMessageError(f"{what} of {len(text)} bytes must have its body as its last member")
            if found[1]:
                body["body_base64"] = text[found.end() : -2]
            else:
                body["body"] = json.loads(text[found.end() - 1 : -1])
            text = text[: found.start()].removesuffix(b",") + b"}"
        facts = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise BadMessageError(f"{what} is not JSON") from None
    if not isinstance(facts, dict):
        raise BadMessageError(f"{what} is no JSON object")
    return {**facts, **body}


def read_headers(value: Any, bytes_max: int, what: str) -> list[tuple[str, str]]:
    """The headers of a guest's message, each of which can be sent as it is; BadMessageError where one cannot."""
    if not isinstance(value, list) or len(value) > _HEADERS_MAX:
        raise BadMessageError(f"the headers of {what} must be an array of at most {_HEADERS_MAX} pairs")
    size = 0
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise BadMessageError(f"each header of {what} must be a pair of texts")
        name, text = pair
        if not _NAME.fullmatch(name):
            raise BadMessageError(f"{name[:80]!r} is no name of a header")
        check_header_value(name, text, what)
        size += len(name) + len(text.encode())
    if size > bytes_max:
        raise BadMessageError(f"{size} bytes of headers of {what} exceed the limit of {bytes_max} bytes")
    return [(name, text.strip(" \t")) for name, text in value]


def read_body(facts: dict[str, Any], what: str) -> bytes:
    """The body of a guest's message, from what `parse_message` found."""
    encoded, text = facts.get("body_base64"), facts.get("body", "")
    if encoded is None:
        if not isinstance(text, str):
            raise BadMessageError(f"the body of {what} is no text")
        if not _is_unicode(text):
            raise BadMessageError(f"the body of {what} is text with a lone surrogate, which no UTF-8 can hold")
        return text.encode()
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (TypeError, ValueError):
        raise BadMessageError(f"body_base64 of {what} is no base64") from None


def check_header_value(name: str, text: str, what: str) -> str:
    """The value itself, without space around it; BadMessageError where no header may hold it."""
    if _FORBIDDEN.search(text) or not _is_unicode(text):
        raise BadMessageError(f"the header {name} of {what} holds a character that no header may hold")
    return text.strip(" \t")


def named_by_connection(values: Iterable[str]) -> frozenset[str]:
    """The further headers that `Connection` says are the connection's own."""
    return frozenset(each.strip().lower() for value in values for each in value.split(","))


def header_text(raw: bytes) -> str:
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
