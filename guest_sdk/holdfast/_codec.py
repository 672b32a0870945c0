"""Values as text: the encoding that `wit/storage.wit` specifies (codec version 1).

Typed text is JSON in which a value that JSON does not know is an object with the key `$hf`; it decodes to exactly what
was encoded. Plain text is JSON for callers who know nothing of that: it only goes out. Both are compact and ASCII only,
so that a lone surrogate can pass the sandbox.

Most values are plain JSON already. A look at the *types* in each container proves that, at the speed of C, and then
the C encoder does the rest; only other values are walked one by one.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

from holdfast._errors import CodecError
from holdfast._tags import TAG, untag

NESTING_MAX: Final = 100  # of the text, as the host bounds it: deeper JSON would overflow a C stack

# Python refuses to write integers of more digits than that (4,300) in decimal; hexadecimal has no such bound.
_INT_BITS_MAX: Final = 14_000

LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_PLAIN: Final = LEAVES | {dict, list}
_LEAF_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: json.encoder.encode_basestring_ascii,
    int: int.__repr__,
}
_FEW: Final = 8  # entries up to which a loop is faster than sets


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encoder() -> Callable[[Any], str]:
    """`json.dumps` with our settings, prepared once where the C encoder allows it."""
    settings: dict[str, Any] = {"separators": (",", ":"), "check_circular": False, "allow_nan": False}
    make = getattr(json.encoder, "c_make_encoder", None)
    fallback = json.JSONEncoder(**settings)
    if make is None:
        return fallback.encode
    prepared = make(None, fallback.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    join = "".join

    def encode_json(value: Any) -> str:
        return join(prepared(value, 0))

    return encode_json


def _decoder() -> Callable[[str], Any]:
    """`json.loads` that refuses NaN and Infinity, without its detours for the usual text."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once  # type: ignore[attr-defined]  # not in typeshed

    def decode_json(text: str) -> Any:
        try:
            value, end = scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
        return decoder.decode(text)

    return decode_json


encode_json: Final = _encoder()
decode_json: Final = _decoder()


def not_json(error: Exception) -> str:
    """Why a text could not be read: `not JSON: ...`, or JSON with an integer that Python does not take as digits."""
    if "integer string conversion" in str(error):
        return 'JSON with an integer of more than 4,300 digits, which only passes typed: {"$hf":"int","v":"1f"}'
    return f"not JSON: {error}"


def is_plain(value: Any) -> bool:
    """Whether only exact JSON types occur, with text as keys, not nested too deep; NaN and `$hf` are not looked at."""
    kind = type(value)
    if kind in LEAVES:
        return True
    if kind is dict and len(value) <= _FEW:
        for key, part in value.items():
            if type(key) is not str or type(part) not in LEAVES:
                break
        else:
            return True
    return (kind is dict or kind is list) and _holds_plain(value)


def _holds_plain(container: dict[Any, Any] | list[Any]) -> bool:
    level: list[Any] = [container]
    for _ in range(NESTING_MAX):
        inner: list[Any] = []
        for each in level:
            if type(each) is dict:
                for key in each:
                    if type(key) is not str:
                        return False
                parts: Any = each.values()
            else:
                parts = each
            kinds = {*map(type, parts)}
            if not kinds <= LEAVES:
                if not kinds <= _PLAIN:
                    return False
                inner += [part for part in parts if type(part) is dict or type(part) is list]
        if not inner:
            return True
        # What is reached twice is looked at once: a cycle must not double the work with every level.
        level = list({id(each): each for each in inner}.values()) if len(inner) > 1 else inner
    return False


def plain_text(value: Any) -> str | None:
    """The text of a value that is plain JSON as it is; None for any other, which has to be walked."""
    try:
        write = _LEAF_WRITERS.get(type(value))
        if write is not None:
            return write(value)
        if is_plain(value):
            return encode_json(value)
    except ValueError:
        pass  # NaN, an infinity, or an integer of thousands of digits
    return None


def encode(value: Any, what: str = "value") -> str:
    """The typed text of a value.

    Args:
        value: What to encode.
        what: How the value is called in an error: the beginning of the path to the offending part.

    Raises:
        CodecError: Something in it has no encoding; the message names the path to it.
    """
    text = plain_text(value)
    if text is None or '"$hf"' in text:
        return encode_json(_Tagger().walk(value, what, 0))
    return text


def encode_plain(value: Any, what: str = "result") -> str:
    """The text of a value as plain JSON: what JSON does not know becomes the nearest thing that it does.

    Raises:
        CodecError: Something in it has no encoding; the message names the path to it.
    """
    text = plain_text(value)
    return encode_json(_Plainer().walk(value, what, 0)) if text is None else text


def decode(text: str, what: str = "value") -> Any:
    """The value of a typed text.

    Raises:
        CodecError: It is not JSON, or has a tag that this version does not know.
    """
    try:
        value = decode_json(text)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"{what} is no encoded value: it is {not_json(error)}") from None
    if type(value) in LEAVES:
        return value
    return untag(value, what) if _may_have_tags(text) else value


def decode_pairs(text: str, pairs: list[list[Any]]) -> list[tuple[str, Any]]:
    """The values of `[key, encoded value]` pairs that were read as part of `text`.

    Raises:
        CodecError: A value has a tag that this version does not know.
    """
    if _may_have_tags(text):
        return [(key, untag(value, f"value of {key!r:.80}")) for key, value in pairs]
    return [(key, value) for key, value in pairs]


def _may_have_tags(text: str) -> bool:
    """The key could also be spelled with escapes: of "$", or of "h" and "f"."""
    return '"$hf"' in text or "\\u0024" in text or "\\u006" in text


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], what: str) -> str:
    """The typed text of a call's arguments: empty, an array, an object, or the tag `arguments` for both."""
    if args and kwargs:
        given = f"{encode(list(args), what)},{encode(kwargs, what)}"
        return f'{{"$hf":"arguments","v":[{given}]}}'
    if args:
        return encode(list(args), what)
    return encode(kwargs, what) if kwargs else ""


def decode_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """What `encode_arguments` wrote; CodecError where it is nothing of that kind."""
    what = "arguments"
    try:
        given = decode_json(text)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the arguments are {not_json(error)}") from None
    args, kwargs = [], {}
    if type(given) is dict and given.get(TAG) == what:
        both = given.get("v")
        if type(both) is not list or len(both) != 2:
            raise CodecError("arguments tagged 'arguments' have an array and an object as their 'v'")
        args, kwargs = untag(both[0], what), untag(both[1], what)
    else:
        value = untag(given, what)
        args, kwargs = (value, {}) if type(value) is list else ([], value)
    if type(args) is not list or type(kwargs) is not dict or not all(type(key) is str for key in kwargs):
        raise CodecError("arguments are an object (by name) or an array (by position)")
    return args, kwargs


def _datetime_text(value: datetime) -> str:
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key:
        return f"{value.isoformat()}[{zone.key}]"
    return value.isoformat()


def _time_text(value: time, path: str) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise CodecError(f"{path} is a time in a zone whose offset depends on the date: use a datetime")
    return value.isoformat()


class _Walker:
    """Walks one value, part by part, and builds what JSON can write. Lives for one encoding."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def walk(self, value: Any, path: str, depth: int) -> Any:
        """The value's JSON form; `depth` counts the containers of the text around it."""
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        if kind is int:
            return self.integer(value)
        if kind is float:
            return value if math.isfinite(value) else self.infinite(value)
        if kind in (dict, list, tuple, set, frozenset):
            return self._container(value, kind, path, depth)
        leaf = _LEAF_TEXTS.get(kind)
        if leaf is None:
            raise CodecError(f"{path} is {_described(value)}, which cannot be stored or passed")
        return self.leaf(kind, value, leaf(value, path))

    def _container(self, value: Any, kind: type, path: str, depth: int) -> Any:
        if id(value) in self._open:
            raise CodecError(f"{path} contains itself: a cycle cannot be stored or passed")
        self._open.add(id(value))
        try:
            return self.dict(value, path, depth) if kind is dict else self.sequence(kind, value, path, depth)
        finally:
            self._open.discard(id(value))

    def parts(self, value: Any, path: str, depth: int) -> list[Any]:
        """The JSON forms of a sequence's parts; `depth` is where the array itself stands."""
        self.check_depth(path, depth + 1)
        return [self.walk(part, f"{path}[{index}]", depth + 1) for index, part in enumerate(value)]

    def check_depth(self, path: str, depth: int) -> None:
        """Refuse what is nested too deep."""
        if depth > NESTING_MAX:
            raise CodecError(f"{_shortened(path)} is nested deeper than the limit of {NESTING_MAX} levels")

    def integer(self, value: int) -> Any:
        raise NotImplementedError

    def infinite(self, value: float) -> Any:
        raise NotImplementedError

    def leaf(self, kind: type, value: Any, text: Any) -> Any:
        raise NotImplementedError

    def dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        raise NotImplementedError

    def sequence(self, kind: type, value: Any, path: str, depth: int) -> Any:
        raise NotImplementedError


class _Tagger(_Walker):
    """Builds the typed form."""

    def integer(self, value: int) -> Any:
        return value if value.bit_length() <= _INT_BITS_MAX else {TAG: "int", "v": f"{value:x}"}

    def infinite(self, value: float) -> Any:
        return {TAG: "float", "v": repr(value)}

    def leaf(self, kind: type, value: Any, text: Any) -> Any:
        return {TAG: kind.__name__.lower(), "v": text}

    def dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        if TAG not in value and all(type(key) is str for key in value):
            self.check_depth(path, depth + 1)
            return {key: self.walk(part, f"{path}[{key!r}]", depth + 1) for key, part in value.items()}
        self.check_depth(path, depth + 3)
        pairs = [
            [self.walk(key, f"{path}.keys", depth + 3), self.walk(part, f"{path}[{_key_text(key)}]", depth + 3)]
            for key, part in value.items()
        ]
        return {TAG: "dict", "v": pairs}

    def sequence(self, kind: type, value: Any, path: str, depth: int) -> Any:
        if kind is list:
            return self.parts(value, path, depth)
        parts = self.parts(value, path, depth + 1)
        if kind is not tuple:
            parts.sort(key=encode_json)  # equal sets have equal texts
        return {TAG: kind.__name__, "v": parts}


class _Plainer(_Walker):
    """Builds the plain form."""

    def integer(self, value: int) -> Any:
        return value if value.bit_length() <= _INT_BITS_MAX else hex(value)

    def infinite(self, value: float) -> Any:
        return None

    def leaf(self, kind: type, value: Any, text: Any) -> Any:
        if kind is timedelta:
            return value.total_seconds()
        return value.isoformat() if kind is datetime else text  # ISO 8601 knows no names of zones

    def dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        self.check_depth(path, depth + 1)
        plain: dict[str, Any] = {}
        for key, part in value.items():
            name = key if type(key) is str else self._key(key, f"{path}.keys", depth + 1)
            if name in plain:
                raise CodecError(f"{path} has two keys that are {name!r} in JSON")
            plain[name] = self.walk(part, f"{path}[{_key_text(key)}]", depth + 1)
        return plain

    def _key(self, key: Any, path: str, depth: int) -> str:
        plain = self.walk(key, path, depth)
        return plain if type(plain) is str else encode_json(plain)

    def sequence(self, kind: type, value: Any, path: str, depth: int) -> Any:
        parts = self.parts(value, path, depth)
        if kind is set or kind is frozenset:
            parts.sort(key=encode_json)
        return parts


_LEAF_TEXTS: Final[dict[type, Callable[[Any, str], Any]]] = {
    bytes: lambda value, path: base64.b64encode(value).decode("ascii"),
    date: lambda value, path: value.isoformat(),
    datetime: lambda value, path: _datetime_text(value),
    time: _time_text,
    timedelta: lambda value, path: [value.days, value.seconds, value.microseconds],
    Decimal: lambda value, path: str(value),
    UUID: lambda value, path: str(value),
}


def _described(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return f"a value of type {kind.__name__}"
    return f"an instance of {kind.__module__}.{kind.__qualname__}"


def _key_text(key: Any) -> str:
    kind = type(key)
    if kind is int and key.bit_length() > _INT_BITS_MAX:
        return "an int key"  # Python refuses to write it
    return repr(key)[:80] if kind in LEAVES or kind in _LEAF_TEXTS else f"a {kind.__name__} key"


def _shortened(path: str) -> str:
    return path if len(path) <= 120 else f"{path[:60]}...{path[-57:]}"
