"""What annotations of one value ask for - numbers, texts, dates, decimals - of the plain form that JSON has."""

from __future__ import annotations

import binascii
import typing
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final
from uuid import UUID

from holdfast._values.misfits import MisfitError
from holdfast._values.tags import read_leaf

_EXACT_INTEGER_MAX: Final = 1 << 53  # up to here a float has every integer
NOTHING: Final[frozenset[type]] = frozenset()


class Converter:
    """What one annotation asks for. Immutable once it is made.

    Attributes:
        words: What is expected, for an error: `an integer`.
        exact: The types of values that pass as they are, without a look at them.
        convert: Returns the value that the method is given; MisfitError where there is none.
    """

    __slots__ = ("convert", "exact", "words")

    def __init__(self, words: str, exact: Iterable[type], convert: Callable[[Any], Any]) -> None:
        self.words = words
        self.exact: frozenset[type] = frozenset(exact)
        self.convert = convert

    def __call__(self, value: Any) -> Any:
        """The value itself where its type says enough, else what it is converted to."""
        return value if type(value) in self.exact else self.convert(value)


def refuse(value: Any, words: str, hint: str = "") -> typing.NoReturn:
    raise MisfitError(f"is {shown(value)}, not {words}{hint}")


def shown(value: Any) -> str:
    if type(value) is list:
        return "an array"
    if type(value) is dict:
        return "an object"
    if type(value) is int and value.bit_length() > 200:
        return "a long integer"
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}..."


def _to_int(value: Any) -> int:
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT_INTEGER_MAX:
        return int(value)
    refuse(value, "an integer")


def _to_float(value: Any) -> float:
    if type(value) is int and value.bit_length() <= 1024:
        found = float(value) if abs(value) < 1 << 1023 else None
        if found is not None and int(found) == value:
            return found
    refuse(value, "a number" if type(value) is not int else "a number that a float can hold exactly")


def _to_decimal(value: Any) -> Decimal:
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        refuse(value, "a decimal", ': a JSON number is rounded, send it as text such as "9.90"')
    found: Decimal = _read("decimal", 'a decimal as text such as "9.90"', value)
    if not found.is_finite():  # it compares as no number does, and stays in every sum
        refuse(value, 'a decimal as text such as "9.90"')
    return found


def _to_timedelta(value: Any) -> timedelta:
    if type(value) is int or type(value) is float:
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError):
            pass
    refuse(value, "a span of time in seconds")


def _read(tag: str, words: str, value: Any) -> Any:
    if type(value) is str:
        try:
            return read_leaf(tag, value)
        except (ValueError, TypeError, OverflowError, binascii.Error):
            pass
    refuse(value, words)


def leaf(kind: type, words: str, convert: Callable[[Any], Any] | None = None) -> Converter:
    return Converter(words, {kind}, convert or (lambda value: refuse(value, words)))


def _text_leaf(tag: str, words: str) -> Converter:
    return Converter(words, NOTHING, lambda value: _read(tag, words, value))


LEAVES: Final[dict[Any, Converter]] = {
    NoneType: leaf(NoneType, "null"),
    bool: leaf(bool, "true or false"),
    int: leaf(int, "an integer", _to_int),
    float: leaf(float, "a number", _to_float),
    str: leaf(str, "a string"),
    bytes: _text_leaf("bytes", "bytes as base64"),
    date: _text_leaf("date", 'a date such as "2026-11-01"'),
    datetime: _text_leaf("datetime", 'a date and time such as "2026-11-01T12:30:00+00:00"'),
    time: _text_leaf("time", 'a time such as "12:30:00"'),
    timedelta: Converter("a span of time in seconds", NOTHING, _to_timedelta),
    Decimal: Converter('a decimal as text such as "9.90"', NOTHING, _to_decimal),
    UUID: _text_leaf("uuid", "a UUID"),
}
