"""What a guest asks, as it wrote it, and the answer as it reads it; both spelled as `wit/http.wit` says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from holdfast_host.core.errors import BadRequestError, LimitError
from holdfast_host.core.limits import Limits
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
from holdfast_host.wire.calls.trace_context import NO_CONTEXT, traceparent_of

USER_AGENT: Final = "holdfast"
_TRACEPARENT: Final = "traceparent"
_WHAT: Final = "the request"
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_NEVER: Final = frozenset({"CONNECT", "TRACE", "TRACK"})  # a tunnel; an answer that holds the headers it was asked with
# The courier's own: what belongs to a connection, and what it does with bodies.
_NOT_FOR_SERVERS: Final = HOP_BY_HOP | {"accept-encoding", "content-length", "expect", "host"}


@dataclass(slots=True)
class GuestRequest:
    """One request, as far as it is the guest's to say."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeout_s: float
    follows: bool  # whether redirects are followed


def read_request(text: bytes, limits: Limits, trace: bytes = NO_CONTEXT) -> GuestRequest:
    """Read a guest's text; the request carries the trace context, unless its guest has given it one.

    Raises:
        BadRequestError: it is no request, or does not keep HTTP's rules.
        LimitError: its body or its headers are too long.
    """
    try:
        facts = parse_message(text, _WHAT)
        headers = read_headers(facts.get("headers", []), limits.fetch_headers_bytes_max, _WHAT)
        body = read_body(facts, _WHAT)
    except BadMessageError as error:
        raise BadRequestError(str(error)) from None
    if len(body) > limits.fetch_body_bytes_max:
        raise LimitError(
            f"a request with a body of {len(body)} bytes, the limit is {limits.fetch_body_bytes_max} bytes"
        )
    method, url = facts.get("method"), facts.get("url")
    if not isinstance(method, str) or not _METHOD.fullmatch(method) or method.upper() in _NEVER:
        raise BadRequestError(f"{str(method)!r:.80} is no method that can be sent")
    if not isinstance(url, str):
        raise BadRequestError("the request has no url")
    dropped = _NOT_FOR_SERVERS | named_by_connection(value for name, value in headers if name.lower() == "connection")
    passed = [(name, value) for name, value in headers if name.lower() not in dropped]
    if trace and not any(name.lower() == _TRACEPARENT for name, _ in passed):
        passed.append((_TRACEPARENT, traceparent_of(trace)))
    follows = facts.get("redirects", True)
    if not isinstance(follows, bool):
        raise BadRequestError("redirects of the request must be true or false")
    return GuestRequest(method.upper(), url, passed, body, _timeout_s(facts.get("timeout_ms"), limits), follows)


def pack_response(
    status: int, raw_headers: list[tuple[bytes, bytes]], body: bytes | bytearray, *, inflated: bool
) -> bytes:
    """The answer as the guest reads it."""
    return pack_message({"status": status, "headers": _passed(raw_headers, inflated=inflated)}, body)


def pack_head(serial: int, status: int, raw_headers: list[tuple[bytes, bytes]], *, inflated: bool) -> bytes:
    """The head of an answer whose body is read under this serial."""
    return pack_message(
        {"stream": str(serial), "status": status, "headers": _passed(raw_headers, inflated=inflated)}, b""
    )


def _passed(raw_headers: list[tuple[bytes, bytes]], *, inflated: bool) -> list[tuple[str, str]]:
    """An answer's headers without what was the connection's, or the body's before it was inflated."""
    headers = [(header_text(name), header_text(value)) for name, value in raw_headers]
    dropped = HOP_BY_HOP | named_by_connection(value for name, value in headers if name.lower() == "connection")
    if inflated:
        dropped |= {"content-encoding", "content-length"}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _timeout_s(value: Any, limits: Limits) -> float:
    if value is None:
        return limits.outbound_timeout_s
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise BadRequestError(f"the timeout_ms of the request is {value!r:.40}, it must be a number above zero")
    return min(value, limits.outbound_timeout_s * 1000) / 1000  # a guest's number may be past every float
