"""Values as people see and write them: plain JSON, made from and into the encoding that `wit/storage.wit` specifies.

The host keeps the encoded text as guests wrote it and reads it only here. Plain text is made for showing and never read
back; what comes in as plain JSON stands for itself, so that an object with the key `$hf` is the user's own.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
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


def _distinct(value: Any) -> list[Any]:
    return sorted(_array(value), key=_dump)


def _seconds(value: Any) -> float:
    days, seconds, microseconds = _array(value)
    if not all(type(part) is int for part in (days, seconds, microseconds)):
        raise TypeError("a timedelta has three integers")
    if not (0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000):
        raise ValueError("a timedelta has seconds below 86,400 and microseconds below 1,000,000")
    try:
        return timedelta(days, seconds, microseconds).total_seconds()
    except OverflowError:
        raise ValueError(f"{days!r:.80} days are no timedelta") from None


def _special(value: Any) -> None:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"'nan', 'inf' or '-inf' is expected, not {value!r:.80}")


def _integer(value: Any) -> str:
    text = _text(value, _check_digits)
    return f"-0x{text[1:]}" if text.startswith("-") else f"0x{text}"


def _check_digits(text: str) -> None:
    if not re.fullmatch("-?[0-9a-f]+", text):
        raise ValueError(f"hexadecimal digits in lower case are expected, not {text!r:.80}")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise TypeError("an array of pairs is expected")
    shown: dict[str, Any] = {}
    for key, part in value:
        name = _plain(key)
        name = name if isinstance(name, str) else _dump(name)
        if name in shown:
            raise ValueError(f"two keys are {name!r:.80} in plain JSON: ask for it typed")
        shown[name] = _plain(part)
    return shown


def _datetime(value: Any) -> str:
    """As ISO 8601 text, which knows no names of zones."""
    text = _text(value, lambda written: datetime.fromisoformat(written.partition("[")[0]))
    return text.partition("[")[0]


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "bytes": lambda value: _text(value, lambda text: base64.b64decode(text, validate=True)),
    "date": lambda value: _text(value, date.fromisoformat),
    "datetime": _datetime,
    "decimal": lambda value: _text(value, _read_decimal),
    "dict": _object,
    "float": _special,
    "frozenset": _distinct,
    "int": _integer,
    "set": _distinct,
    "time": lambda value: _text(value, time.fromisoformat),
    "timedelta": _seconds,
    "tuple": _array,
    "uuid": lambda value: _text(value, UUID),
}


def _read_decimal(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text!r:.80} is no decimal") from None
    if "_" in text or text.strip() != text:
        raise ValueError(f"{text!r:.80} is no decimal")
    return found
