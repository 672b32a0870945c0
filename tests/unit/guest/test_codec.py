from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import CodecError
from holdfast._values.codec import decode, decode_arguments, encode, encode_arguments, encode_plain
from tests.harness.values import JSON_VALUES, TEXTS, VALUES, shape
from tests.unit.guest.kept_values import KEPT_VALUES

KEPT_TEXTS = json.loads((Path(__file__).parents[2] / "fixtures" / "values" / "codec-1.json").read_text())


# Enough to have found every fault so far, within a few seconds; no deadline, for the machine is shared.
BOUNDED = settings(max_examples=60, deadline=None)


class Level(IntEnum):
    HIGH = 3


class Status(StrEnum):
    OPEN = "open"


class Colour(Enum):
    RED = "red"


class Key(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Metres(float):
    """A number with a unit."""


class Late(datetime):
    """A datetime of another library."""


@dataclass
class Item:
    name: str
    price: Decimal


Point = namedtuple("Point", "x y")


@BOUNDED
@given(VALUES)
def test_what_is_decoded_is_what_was_encoded_down_to_the_types(value: Any) -> None:
    assert shape(decode(encode(value))) == shape(value)


@BOUNDED
@given(VALUES)
def test_typed_text_is_json_in_utf_8_without_nan(value: Any) -> None:
    text = encode(value)

    assert text.encode()
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
        ({"a": [1, True, 1.0, "é"]}, '{"a":[1,true,1.0,"é"]}'),
        ({"名": "\ud800é"}, '{"名":"\\ud800é"}'),
        ((b"", "é\udfff"), '{"$hf":"tuple","v":[{"$hf":"bytes","v":""},"é\\udfff"]}'),
        (b"\x00\xff", '{"$hf":"bytes","v":"AP8="}'),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), '{"$hf":"datetime","v":"2026-11-01T12:00:00+00:00"}'),
        (date(2026, 11, 1), '{"$hf":"date","v":"2026-11-01"}'),
        (datetime(2026, 10, 25, 2, 30, fold=1), '{"$hf":"datetime","v":"2026-10-25T02:30:00[_fold=1]"}'),
        (
            datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=1), "Ora é [1]"), fold=1),
            '{"$hf":"datetime","v":"2026-11-01T00:00:00+01:00[_name=Ora%20%C3%A9%20%5B1%5D][_fold=1]"}',
        ),
        (time(12, 30), '{"$hf":"time","v":"12:30:00"}'),
        (time(2, 30, tzinfo=timezone(timedelta(hours=1), "CET")), '{"$hf":"time","v":"02:30:00+01:00[_name=CET]"}'),
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
def test_the_encoding_of_version_2_is_this(value: Any, text: str) -> None:
    assert encode(value) == text
    assert shape(decode(text)) == shape(value)


@pytest.mark.parametrize("name", KEPT_VALUES)
def test_what_version_1_wrote_is_read_as_ever(name: str) -> None:
    assert shape(decode(KEPT_TEXTS[name])) == shape(KEPT_VALUES[name])


@pytest.mark.parametrize("text", ["ж", "é", "名", "\U0001f600"])
def test_a_mebibyte_of_utf_8_is_a_mebibyte_when_it_is_stored_and_passed(text: str) -> None:
    value = text * ((1 << 20) // len(text.encode()))

    assert len(encode(value).encode()) == len(encode_plain({"a": value}).encode()) - 6 == len(value.encode()) + 2
    assert len(encode_arguments((value,), {}, "arguments").encode()) == len(value.encode()) + 4


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": [1, {"b": print}]}, "value['a'][1]['b'] is a value of type builtin_function_or_method, which cannot be"),
        ({"a": {1: object()}}, "value['a'][1] is a value of type object, which cannot be stored or passed"),
        ({(1, 2): object()}, "value[a tuple key] is a value of type object"),
        ({10**5000: object()}, "value[an int key] is a value of type object"),
        (
            [Colour.RED],
            "value[0] is an instance of {0}.Colour, {1}: write its .value, and Colour(...) where it is read",
        ),
        (
            {"i": Item("pen", Decimal(1))},
            "value['i'] is an instance of {0}.Item, {1}: write dataclasses.asdict(it), and Item(**...) where it is",
        ),
        ({"p": Point(1, 2)}, "value['p'] is an instance of {0}.Point, {1}: write tuple(it), and Point(*...) where it"),
        (
            OrderedDict(a=1),
            "value is an instance of collections.OrderedDict, {1}: write dict(it), and OrderedDict(...)",
        ),
        (Counter("aab"), "value is an instance of collections.Counter, {1}: write dict(it), and Counter(...) where it"),
        (
            defaultdict(int),
            "value is an instance of collections.defaultdict, {1}: write dict(it), and defaultdict(...)",
        ),
        (deque([1]), "value is an instance of collections.deque, {1}: write list(it)"),
        ({"t": bytearray(b"x")}, "value['t'] is a value of type bytearray, {1}: write bytes(it)"),
        (range(3), "value is a value of type range, {1}: write list(it)"),
        ((part for part in "ab"), "value is a value of type generator, {1}: write list(it)"),
        ({}.keys(), "value is a value of type dict_keys, {1}: write set(it)"),
        (Fraction(1, 3), "value is an instance of fractions.Fraction, {1}: write str(it), and Fraction(...)"),
        (1j, "value is a value of type complex, {1}: write [it.real, it.imag], and complex(*...)"),
        (Late(2026, 11, 1), "value is an instance of {0}.Late, {1}: write datetime.fromisoformat(it.isoformat())"),
        ({Colour.RED: 1}, "value.keys is an instance of {0}.Colour, {1}: write its .value"),
        ([time(1, tzinfo=ZoneInfo("Europe/Berlin"))], "value[0] is a time in a zone"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path_and_the_line_to_write_instead(value: Any, sentence: str) -> None:
    for write in (encode, encode_plain):
        if type(value) is list and type(value[0]) is time and write is encode_plain:
            continue  # its clock shows the same time to everybody
        with pytest.raises(CodecError) as caught:
            write(value, "value")
        assert str(caught.value).startswith(sentence.format(__name__, "which cannot be stored or passed"))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Level.HIGH, 3),
        (Status.OPEN, "open"),
        (Key("$hf"), "$hf"),
        (Metres(1.5), 1.5),
        ([Level.HIGH, {"a": Status.OPEN}], [3, {"a": "open"}]),
        ({Status.OPEN: 1, Level.HIGH: 2}, {"open": 1, 3: 2}),
        ({Status.OPEN: 1}, {"open": 1}),
        ({Key("$hf"): 1}, {"$hf": 1}),
        ({(Status.OPEN,): {Level.HIGH}}, {("open",): {3}}),
    ],
)
def test_a_subclass_of_str_int_or_float_is_what_it_is_to_json(value: Any, plain: Any) -> None:
    assert shape(decode(encode(value))) == shape(plain)
    assert encode(value) == encode(plain)
    assert encode_plain(value) == encode_plain(plain)


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
        '{"$hf":"dict","v":[[{},1]]}',
        '{"$hf":"dict","v":[[{"$hf":"dict","v":[]},1]]}',
        '{"$hf":"dict","v":[[{"$hf":"tuple","v":[{"$hf":"dict","v":[]}]},1]]}',
        '{"$hf":"dict","v":[[{"$hf":"set","v":[]},1]]}',
        '{"$hf":"dict","v":[[1,"a"],[true,"b"]]}',
        '{"$hf":"set","v":[1,1.0]}',
        '{"$hf":"frozenset","v":[{"$hf":"set","v":[]}]}',
        '{"$hf":"decimal","v":"1E+425000001"}',
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


def test_a_value_that_answers_every_question_with_an_exception_is_refused_as_any_other() -> None:
    class Evil:
        def __getattribute__(self, name: str) -> Any:
            raise ValueError("attribute")

    for write in (encode, encode_plain):
        with pytest.raises(CodecError, match="which cannot be stored or passed"):
            write([Evil()])
