"""Judging JSON text that comes from outside, without taking it apart: what passes is passed on as it came.

JSON is meant as RFC 8259 has it: UTF-8 and nothing else, no NaN, no infinities. Integers of any length are text here,
so that many digits cost nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Final, NoReturn

STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Each bracket as a signed byte, +1 or -1; all else goes away.
STEPS: Final = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
# Where the body of a long request or response begins, as wit/instance.wit has it. No string can hold this: its quotes
# would be escaped.
LONG_BODY: Final = re.compile(rb'(?<=[{,])"body(_base64)?":"')
BEFORE_LONG_BODY_BYTES_MAX: Final = 256 << 10


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject_constant)
_SCAN: Final[Callable[[str, int], tuple[object, int]]] = _DECODER.scan_once  # type: ignore[attr-defined]  # not in typeshed


def is_json(text: bytes) -> bool:
    """Whether it is one JSON value; False also where it is nested too deep to be read (about a thousand levels)."""
    if text == b"null":  # what most methods return that only write
        return True
    try:
        json_text = text.decode()
        try:
            _, end = _SCAN(json_text, 0)  # without the decoder's search for blanks around it
            if end == len(json_text):
                return True
        except StopIteration:
            pass
        _DECODER.decode(json_text)
    except (ValueError, RecursionError):
        return False
    return True


def is_nested_deeper(text: bytes, levels_max: int) -> bool:
    """Whether well-formed JSON is nested deeper; of other text, whether its brackets are."""
    if len(text) <= levels_max or text.count(b"[") + text.count(b"{") <= levels_max:
        return False
    steps = STRING.sub(b"", text).translate(STEPS, NO_BRACKET)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > levels_max


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
