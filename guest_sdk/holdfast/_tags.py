"""Reading tagged values: the objects with the key `$hf` that `wit/storage.wit` specifies (codec version 1).

Each tag has one reader, which takes what the writer of that tag writes: what is misspelled is an error, never a guess.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from holdfast._errors import CodecError

CODEC_VERSION: Final = 1
TAG: Final = "$hf"


def untag(value: Any, path: str) -> Any:
    """The value of a JSON form, its tags read.

    Raises:
        CodecError: A tag that this version does not know, or one whose `v` is none; the message names the path to it.
    """
    if type(value) is list:
        return [untag(part, f"{path}[{index}]") for index, part in enumerate(value)]
    if type(value) is not dict:
        return value
    if TAG not in value:
        return {key: untag(part, f"{path}[{key!r}]") for key, part in value.items()}
    tag = value[TAG]
    reader = _READERS.get(tag) if type(tag) is str else None
    if reader is None:
        raise CodecError(f"{path} has the unknown tag {tag!r} (codec {CODEC_VERSION}: {', '.join(_READERS)})")
    if value.keys() != {TAG, "v"}:
        raise CodecError(f"{path} is tagged {tag!r} and must have exactly the keys '$hf' and 'v'")
    try:
        return reader(value["v"], path)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise CodecError(f"{path} is tagged {tag!r}, but its 'v' is none: {error}") from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"a string is expected, not {value!r:.80}")
    return value


def _items(value: Any, path: str) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"an array is expected, not {value!r:.80}")
    return [untag(part, f"{path}[{index}]") for index, part in enumerate(value)]


def _read_datetime(value: Any, _path: str) -> datetime:
    text, bracket, zone = _text(value).partition("[")
    found = datetime.fromisoformat(text)
    if bracket:
        try:
            return _in_zone(found, ZoneInfo(zone.removesuffix("]")))
        except Exception:
            return found
    return found


def _in_zone(found: datetime, zone: ZoneInfo) -> datetime:
    """The same time of day in the zone where it has that offset, as in an hour that a clock skips; else the moment."""
    for fold in (0, 1):
        local = found.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == found.utcoffset():
            return local
    return found.astimezone(zone)


def _read_timedelta(value: Any, path: str) -> timedelta:
    days, seconds, microseconds = parts = _items(value, path)
    if {*map(type, parts)} != {int} or not (0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000):
        raise ValueError("days, seconds below 86,400 and microseconds below 1,000,000 are expected, as integers")
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _read_integer(value: Any, _path: str) -> int:
    if not re.fullmatch("-?[0-9a-f]+", _text(value)):
        raise ValueError(f"hexadecimal digits in lower case are expected, not {value!r:.80}")
    return int(value, 16)


def _read_decimal(value: Any, _path: str) -> Decimal:
    if "_" in _text(value) or value.strip() != value:
        raise ValueError(f"a decimal number is expected, not {value!r:.80}")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise ValueError(f"a decimal number is expected, not {value!r:.80}") from None


def _read_float(value: Any, _path: str) -> float:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"'nan', 'inf' or '-inf' is expected, not {value!r:.80}")
    return float(value)


def _read_dict(value: Any, path: str) -> dict[Any, Any]:
    if type(value) is not list or not all(type(pair) is list and len(pair) == 2 for pair in value):
        raise TypeError("an array of pairs is expected")
    return {untag(key, f"{path}.keys"): untag(part, f"{path}[{key!r:.80}]") for key, part in value}


_READERS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "bytes": lambda value, path: base64.b64decode(_text(value), validate=True),
    "date": lambda value, path: date.fromisoformat(_text(value)),
    "datetime": _read_datetime,
    "decimal": _read_decimal,
    "dict": _read_dict,
    "float": _read_float,
    "frozenset": lambda value, path: frozenset(_items(value, path)),
    "int": _read_integer,
    "set": lambda value, path: set(_items(value, path)),
    "time": lambda value, path: time.fromisoformat(_text(value)),
    "timedelta": _read_timedelta,
    "tuple": lambda value, path: tuple(_items(value, path)),
    "uuid": lambda value, path: UUID(_text(value)),
}
