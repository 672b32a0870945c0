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
    kind = type(value)
    if kind in _EXACT:
        return value
    # The type is asked, not the value: that may answer with whatever its author likes, an exception too.
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__index__(value)
    return float.__float__(value) if issubclass(kind, float) else value


def refusal_of(value: Any) -> str:
    """Why a value cannot be stored or passed, and what can be: the end of a sentence that begins with its path."""
    kind = type(value)
    what = f"a value of type {kind.__name__}"
    if kind.__module__ != "builtins":
        what = f"an instance of {kind.__module__}.{kind.__qualname__}"
    instead = _instead(kind)
    return f"is {what}, which cannot be stored or passed{f': {instead}' if instead else ''}"


def _instead(kind: type) -> str:
    name = kind.__name__
    if issubclass(kind, Enum):
        return f"write its .value, and {name}(...) where it is read"
    if is_dataclass(kind) and not issubclass(kind, type):
        return f"write dataclasses.asdict(it), and {name}(**...) where it is read"
    if issubclass(kind, tuple):
        again = f"{name}(*...)" if hasattr(kind, "_fields") else f"{name}(...)"
        return f"write tuple(it), and {again} where it is read"
    for base in (dict, list, set, frozenset, bytes, Decimal):
        if issubclass(kind, base):
            return f"write {base.__name__}(it), and {name}(...) where it is read"
    if issubclass(kind, (date, time)):
        written = "datetime" if issubclass(kind, datetime) else "date" if issubclass(kind, date) else "time"
        return f"write {written}.fromisoformat(it.isoformat())"
    if issubclass(kind, timedelta):
        return "write timedelta(it.days, it.seconds, it.microseconds)"
    if issubclass(kind, UUID):
        return "write UUID(int=it.int)"
    return _by_protocol(kind, name)


def _by_protocol(kind: type, name: str) -> str:
    if issubclass(kind, (bytearray, memoryview)):
        return "write bytes(it)"
    if issubclass(kind, Fraction):
        return "write str(it), and Fraction(...) where it is read"
    if issubclass(kind, complex):
        return "write [it.real, it.imag], and complex(*...) where it is read"
    if issubclass(kind, Coroutine):
        return "await it first"
    if issubclass(kind, Mapping):
        return f"write dict(it), and {name}(...) where it is read"
    if issubclass(kind, Set):
        return "write set(it)"
    if issubclass(kind, (deque, Sequence, Generator, Iterator)):
        return "write list(it)"
    if callable(getattr(kind, "model_dump", None)) and not issubclass(kind, type):
        return f"write it.model_dump(), and {name}(**...) where it is read"
    return ""
