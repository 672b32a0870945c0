"""Reading tagged values: the objects with the key `$hf` that `wit/storage.wit` specifies (codec version 2).

Each tag has one reader, which takes what the writer of that tag writes: what is misspelled is an error, never a guess.
Every reader's work is proportional to the text that it reads.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from holdfast._errors import CodecError
from holdfast._values.datetimes import read_datetime, read_time
from holdfast._values.hash_flooding import check_hashes
from holdfast._values.misfits import MisfitError, key_step

# 2: text outside ASCII stands for itself, times keep their fold, fixed zones their name. What 1 wrote is read as ever.
CODEC_VERSION: Final = 2
TAG: Final = "$hf"
_EXACTLY: Final = Context(traps=[InvalidOperation])
_EXPONENT_MAX: Final = 425_000_000  # what a 32-bit decimal can have, as in the sandbox


def untag(value: Any, what: str) -> Any:
    """The value of a JSON form, its tags read.

    Raises:
        CodecError: A tag that this version does not know, or one whose `v` is none; the message names the path to it.
    """
    try:
        return _untag(value)
    except MisfitError as misfit:
        raise CodecError(misfit.sentence(what)) from None
    except RecursionError:
        raise CodecError(f"{what} is nested deeper than can be read here") from None


def read_leaf(tag: str, value: Any) -> Any:
    """What a tag says of its `v`; ValueError, TypeError or MisfitError where it says nothing."""
    return _READERS[tag](value)


def _untag(value: Any) -> Any:
    if type(value) is list:
        return _items(value)
    if type(value) is not dict:
        return value
    if TAG in value:
        return _tagged(value)
    found: dict[str, Any] = {}
    key = ""
    try:
        for key, part in value.items():
            found[key] = _untag(part)
    except MisfitError as misfit:
        misfit.within(key_step(key))
        raise
    return found


def _tagged(value: dict[str, Any]) -> Any:
    tag = value[TAG]
    reader = _READERS.get(tag) if type(tag) is str else None
    if reader is None:
        raise MisfitError(f"has the unknown tag {repr(tag)[:80]} (codec {CODEC_VERSION}: {', '.join(_READERS)})")
    if value.keys() != {TAG, "v"}:
        raise MisfitError(f"is tagged {tag!r} and must have exactly the keys '$hf' and 'v'")
    try:
        return reader(value["v"])
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise MisfitError(f"is tagged {tag!r}, but its 'v' is none: {str(error)[:200]}") from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"a string is expected, not {value!r:.80}")
    return value


def _items(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"an array is expected, not {value!r:.80}")
    found: list[Any] = []
    try:
        found.extend(map(_untag, value))  # as far as it comes
    except MisfitError as misfit:
        misfit.within(f"[{len(found)}]")
        raise
    return found


def _hashable(value: Any) -> Any:
    """A key, or an element of a set: what holds a list, a dict or a set can be none."""
    try:
        hash(value)
    except TypeError:
        raise MisfitError("is or holds a list, a dict or a set: no key and no element of a set can") from None
    return value


def _distinct(value: Any, kind: type) -> Any:
    items = _items(value)
    check_hashes([*map(_hashable, items)])
    found = kind(items)
    if len(found) != len(items):
        raise ValueError("two of its elements are equal")
    return found


def _read_timedelta(value: Any) -> timedelta:
    days, seconds, microseconds = parts = _items(value)
    if {*map(type, parts)} != {int} or not (0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000):
        raise ValueError("days, seconds below 86,400 and microseconds below 1,000,000 are expected, as integers")
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _read_integer(value: Any) -> int:
    if not re.fullmatch("-?[0-9a-f]+", _text(value)):
        raise ValueError(f"hexadecimal digits in lower case are expected, not {value!r:.80}")
    return int(value, 16)


def _read_decimal(value: Any) -> Decimal:
    if "_" in _text(value) or value.strip() != value:
        raise ValueError(f"a decimal number is expected, not {value!r:.80}")
    try:
        found = Decimal(value, _EXACTLY)
    except InvalidOperation:
        raise ValueError(f"a decimal number is expected, not {value!r:.80}") from None
    if abs(found.adjusted()) > _EXPONENT_MAX:
        raise ValueError(f"an exponent beyond {_EXPONENT_MAX:,}: {value!r:.80}")
    return found


def _read_float(value: Any) -> float:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"'nan', 'inf' or '-inf' is expected, not {value!r:.80}")
    return float(value)


def _read_dict(value: Any) -> dict[Any, Any]:
    if type(value) is not list or not all(type(pair) is list and len(pair) == 2 for pair in value):
        raise TypeError("an array of pairs is expected")
    pairs: list[tuple[Any, Any]] = []
    key = nothing = object()
    try:
        for written, part in value:
            key = nothing
            key = _hashable(_untag(written))
            pairs.append((key, _untag(part)))
    except MisfitError as misfit:
        misfit.within(".keys" if key is nothing else key_step(key))
        raise
    check_hashes([key for key, _ in pairs])
    found = dict(pairs)
    if len(found) != len(value):
        raise ValueError("two of its keys are equal")
    return found


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "bytes": lambda value: base64.b64decode(_text(value), validate=True),
    "date": lambda value: date.fromisoformat(_text(value)),
    "datetime": lambda value: read_datetime(_text(value)),
    "decimal": _read_decimal,
    "dict": _read_dict,
    "float": _read_float,
    "frozenset": lambda value: _distinct(value, frozenset),
    "int": _read_integer,
    "set": lambda value: _distinct(value, set),
    "time": lambda value: read_time(_text(value)),
    "timedelta": _read_timedelta,
    "tuple": lambda value: tuple(_items(value)),
    "uuid": lambda value: UUID(_text(value)),
}
