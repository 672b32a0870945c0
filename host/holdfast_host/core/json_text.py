"""Judging JSON text that comes from outside, without taking it apart: what passes is passed on as it came.

JSON is meant as RFC 8259 has it: UTF-8 and nothing else, no NaN, no infinities. Integers of any length are text here,
so that many digits cost nothing.

Whoever wrote the text chose it, so all of this takes time in proportion to its length, whatever it says; and what a
worker runs holds the interpreter lock for a few milliseconds at a time, for all its other turns wait for that lock.
The only importer of msgspec, whose scanner makes no objects of what it passes over.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

import msgspec

JsonObject = dict[str, Any]  # an object of JSON, once it is read

# Each bracket as a signed byte, +1 or -1; all else goes away.
_STEPS: Final = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
_NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UP, _PAIR = b"\x01", b"\x01\xff"
_PAIRS_MAX: Final = 8  # levels of brackets with nothing in them that are dropped before each step is counted
_PIECE_BYTES: Final = 32 << 10  # that are looked at before another thread may have the interpreter
# Where the body of a long request or response begins, as wit/instance.wit has it. No string can hold this: its quotes
# would be escaped.
LONG_BODY: Final = re.compile(rb'(?<=[{,])"body(_base64)?":"')
BEFORE_LONG_BODY_BYTES_MAX: Final = 256 << 10
# What a number needs that is larger than any float (1.8e308): an exponent of three digits, or so many digits that an
# exponent of two does it.
_LARGE_EXPONENT: Final = re.compile(rb"[eE]\+?[0-9]{3}")
_DIGITS_MAX: Final = 200
_QUOTE, _BACKSLASH = b'"\\'
_ONLY_DIGITS: Final = bytes(48 if byte in b"0123456789" else 32 for byte in range(256))

_scan: Final = msgspec.json.Decoder(msgspec.Raw).decode
_read_texts: Final = msgspec.json.Decoder(list[str]).decode


class NumberTooLargeError(ValueError):
    """JSON with a number that a reader would take for an infinity."""


def is_json(text: bytes) -> bool:
    """Whether it is one JSON value; False also where it is nested too deep to be read (about a thousand levels)."""
    if text == b"null":  # what most methods return that only write
        return True
    try:
        if not text.isascii():
            text.decode()
        try:
            _scan(text)
        except msgspec.DecodeError:
            if b"\\u" not in text:
                return False
            _scan(_without_surrogates(text))
    except (ValueError, RecursionError):
        return False
    return True


def _without_surrogates(text: bytes) -> bytes:
    """The same with another character in place of each surrogate: JSON may hold a lone one, the scanner takes none."""
    pieces = [piece for _, piece in _pieces(text)]
    return b"".join(
        [each.replace(rb"\\", rb"__").replace(rb"\ud", rb"\u0").replace(rb"\uD", rb"\u0") for each in pieces]
    )


def check_numbers(text: bytes) -> None:
    """Return when no number in well-formed JSON is too large for a float, which readers take for an infinity.

    Raises:
        NumberTooLargeError: one is. Integers of any length pass.
    """
    if _LARGE_EXPONENT.search(text) is None and (
        len(text) <= _DIGITS_MAX or b"0" * _DIGITS_MAX not in text.translate(_ONLY_DIGITS)
    ):
        return
    _read_numbers(text.decode("utf-8", "surrogatepass"))


def _check_float(text: str) -> None:
    if math.isinf(float(text)):
        raise NumberTooLargeError(f"a number that no float can hold: {text:.40}")


_read_numbers: Final = json.JSONDecoder(parse_int=str, parse_float=_check_float).decode


def read_texts(text: bytes) -> list[str]:
    """The strings of a JSON array of strings; who asks has looked at `commas_of`.

    Raises:
        ValueError: it is something else, or a string is no valid Unicode.
    """
    return _read_texts(text)


def commas_of(text: bytes) -> int:
    """How many commas stand outside strings: JSON has at most one value more in an array or object of one level."""
    return sum(outside.count(b",") for _, _, outside in _outside_strings(text))


def is_nested_deeper(text: bytes, levels_max: int) -> bool:
    """Whether well-formed JSON is nested deeper; of other text, whether a parser could get deeper before it fails."""
    if len(text) <= levels_max or text.count(b"[") + text.count(b"{") <= levels_max:
        return False
    return place_nested_deeper(text, levels_max) is not None


def place_nested_deeper(text: bytes, levels_max: int) -> int | None:
    """Where the bracket stands that is nested deeper; None where there is none."""
    depth = 0
    for begin, in_string, outside in _outside_strings(text):
        steps = outside.translate(_STEPS, _NO_BRACKET)
        ups = steps.count(_UP)
        if (
            depth + ups > levels_max
            and not _is_shallow(steps, levels_max - depth)
            and depth + max(accumulate(memoryview(steps).cast("b")), default=0) > levels_max
        ):
            return _place_of_step(text, begin, in_string, levels_max - depth)
        depth += 2 * ups - len(steps)
    return None


def _is_shallow(steps: bytes, levels_max: int) -> bool:
    """True proves that brackets go no deeper: of what most text is, pairs in pairs, little is left to be counted."""
    for dropped in range(1, _PAIRS_MAX + 1):
        steps = steps.replace(_PAIR, b"")
        if dropped + steps.count(_UP) <= levels_max:
            return True
    return False


def _outside_strings(text: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """The text without its strings, piece by piece: where each begins, whether in a string, and what is left of it.

    A string that never ends goes to the end. Where a backslash stands outside a string the text is not JSON, and what
    comes after it means nothing.
    """
    in_string = False
    for begin, piece in _pieces(text):
        plain = piece.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in piece else piece
        parts = plain.split(b'"')
        yield begin, in_string, b"".join(parts[in_string::2])
        in_string ^= len(parts) % 2 == 0


def _pieces(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The text in pieces that begin and end with no half of an escape, each with where it begins."""
    end = 0
    while end < len(text):
        begin, end = end, end + _PIECE_BYTES
        while end < len(text) and _ends_in_escape(text[begin:end]):
            end += 1
        yield begin, text[begin:end]


def _ends_in_escape(piece: bytes) -> bool:
    r"""Whether it ends in `\` or `\u`, whose meaning the next byte decides."""
    before = piece.removesuffix(b"u")
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _place_of_step(text: bytes, at: int, in_string: bool, steps_max: int) -> int:
    """Where so many brackets are passed, from a place that is known to be before it."""
    depth = 0
    while depth <= steps_max:
        byte = text[at]
        if byte == _BACKSLASH:
            at += text[at + 1] in (_BACKSLASH, _QUOTE)
        elif in_string:
            in_string = byte != _QUOTE
        else:
            in_string = byte == _QUOTE
            depth += (byte in b"[{") - (byte in b"]}")
        at += 1
    return at - 1


def body_bytes_at_most(message: bytes) -> int:
    """No body in a request's or response's text is longer than this.

    Base64 that stands last counts as what it encodes, exactly; text that stands last counts as it is written, escapes
    and all; of any other order everything counts. No parser: one would hold up the whole process.
    """
    found = LONG_BODY.search(message, 0, BEFORE_LONG_BODY_BYTES_MAX)
    if found is None or not message.endswith(b'"}'):
        return len(message)
    written = len(message) - 2 - found.end()
    if not found[1]:
        return written
    if message.find(b'"', found.end()) != len(message) - 2:
        return len(message)
    return (written + 3) // 4 * 3 - message[-4:-2].count(b"=")
