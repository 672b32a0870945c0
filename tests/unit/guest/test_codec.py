from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import CodecError
from holdfast._codec import decode, decode_arguments, encode, encode_arguments, encode_plain

# Lone surrogates are text too: some languages can hold them.
TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(["$hf", "v", "\ud800", "", "é", '"$hf"'])
# In whole seconds: CPython's own fromisoformat() takes an offset of some microseconds for none.
ZONES = st.integers(-82_800, 82_800).map(lambda seconds: timezone(timedelta(seconds=seconds))) | st.none()
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-20, 20).map(lambda digits: 10 ** (4300 + digits))
    | st.floats()
    | TEXTS
    | st.binary(max_size=12)
    | st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times(timezones=ZONES)
    | st.timedeltas()
    | st.decimals().filter(lambda value: not value.is_snan())  # cannot be in a set
    | st.uuids()
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4)
    ),
    max_leaves=12,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


# Enough to have found every fault so far, within a few seconds; no deadline, for the machine is shared.
BOUNDED = settings(max_examples=60, deadline=None)


class Level(IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")


def shape(value: Any) -> Any:
    """A value with the types of all its parts, comparable where they themselves are not (NaN, -0.0, 1 and True)."""
    kind = type(value)
    if kind in (list, tuple):
        return (kind, [shape(part) for part in value])
    if kind in (set, frozenset):
        return (kind, sorted((shape(part) for part in value), key=repr))
    if kind is dict:
        return (kind, [(shape(key), shape(part)) for key, part in value.items()])
    if kind is int:
        return (kind, hex(value))
    if kind is datetime or kind is time:
        return (kind, value.isoformat())
    return (kind, repr(value))


@BOUNDED
@given(VALUES)
def test_what_is_decoded_is_what_was_encoded_down_to_the_types(value: Any) -> None:
    assert shape(decode(encode(value))) == shape(value)


@BOUNDED
@given(VALUES)
def test_typed_text_is_ascii_json_without_nan(value: Any) -> None:
    text = encode(value)

    assert text.isascii()
    assert json.loads(text, parse_constant=pytest.fail, parse_int=str) is not ...


@BOUNDED
@given(JSON_VALUES)
def test_plain_json_is_its_own_plain_encoding(value: Any) -> None:
    assert shape(json.loads(encode_plain(value))) == shape(value)


@BOUNDED
@given(VALUES)
def test_plain_text_is_json_whatever_the_value(value: Any) -> None:
    try:
        text = encode_plain(value)
    except CodecError as error:
        assert "has two keys that are" in str(error)  # noqa: PT017
    else:
        assert json.loads(text, parse_constant=pytest.fail, parse_int=str) is not ...


@BOUNDED
@given(st.sets(st.integers() | TEXTS, max_size=6))
def test_equal_sets_have_equal_texts(value: set[Any]) -> None:
    forwards, backwards = sorted(value, key=repr), sorted(value, key=repr, reverse=True)

    assert encode(set(forwards)) == encode(set(backwards))


@BOUNDED
@given(st.lists(VALUES, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=3))
def test_arguments_of_both_kinds_come_back(args: list[Any], kwargs: dict[str, Any]) -> None:
    text = encode_arguments(tuple(args), kwargs, "arguments")
    found_args, found_kwargs = decode_arguments(text) if text else ([], {})

    assert (shape(found_args), shape(found_kwargs)) == (shape(args), shape(kwargs))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"a": [1, True, 1.0, "é"]}, '{"a":[1,true,1.0,"\\u00e9"]}'),
        (b"\x00\xff", '{"$hf":"bytes","v":"AP8="}'),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), '{"$hf":"datetime","v":"2026-11-01T12:00:00+00:00"}'),
        (date(2026, 11, 1), '{"$hf":"date","v":"2026-11-01"}'),
        (time(12, 30), '{"$hf":"time","v":"12:30:00"}'),
        (timedelta(days=-1, microseconds=5), '{"$hf":"timedelta","v":[-1,0,5]}'),
        (Decimal("1.10"), '{"$hf":"decimal","v":"1.10"}'),
        (Decimal("sNaN"), '{"$hf":"decimal","v":"sNaN"}'),
        (UUID(int=1), '{"$hf":"uuid","v":"00000000-0000-0000-0000-000000000001"}'),
        ({2, 1}, '{"$hf":"set","v":[1,2]}'),
        ((1, (2,)), '{"$hf":"tuple","v":[1,{"$hf":"tuple","v":[2]}]}'),
        (math.inf, '{"$hf":"float","v":"inf"}'),
        ({1: "a"}, '{"$hf":"dict","v":[[1,"a"]]}'),
        ({"$hf": 1}, '{"$hf":"dict","v":[["$hf",1]]}'),
    ],
)
def test_the_encoding_of_version_1_is_this(value: Any, text: str) -> None:
    assert encode(value) == text
    assert shape(decode(text)) == shape(value)


def test_a_time_zone_keeps_its_name_and_its_moment() -> None:
    value = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)

    found = decode(encode(value))

    assert encode(value) == '{"$hf":"datetime","v":"2026-10-25T02:30:00+01:00[Europe/Berlin]"}'
    assert (found.tzinfo, found.utcoffset()) == (value.tzinfo, value.utcoffset())


def test_a_time_of_day_that_a_clock_skips_comes_back_as_it_was() -> None:
    value = datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))

    assert decode(encode(value)) == value


def test_a_zone_whose_rules_have_changed_since_keeps_the_moment() -> None:
    found = decode('{"$hf":"datetime","v":"2026-07-01T12:00:00+05:00[Europe/Berlin]"}')

    assert found == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert found.tzinfo == ZoneInfo("Europe/Berlin")


def test_a_time_zone_that_is_not_known_here_keeps_its_offset() -> None:
    found = decode('{"$hf":"datetime","v":"2026-10-25T02:30:00+01:00[Mars/Base]"}')

    assert found == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": print}]}, "value['a'][1]['b'] is "),
        ({"a": {1: object()}}, "value['a'][1] is "),
        ([Level.HIGH], "value[0] is an instance of "),
        ({"p": Point(1, 2)}, "value['p'] is an instance of "),
        (OrderedDict(a=1), "value is an instance of collections.OrderedDict"),
        ((part for part in "ab"), "value is a value of type generator"),
        ({"t": bytearray(b"x")}, "value['t'] is a value of type bytearray"),
        ([time(1, tzinfo=ZoneInfo("Europe/Berlin"))], "value[0] is a time in a zone"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(value)

    assert str(caught.value).startswith(path)


def test_a_cycle_is_refused_wherever_it_closes() -> None:
    plain: list[Any] = [1]
    plain.append({"back": plain})
    mixed: dict[str, Any] = {"t": ()}
    mixed["t"] = (mixed,)

    for value, path in ((plain, "value[1]['back']"), (mixed, "value['t'][0]")):
        with pytest.raises(CodecError, match="contains itself") as caught:
            encode(value)
        assert str(caught.value).startswith(path)


def test_a_value_reached_twice_is_no_cycle() -> None:
    shared = [1]

    assert decode(encode([shared, (shared, shared)])) == [[1], ([1], [1])]


def test_nesting_is_bounded_in_the_text_not_in_the_value() -> None:
    value: Any = 0
    for _ in range(100):
        value = [value]
    tuples: Any = 0
    for _ in range(51):
        tuples = (tuples,)

    assert decode(encode(value)) == value
    for each in ([value], tuples):
        with pytest.raises(CodecError, match="nested deeper than the limit of 100 levels"):
            encode(each)


@pytest.mark.parametrize(
    "text",
    [
        '{"$hf":"complex","v":"1j"}',
        '{"$hf":"set"}',
        '{"$hf":"set","v":[],"x":1}',
        '{"$hf":1,"v":[]}',
        '{"$hf":["set"],"v":[]}',
        '{"$hf":"set","v":[[1]]}',
        '{"$hf":"bytes","v":"*"}',
        '{"$hf":"date","v":"tomorrow"}',
        '{"$hf":"timedelta","v":[1]}',
        '{"$hf":"decimal","v":"x"}',
        '{"$hf":"float","v":1}',
        '{"$hf":"dict","v":[[1]]}',
        '{"$hf":"dict","v":[[[],1]]}',
        '{"$hf":"arguments","v":[[],{}]}',
        '{"\\u0024hf":"complex","v":"1j"}',
        '{"$\\u0068f":"complex","v":"1j"}',
        "NaN",
        "{",
        "",
    ],
)
def test_text_that_is_no_encoding_is_refused_never_guessed(text: str) -> None:
    with pytest.raises(CodecError):
        decode(text)


def test_plain_text_says_what_json_can() -> None:
    value = {
        "at": datetime(2026, 11, 1, tzinfo=UTC),
        "in a zone": datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        "bytes": b"\x00",
        "span": timedelta(minutes=1, milliseconds=500),
        "money": Decimal("1.10"),
        "tags": {"b", "a"},
        "pair": (1, 2),
        "nan": math.nan,
        1: "one",
        None: "none",
        (1, 2): "pair",
    }

    assert json.loads(encode_plain(value)) == {
        "at": "2026-11-01T00:00:00+00:00",
        "in a zone": "2026-07-01T00:00:00+02:00",
        "bytes": "AA==",
        "span": 60.5,
        "money": "1.10",
        "tags": ["a", "b"],
        "pair": [1, 2],
        "nan": None,
        "1": "one",
        "null": "none",
        "[1,2]": "pair",
    }


def test_two_keys_that_are_one_in_json_are_refused_and_not_merged() -> None:
    with pytest.raises(CodecError, match="two keys that are '1'"):
        encode_plain({1: "a", "1": "b"})
