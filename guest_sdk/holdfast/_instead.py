"""Values that are almost of a storable type: what they are to JSON, or the line to write instead.

A subclass of `str`, `int` or `float`, such as a member of a StrEnum or an IntEnum, is its plain value: the two are
equal, also after it was stored. Of everything else an author would miss what does not come back (the fields of a
namedtuple, the arithmetic of a Counter, the methods of a dataclass), so it is refused, with the line that says which
of it to keep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

_EXACT: Final = frozenset({str, int, float, bool, type(None)})


def base_value(value: Any) -> Any:
    """What a value of a subclass of str, int or float is as one of these; any other value as it is."""
    if type(value) in _EXACT:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    return float.__float__(value) if isinstance(value, float) else value


def refusal_of(value: Any) -> str:
    """Why a value cannot be stored or passed, and what can be: the end of a sentence that begins with its path."""
    kind = type(value)
    what = f"a value of type {kind.__name__}"
    if kind.__module__ != "builtins":
        what = f"an instance of {kind.__module__}.{kind.__qualname__}"
    instead = _instead(value, kind)
    return f"is {what}, which cannot be stored or passed{f': {instead}' if instead else ''}"


def _instead(value: Any, kind: type) -> str:
    name = kind.__name__
    if isinstance(value, Enum):
        return f"write its .value, and {name}(...) where it is read"
    if is_dataclass(value) and not isinstance(value, type):
        return f"write dataclasses.asdict(it), and {name}(**...) where it is read"
    if isinstance(value, tuple):
        again = f"{name}(*...)" if hasattr(kind, "_fields") else f"{name}(...)"
        return f"write tuple(it), and {again} where it is read"
    for base in (dict, list, set, frozenset, bytes, Decimal):
        if isinstance(value, base):
            return f"write {base.__name__}(it), and {name}(...) where it is read"
    if isinstance(value, (date, time)):
        written = "datetime" if isinstance(value, datetime) else "date" if isinstance(value, date) else "time"
        return f"write {written}.fromisoformat(it.isoformat())"
    if isinstance(value, timedelta):
        return "write timedelta(it.days, it.seconds, it.microseconds)"
    if isinstance(value, UUID):
        return "write UUID(int=it.int)"
    return _by_protocol(value, name)


def _by_protocol(value: Any, name: str) -> str:
    if isinstance(value, (bytearray, memoryview)):
        return "write bytes(it)"
    if isinstance(value, Fraction):
        return "write str(it), and Fraction(...) where it is read"
    if isinstance(value, complex):
        return "write [it.real, it.imag], and complex(*...) where it is read"
    if isinstance(value, Coroutine):
        return "await it first"
    if isinstance(value, Mapping):
        return f"write dict(it), and {name}(...) where it is read"
    if isinstance(value, Set):
        return "write set(it)"
    if isinstance(value, (deque, Sequence, Generator, Iterator)):
        return "write list(it)"
    if callable(getattr(value, "model_dump", None)) and not isinstance(value, type):
        return f"write it.model_dump(), and {name}(**...) where it is read"
    return ""
