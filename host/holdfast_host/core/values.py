"""Values as people see and write them: plain JSON, made from and into the encoding that `wit/storage.wit` specifies.

The host keeps the encoded text as guests wrote it and reads it only here. Plain text is made for showing and never read
back; what comes in as plain JSON stands for itself, so that an object with the key `$hf` is the user's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, NoReturn
from uuid import UUID

from holdfast_host.core.errors import CodecError

TAG: Final = "$hf"


def plain_text(encoded: str) -> str:
    """The plain JSON of an encoded value.

    Raises:
        CodecError: it is no encoded value.
    """
    try:
        value = _load(encoded)
        return _dump(_plain(value)) if _may_have_tags(encoded) else encoded
    except (ValueError, TypeError, RecursionError) as error:
        raise CodecError(f"the stored value is none of this encoding: {error}") from None


def encode_plain(text: str) -> str:
    """Plain JSON as an encoded value: compact, ASCII, objects with the key `$hf` escaped.

    Raises:
        CodecError: it is not JSON.
    """
    try:
        return _dump(_escape(_load(text)))
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the value is not JSON: {error}") from None


def check_encoded(text: str) -> str:
    """An encoded value, compact and ASCII, once all its tags are known and well formed.

    Raises:
        CodecError: it is not JSON, or has a tag that this encoding does not know or whose `v` is none.
    """
    try:
        value = _load(text)
        _plain(value)
        return _dump(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise CodecError(f"the value is none of this encoding: {error}") from None


def _may_have_tags(text: str) -> bool:
    """False proves that there is none; the key could be spelled with escapes, of `$`, or of `h` and `f`."""
    return '"$hf"' in text or "\\u0024" in text or "\\u006" in text


def _load(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _escape(value: Any) -> Any:
    if isinstance(value, list):
        return [_escape(part) for part in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _escape(part) for key, part in value.items()}
    return {TAG: "dict", "v": [[key, _escape(part)] for key, part in value.items()]}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _plain(part) for key, part in value.items()}
    tag = value[TAG]
    show = _TAGS.get(tag) if isinstance(tag, str) else None
    if show is None:
        raise ValueError(f"unknown tag {tag!r:.80}")
    if value.keys() != {TAG, "v"}:
        raise ValueError(f"a value tagged {tag!r} must have exactly the keys '$hf' and 'v'")
    return show(value["v"])


def _text(value: Any, check: Callable[[str], object]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is expected, not {value!r:.80}")
    check(value)
    return value


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"an array is expected, not {value!r:.80}")
    return [_plain(part) for part in value]


def _seconds(value: Any) -> float:
    days, seconds, microseconds = _array(value)
    if not all(type(part) is int for part in (days, seconds, microseconds)):
        raise TypeError("a timedelta has three integers")
    total: float = days * 86_400 + seconds + microseconds / 1_000_000
    return total


def _special(value: Any) -> None:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"'nan', 'inf' or '-inf' is expected, not {value!r:.80}")


def _integer(value: Any) -> str:
    text = _text(value, lambda digits: int(digits, 16))
    return f"-0x{text[1:]}" if text.startswith("-") else f"0x{text}"


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise TypeError("an array of pairs is expected")
    shown: dict[str, Any] = {}
    for key, part in value:
        name = _plain(key)
        shown[name if isinstance(name, str) else _dump(name)] = _plain(part)
    return shown


def _read_datetime(text: str) -> datetime:
    return datetime.fromisoformat(text.partition("[")[0])


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "bytes": lambda value: _text(value, lambda text: base64.b64decode(text, validate=True)),
    "date": lambda value: _text(value, date.fromisoformat),
    "datetime": lambda value: _text(value, _read_datetime),
    "decimal": lambda value: _text(value, _read_decimal),
    "dict": _object,
    "float": _special,
    "frozenset": _array,
    "int": _integer,
    "set": _array,
    "time": lambda value: _text(value, time.fromisoformat),
    "timedelta": _seconds,
    "tuple": _array,
    "uuid": lambda value: _text(value, UUID),
}


def _read_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text!r:.80} is no decimal") from None
