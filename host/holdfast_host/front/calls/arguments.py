"""Checking a call's arguments without re-encoding them: the text goes through to the guest as it came.

The check runs here, in the front, because a worker's turns are dearer than the front's time and because nesting must be
bounded before any C parser of a guest sees the text. It is one pass of a scanner that makes no objects (0.2 us for a
small body); only what that refuses is read by a slower one, which knows the words.
"""

from __future__ import annotations

import json
from json.decoder import JSONObject  # type: ignore[attr-defined] # the standard library's own, untyped
from typing import Any, Final, NoReturn

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.json_text import (
    NumberTooLargeError,
    check_numbers,
    is_json,
    is_nested_deeper,
    place_nested_deeper,
)

_BLANKS: Final = " \t\n\r"
_MEMBERS: Final = ("type", "name", "method", "args")


def _reject_constant(name: str) -> NoReturn:
    raise BadRequestError(f"the body is not JSON: {name} is no JSON value")


# Numbers stay text: their digits are the guest's business, and a huge one costs nothing here.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject_constant)


def check_arguments(body: bytes, nesting_max: int) -> None:
    """Let pass nothing, a JSON object or a JSON array.

    Raises:
        BadRequestError: not UTF-8, not JSON, a scalar, nested deeper than `nesting_max`, or with a number that no float
            can hold; with the position.
    """
    if not body:
        return
    check_nesting(body, nesting_max)
    if not is_json(body):
        _refuse(_text_of(body))
    if body[0] not in b"{[" and body.lstrip(_BLANKS.encode())[0] not in b"{[":
        raise BadRequestError("the body is a scalar at line 1 column 1: send an object (keywords) or an array")
    _check_numbers(body)


def split_call(body: bytes, nesting_max: int) -> dict[str, Any]:
    """The members of a `/v1/call` body; `args` as the text that the caller sent, empty where absent or null.

    Raises:
        BadRequestError: as `check_arguments`, or a member that is unknown, missing or of the wrong kind.
    """
    text = _text_of(body)
    check_nesting(body, nesting_max, nesting_max + 1)
    begin = len(text) - len(text.lstrip(_BLANKS))
    if not text.startswith("{", begin):
        _refuse(text)
        raise BadRequestError('the body is no object: send {"type":, "name":, "method":, "args":}')
    given: dict[str, str] = {}
    facts: dict[str, Any] = {"args": b""}
    for member, (value, raw) in _members(text, begin):  # of repeated ones the last counts, as parsers take it
        if member not in _MEMBERS:
            raise BadRequestError(f"unknown member {member!r:.80}: a call has type, name, method and args")
        given[member], facts[member] = raw[0], value if member != "args" else raw.encode()
    for member in _MEMBERS[:-1]:
        # A number is text for this decoder, so the raw text decides what is a string.
        if given.get(member) != '"':
            raise BadRequestError(f"the member {member!r} must be a string: a call has type, name, method and args")
    if facts["args"] == b"null":
        facts["args"] = b""
    elif given.get("args", "{") not in "{[":
        raise BadRequestError("the member 'args' must be an object (keywords) or an array")
    _check_numbers(facts["args"])
    return facts


def _members(text: str, begin: int) -> list[tuple[str, tuple[Any, str]]]:
    """The members of the object that begins there, each with its value and the text of that; the body is read once."""

    def scan(_text: str, at: int) -> tuple[tuple[Any, str], int]:
        value, end = _DECODER.scan_once(text, at)  # type: ignore[attr-defined] # the C scanner, untyped
        return (value, text[at:end]), end

    try:
        members, end = JSONObject((text, begin + 1), True, scan, None, list, {})
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if text[end:].strip(_BLANKS):
        _refuse(text)
    found: list[tuple[str, tuple[Any, str]]] = members
    return found


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"the body is not UTF-8: byte 0x{body[error.start]:02x} at {error.start}") from None


def _refuse(text: str) -> None:
    """Say what is wrong with a text that is not JSON."""
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None


def check_nesting(body: bytes, nesting_max: int, levels_max: int | None = None) -> None:
    """BadRequestError when JSON text is nested deeper than the limit; `levels_max` where others stand around it."""
    levels_max = nesting_max if levels_max is None else levels_max
    if is_nested_deeper(body, levels_max):
        place = place_nested_deeper(body, levels_max)
        raise BadRequestError(f"the body is nested deeper than {nesting_max} at byte {place}: flatten it")


def _check_numbers(body: bytes) -> None:
    try:
        check_numbers(body)
    except NumberTooLargeError as error:
        raise BadRequestError(f"the body has {error}") from None
