"""Values as people see and write them: plain JSON, made from and into the encoding that `wit/storage.wit` specifies.

The host keeps the encoded text as guests wrote it and reads it only here. Plain text is made for showing and never read
back; what comes in as plain JSON stands for itself, so that an object with the key `$hf` is the user's own.

Texts are put together from the inside outwards, each part once: no text, however it nests, costs more time than its
length asks for, nor grows beyond a few times of it.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn, TypeVar
from uuid import UUID

from holdfast_host.core.errors import CodecError
from holdfast_host.core.json_text import NumberTooLargeError, check_numbers

TAG: Final = "$hf"
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
# Python's own fromisoformat() takes an offset of microseconds alone for none.
_MICROSECONDS_ALONE: Final = re.compile(r"([+-])00:00:00\.([0-9]{6})$")
_SAME_HASH_MAX: Final = 100
_Moment = TypeVar("_Moment", datetime, time)
_EXACTLY: Final = Context(traps=[InvalidOperation])
_EXPONENT_MAX: Final = 425_000_000  # what a 32-bit decimal can have, as in the sandbox


def plain_text(encoded: str) -> str:
    """The plain JSON of an encoded value.

    Raises:
        CodecError: it is no encoded value.
    """
    try:
        value = _load(encoded)
        return _plain(value) if may_have_tags(encoded) else encoded
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CodecError(f"the stored value is none of this encoding: {error}") from None


def encode_plain(text: str) -> str:
    """Plain JSON as an encoded value: compact, objects with the key `$hf` escaped.

    Raises:
        CodecError: it is not JSON.
    """
    try:
        return _dump(_escape(_load_given(text)))
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the value is not JSON: {error}") from None


def check_encoded(text: str) -> str:
    """An encoded value, compact, once all its tags are known and well formed.

    Raises:
        CodecError: it is not JSON, or has a tag that this encoding does not know or whose `v` is none.
    """
    try:
        value = _load_given(text)
        _check(value)
        return _dump(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CodecError(f"the value is none of this encoding: {error}") from None


def may_have_tags(text: str) -> bool:
    """False proves that there is none; the key could be spelled with escapes, of `$`, or of `h` and `f`."""
    return '"$hf"' in text or "\\u0024" in text or "\\u006" in text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _load(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _load_given(text: str) -> Any:
    """The value of somebody who may send numbers that readers cannot hold.

    Raises:
        ValueError: it is not JSON.
        CodecError: it has such a number.
    """
    try:
        value = _load(text)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
        digits_max = sys.get_int_max_str_digits()
        spelled = '{"$hf":"int","v":"1f"}'
        raise CodecError(
            f"the value has an integer of more than {digits_max:,} digits, which only passes typed: {spelled}"
        ) from None
    try:
        check_numbers(text.encode("utf-8", "surrogatepass"))
    except NumberTooLargeError as error:
        raise CodecError(f"the value has {error}") from None
    return value


_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


def _dump(value: Any) -> str:
    return _spelled(_encode(value))


def _spelled(text: str) -> str:
    """JSON text whose lone surrogates are escaped, for UTF-8 cannot say them."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text


def _string(text: str) -> str:
    return _spelled(encode_basestring(text))


def _integer(value: int) -> str:
    try:
        return repr(value)
    except ValueError:  # more than 4,300 digits: Python writes them in hexadecimal alone
        return f'"{value:#x}"'


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return repr(value)


_LEAVES: Final[dict[type, Callable[[Any], str]]] = {
    str: _string,
    int: _integer,
    float: _number,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}


def _escape(value: Any) -> Any:
    if isinstance(value, list):
        return [_escape(part) for part in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _escape(part) for key, part in value.items()}
    return {TAG: "dict", "v": [[key, _escape(part)] for key, part in value.items()]}


def _plain(value: Any) -> str:
    """The plain text of a JSON form."""
    write = _LEAVES.get(type(value))
    if write is not None:
        return write(value)
    if type(value) is list:
        return _plain_array(value)
    if TAG not in value:
        return "{" + ",".join([f"{_string(key)}:{_plain(part)}" for key, part in value.items()]) + "}"
    tag, content = _tagged(value)
    if tag == "dict":
        return _plain_dict(content)
    if tag in _DISTINCT:
        return _array(sorted(text for _, text in _elements(content)))
    if tag == "tuple":
        return _plain_array(_list(content))
    read, show = _SCALARS[tag]
    return show(read(content))


def _plain_array(parts: list[Any]) -> str:
    return _array([_LEAVES[kind](part) if (kind := type(part)) in _LEAVES else _plain(part) for part in parts])


def _plain_dict(content: Any) -> str:
    shown: dict[str, str] = {}
    for (_, text), part in _pairs(content):
        name = text if text.startswith('"') else _string(text)
        if name in shown:
            raise ValueError(f"two keys are {json.loads(name)!r:.80} in plain JSON: ask for it typed")
        shown[name] = _plain(part)
    return "{" + ",".join([f"{name}:{part}" for name, part in shown.items()]) + "}"


def _check(value: Any) -> None:
    """Read every tag of a JSON form; ValueError or TypeError where one is wrong."""
    if type(value) is list:
        for part in value:
            if type(part) is list or type(part) is dict:
                _check(part)
    elif type(value) is dict and TAG not in value:
        for part in value.values():
            _check(part)
    elif type(value) is dict:
        tag, content = _tagged(value)
        if tag == "dict":
            for _, part in _pairs(content):
                _check(part)
        elif tag in _DISTINCT:
            _elements(content)
        elif tag == "tuple":
            _check(_list(content))
        else:
            _SCALARS[tag][0](content)


def _tagged(value: dict[str, Any]) -> tuple[str, Any]:
    tag = value[TAG]
    if not isinstance(tag, str) or tag not in _TAGS:
        raise ValueError(f"unknown tag {tag!r:.80}")
    if value.keys() != {TAG, "v"}:
        raise ValueError(f"a value tagged {tag!r} must have exactly the keys '$hf' and 'v'")
    return tag, value["v"]


def _pairs(content: Any) -> list[tuple[tuple[Any, str], Any]]:
    """Of a `dict`: its keys as `_hashable` has them, and its parts as they stand there."""
    if not isinstance(content, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        raise TypeError("an array of pairs is expected")
    pairs = [(_hashable(key), part) for key, part in content]
    if not _are_distinct([key for (key, _), _ in pairs]):
        raise ValueError("two keys of a dict are equal")
    return pairs


def _elements(content: Any) -> list[tuple[Any, str]]:
    """Of a `set` or `frozenset`, as `_hashable` has them."""
    elements = [_hashable(part) for part in _list(content)]
    if not _are_distinct([value for value, _ in elements]):
        raise ValueError("two elements of a set are equal")
    return elements


def _are_distinct(values: list[Any]) -> bool:
    """Whether no two are equal.

    Python compares each with all that have the same hash, and whoever knows how it hashes numbers can choose any number
    of them with one hash.

    Raises:
        ValueError: more have the same hash than it would by chance, so that comparing them costs their square.
    """
    if len(values) > _SAME_HASH_MAX and max(Counter(map(hash, values)).values()) > _SAME_HASH_MAX:
        raise ValueError(f"more than {_SAME_HASH_MAX} keys of a dict, or elements of a set, have the same hash")
    return len(set(values)) == len(values)


def _hashable(value: Any) -> tuple[Any, str]:
    """What may be a key or in a set, to be compared by, and its plain text; TypeError for what has no hash."""
    write = _LEAVES.get(type(value))
    if write is not None:
        return value, write(value)
    tag, content = _tagged(value) if type(value) is dict and TAG in value else ("", None)
    if tag == "tuple":
        parts = [_hashable(part) for part in _list(content)]
        return tuple([part for part, _ in parts]), _array([text for _, text in parts])
    if tag == "frozenset":
        parts = _elements(content)
        return frozenset([part for part, _ in parts]), _array(sorted(text for _, text in parts))
    if tag not in _SCALARS:
        raise TypeError("a key, or an element of a set, holds a list, a dict or a set")
    read, show = _SCALARS[tag]
    found = read(content)
    hash(found)  # a signalling NaN has none
    return found, show(found)


def _array(texts: list[str]) -> str:
    return f"[{','.join(texts)}]"


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"an array is expected, not {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is expected, not {value!r:.80}")
    return value


def _read_timedelta(value: Any) -> timedelta:
    days, seconds, microseconds = _list(value)
    if not all(type(part) is int for part in (days, seconds, microseconds)):
        raise TypeError("a timedelta has three integers")
    if not (0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000):
        raise ValueError("a timedelta has seconds below 86,400 and microseconds below 1,000,000")
    try:
        return timedelta(days, seconds, microseconds)
    except OverflowError:
        raise ValueError(f"{days!r:.80} days are no timedelta") from None


def _read_float(value: Any) -> float:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"'nan', 'inf' or '-inf' is expected, not {value!r:.80}")
    return float(value)


def _read_integer(value: Any) -> int:
    if not re.fullmatch("-?[0-9a-f]+", _text(value)):
        raise ValueError(f"hexadecimal digits in lower case are expected, not {value!r:.80}")
    return int(value, 16)


def _read_decimal(value: Any) -> Decimal:
    if "_" in _text(value) or value.strip() != value:
        raise ValueError(f"{value!r:.80} is no decimal")
    try:
        found = Decimal(value, _EXACTLY)
    except InvalidOperation:
        raise ValueError(f"{value!r:.80} is no decimal") from None
    if abs(found.adjusted()) > _EXPONENT_MAX:
        raise ValueError(f"{value!r:.80} has an exponent beyond {_EXPONENT_MAX:,}")
    return found


def _read_moment(value: Any, kind: type[_Moment]) -> _Moment:
    """From ISO 8601 text, without what may follow in brackets: the name of a zone, which of two equal times it is."""
    iso = _text(value).partition("[")[0]
    found = kind.fromisoformat(iso)
    alone = _MICROSECONDS_ALONE.search(iso) if "." in iso[-7:] else None
    if alone is not None and found.tzinfo is not None:
        span = timedelta(microseconds=int(alone[2]))
        found = found.replace(tzinfo=timezone(-span if alone[1] == "-" else span))
    return found


def _quoted(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: f'"{show(value)}"'


# For each tag what reads its `v`, and what shows the value as plain JSON.
_SCALARS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], str]]]] = {
    "bytes": (
        lambda value: base64.b64decode(_text(value), validate=True),
        _quoted(lambda value: base64.b64encode(value).decode("ascii")),
    ),
    "date": (lambda value: date.fromisoformat(_text(value)), _quoted(date.isoformat)),
    "datetime": (lambda value: _read_moment(value, datetime), _quoted(datetime.isoformat)),
    "decimal": (_read_decimal, _quoted(str)),
    "float": (_read_float, lambda value: "null"),
    "int": (_read_integer, _integer),
    "time": (lambda value: _read_moment(value, time), _quoted(time.isoformat)),
    "timedelta": (_read_timedelta, lambda value: repr(value.total_seconds())),
    "uuid": (lambda value: UUID(_text(value)), _quoted(str)),
}
_DISTINCT: Final = frozenset({"set", "frozenset"})
_TAGS: Final = frozenset({*_SCALARS, *_DISTINCT, "tuple", "dict"})
