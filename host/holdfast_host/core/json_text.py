"""Judging JSON text that comes from outside, without taking it apart: what passes is passed on as it came.

JSON is meant as RFC 8259 has it: UTF-8 and nothing else, no NaN, no infinities. Integers of any length are text here,
so that many digits cost nothing.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Final, NoReturn

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Each bracket as a signed byte, +1 or -1; all else goes away.
_STEPS: Final = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
_NO_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject_constant)


def is_json(text: bytes) -> bool:
    """Whether it is one JSON value; False also where it is nested too deep to be read (about a thousand levels)."""
    try:
        _DECODER.decode(text.decode())
    except (ValueError, RecursionError):
        return False
    return True


def is_nested_deeper(text: bytes, levels_max: int) -> bool:
    """Whether well-formed JSON is nested deeper; of other text, whether its brackets are."""
    if text.count(b"[") + text.count(b"{") <= levels_max:
        return False
    steps = _STRING.sub(b"", text).translate(_STEPS, _NO_BRACKET)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > levels_max
