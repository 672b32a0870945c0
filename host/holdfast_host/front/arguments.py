"""Checking a call's arguments without re-encoding them: the text goes through to the guest as it came.

The check runs here, in the front, because a worker's turns are dearer than the front's time and because nesting must be
bounded before any C parser of a guest sees the text. It is one pass of the C scanner (0.25 us for a small body), with
numbers left as text; the nesting is computed only when the body has more opening brackets than the limit.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined] # the standard library's own, untyped
from typing import Any, Final, NoReturn

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.json_text import NO_BRACKET, STEPS, STRING, is_nested_deeper

_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")


def _reject_constant(name: str) -> NoReturn:
    raise BadRequestError(f"the body is not JSON: {name} is no JSON value")


# Numbers stay text: their digits are the guest's business, and a huge one costs nothing here.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject_constant)


def check_arguments(body: bytes, nesting_max: int) -> None:
    """Let pass nothing, a JSON object or a JSON array.

    Raises:
        BadRequestError: not UTF-8, not JSON, a scalar, or nested deeper than `nesting_max`; with the position.
    """
    if not body:
        return
    value = _parse(_text_of(body), nesting_max)
    if not isinstance(value, (dict, list)):
        raise BadRequestError("the body is a scalar at line 1 column 1: send an object (keywords) or an array")
    check_nesting(body, nesting_max)


def check_nesting(body: bytes, nesting_max: int) -> None:
    """BadRequestError when well-formed JSON text is nested deeper than the limit."""
    if is_nested_deeper(body, nesting_max):
        raise _too_deep(body, nesting_max)


def split_call(body: bytes, nesting_max: int) -> dict[str, Any]:
    """The members of a `/v1/call` body; `args` as the text that the caller sent, empty where absent or null.

    Raises:
        BadRequestError: as `check_arguments`, or a member that is unknown, missing or of the wrong kind.
    """
    text = _text_of(body)
    whole = _parse(text, nesting_max)
    if not isinstance(whole, dict):
        raise BadRequestError('the body is no object: send {"type":, "name":, "method":, "args":}')
    for member in whole:
        if member not in {"type", "name", "method", "args"}:
            raise BadRequestError(f"unknown member {member!r}: a call has type, name, method and args")
    facts: dict[str, Any] = {"args": b""}
    for member in ("type", "name", "method"):
        # A number is text for this decoder, so the raw text decides what is a string.
        raw = _member_text(text, member)
        if raw is None or not raw.startswith('"'):
            raise BadRequestError(f"the member {member!r} must be a string: a call has type, name, method and args")
        facts[member] = whole[member]
    raw = _member_text(text, "args")
    if raw is not None and raw != "null":
        if raw[0] not in "{[":
            raise BadRequestError("the member 'args' must be an object (keywords) or an array")
        facts["args"] = raw.encode()
        check_nesting(facts["args"], nesting_max)
    return facts


def _member_text(text: str, wanted: str) -> str | None:
    """The raw text of a member of a well-formed object; of repeated ones the last, as parsers take it."""
    found: str | None = None
    at = _skip(text, 0) + 1
    while text[at := _skip(text, at)] != "}":
        if text[at] == ",":
            at = _skip(text, at + 1)
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        if name == wanted:
            found = text[at:end]
        at = end
    return found


def _skip(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    assert match is not None
    return match.end()


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"the body is not UTF-8: byte 0x{body[error.start]:02x} at {error.start}") from None


def _parse(text: str, nesting_max: int) -> Any:
    try:
        value, end = _DECODER.scan_once(text, 0)  # type: ignore[attr-defined] # the C scanner, untyped
        if end == len(text):
            return value
    except (StopIteration, json.JSONDecodeError, RecursionError):
        pass  # leading space, or an error that the slower way words better
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep(text.encode(), nesting_max) from None


def _too_deep(body: bytes, nesting_max: int) -> BadRequestError:
    """Name the byte where the limit is passed. Strings are skipped one by one, brackets counted between them."""
    depth = before = 0
    for string in [*STRING.finditer(body), None]:
        end = len(body) if string is None else string.start()
        gap = body[before:end]
        steps = gap.translate(STEPS, NO_BRACKET)
        if depth + max(accumulate(memoryview(steps).cast("b")), default=0) > nesting_max:
            for index, byte in enumerate(gap):
                depth += (byte in b"[{") - (byte in b"]}")
                if depth > nesting_max:
                    return BadRequestError(
                        f"the body is nested deeper than {nesting_max} at byte {before + index}: flatten it"
                    )
        depth += sum(memoryview(steps).cast("b"))
        before = end if string is None else string.end()
    return BadRequestError(f"the body is nested deeper than {nesting_max}: flatten it")
