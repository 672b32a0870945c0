"""Values as text: the encoding that `wit/storage.wit` specifies (codec version 2).

Typed text is JSON in which a value that JSON does not know is an object with the key `$hf`; it decodes to exactly what
was encoded. Plain text is JSON for callers who know nothing of that: it only goes out. Both are compact, in UTF-8.

Most values are plain JSON already. A look at the *types* in each container proves that, at the speed of C, and then
the C encoder does the rest; only other values are written part by part (`_writers`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn

from holdfast._errors import CodecError
from holdfast._values.encoders import NESTING_MAX, PlainWriter, TypedWriter
from holdfast._values.json_escapes import spelled
from holdfast._values.misfits import MisfitError
from holdfast._values.tags import TAG, untag

LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_PLAIN: Final = LEAVES | {dict, list}
_int_text: Final[Callable[[int], str]] = int.__repr__
_SHORT_CHARS: Final = 1024
_LARGE_NUMBER: Final = re.compile(r"[eE]\+?[0-9]{3}|[0-9]{300}")
_FEW: Final = 8  # entries up to which a loop is faster than sets


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def finite(text: str) -> float:
    """A float from its text; ValueError where it is larger than any."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text:.40} is out of the range of floats")
    return value


def _encoder() -> Callable[[Any], str]:
    """`json.dumps` with our settings, prepared once where the C encoder allows it."""
    settings: dict[str, Any] = {"separators": (",", ":"), "check_circular": False, "allow_nan": False}
    make = getattr(json.encoder, "c_make_encoder", None)
    fallback = json.JSONEncoder(ensure_ascii=False, **settings)
    if make is None:
        return lambda value: spelled(fallback.encode(value))
    prepared = make(None, fallback.default, encode_basestring, None, ":", ",", False, False, False)
    join = "".join

    def encode_json(value: Any) -> str:
        text = join(prepared(value, 0))
        return text if text.isascii() else spelled(text)

    return encode_json


def _decoder(**hooks: Any) -> Callable[[str], Any]:
    """`json.loads` that refuses NaN and Infinity, without its detours for the usual text."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, **hooks)
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
_decode_finite: Final = _decoder(parse_float=finite)


def decode_given(text: str) -> Any:
    """`decode_json` for what callers send: a number that no float can hold is a ValueError, as NaN is."""
    if len(text) > _SHORT_CHARS and _LARGE_NUMBER.search(text) is None:
        return decode_json(text)  # which reads floats without a call for each
    return _decode_finite(text)


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
        kind = type(value)
        if kind is int:
            return _int_text(value)
        if kind is str:
            text = encode_basestring(value)
            return text if text.isascii() else spelled(text)
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
        try:
            return TypedWriter().write(value)
        except MisfitError as misfit:
            raise CodecError(misfit.sentence(what)) from None
    return text


def encode_plain(value: Any, what: str = "result") -> str:
    """The text of a value as plain JSON: what JSON does not know becomes the nearest thing that it does.

    Raises:
        CodecError: Something in it has no encoding; the message names the path to it.
    """
    text = plain_text(value)
    if text is None:
        try:
            return PlainWriter().write(value)
        except MisfitError as misfit:
            raise CodecError(misfit.sentence(what)) from None
    return text


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
    return untag(value, what) if may_have_tags(text) else value


def decode_pairs(text: str, pairs: list[list[Any]]) -> list[tuple[str, Any]]:
    """The values of `[key, encoded value]` pairs that were read as part of `text`.

    Raises:
        CodecError: A value has a tag that this version does not know.
    """
    if may_have_tags(text):
        return [(key, untag(value, f"value of {key!r:.80}")) for key, value in pairs]
    return [(key, value) for key, value in pairs]


def may_have_tags(text: str) -> bool:
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
    try:
        given = decode_given(text)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the arguments are {not_json(error)}") from None
    if not may_have_tags(text):
        if type(given) is dict:
            return [], given
        if type(given) is list:
            return given, {}
    return untag_arguments(given)


def untag_arguments(given: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that JSON form stands for; CodecError where it is nothing of that kind."""
    what = "arguments"
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
