"""Encoded values as the host shows them: it reads, refuses and shows them as the SDK does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from holdfast import CodecError as GuestCodecError
from holdfast._values.codec import decode, encode, encode_plain
from holdfast_host.core.errors import CodecError
from holdfast_host.core.values import check_encoded, plain_text
from holdfast_host.core.values import encode_plain as value_of_plain

WELL_FORMED = [
    "1",
    '"text"',
    '{"a":[null,true,1.5]}',
    '{"$hf":"bytes","v":"AP8="}',
    '{"$hf":"datetime","v":"2026-11-01T12:00:00+00:00"}',
    '{"$hf":"datetime","v":"2026-07-01T12:00:00+02:00[Europe/Berlin]"}',
    '{"$hf":"datetime","v":"2026-07-01T12:00:00+02:00[Mars/Base]"}',
    '{"$hf":"date","v":"2026-11-01"}',
    '{"$hf":"time","v":"12:30:00+05:30"}',
    '{"$hf":"time","v":"12:30:00-00:00:00.000001"}',
    '{"$hf":"tuple","v":[' + "9" * 4_250 + "]}",
    '{"$hf":"timedelta","v":[-1,86399,999999]}',
    '{"$hf":"decimal","v":"1E+3"}',
    '{"$hf":"decimal","v":"-Infinity"}',
    '{"$hf":"uuid","v":"00000000-0000-0000-0000-0000000000ff"}',
    '{"$hf":"set","v":[1,2]}',
    '{"$hf":"set","v":[1,{"$hf":"date","v":"2026-11-01"}]}',
    '{"$hf":"frozenset","v":[{"$hf":"tuple","v":[]}]}',
    '{"$hf":"float","v":"nan"}',
    '"é名\\ud800"',
    '{"$hf":"tuple","v":["é\\ud800",{"ж":"\U0001f600"}]}',
    '{"$hf":"datetime","v":"2026-11-01T00:00:00+01:00[_name=CET][_fold=1]"}',
    '{"$hf":"time","v":"02:30:00+01:00[_name=CET][_fold=1]"}',
    '{"$hf":"dict","v":[[{"$hf":"tuple","v":[]},1]]}',
    '{"$hf":"dict","v":[[{"$hf":"frozenset","v":[]},1]]}',
    '{"$hf":"dict","v":[[{"$hf":"frozenset","v":[{"$hf":"tuple","v":["\\""]}]},{"$hf":"dict","v":[[2,"x"]]}]]}',
    '{"$hf":"dict","v":[["$hf",1],[{"$hf":"date","v":"2026-11-01"},2],[null,3]]}',
]
BROKEN = [
    "NaN",
    "{",
    '{"$hf":"never","v":1}',
    '{"$hf":"date"}',
    '{"$hf":"date","v":"2026-11-01","x":1}',
    '{"$hf":"bytes","v":"*"}',
    '{"$hf":"datetime","v":"yesterday"}',
    '{"$hf":"timedelta","v":[1.5,0,0]}',
    '{"$hf":"timedelta","v":[0,-1,0]}',
    '{"$hf":"timedelta","v":[0,0,1000000]}',
    '{"$hf":"timedelta","v":[99999999999,0,0]}',
    '{"$hf":"int","v":"0x1f"}',
    '{"$hf":"int","v":"1F"}',
    '{"$hf":"decimal","v":"1_000"}',
    '{"$hf":"decimal","v":" 1"}',
    '{"$hf":"decimal","v":"one"}',
    '{"$hf":"float","v":"1"}',
    '{"$hf":"dict","v":[[1]]}',
    '{"$hf":"dict","v":[[[],1]]}',
    '{"$hf":"dict","v":[[{},1]]}',
    '{"$hf":"dict","v":[[{"$hf":"dict","v":[]},1]]}',
    '{"$hf":"dict","v":[[{"$hf":"tuple","v":[{"$hf":"dict","v":[]}]},1]]}',
    '{"$hf":"dict","v":[[{"$hf":"set","v":[]},1]]}',
    '{"$hf":"dict","v":[[1,"a"],[true,"b"]]}',
    '{"$hf":"dict","v":[[{"$hf":"decimal","v":"1.0"},"a"],[1,"b"]]}',
    '{"$hf":"dict","v":[[{"$hf":"decimal","v":"sNaN"},"a"]]}',
    '{"$hf":"set","v":[1,1]}',
    '{"$hf":"set","v":[[1]]}',
    '{"$hf":"frozenset","v":[{"$hf":"set","v":[]}]}',
    '{"$hf":"decimal","v":"1E+425000001"}',
]


@pytest.mark.parametrize("text", WELL_FORMED)
def test_plain_text_is_the_same_from_the_host_and_from_the_sdk(text: str) -> None:
    assert plain_text(text) == encode_plain(decode(text))
    assert check_encoded(text) == text


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_encoded_value_is_one_to_neither(text: str) -> None:
    with pytest.raises(CodecError):
        check_encoded(text)
    with pytest.raises(GuestCodecError):
        decode(text)


@pytest.mark.parametrize("read", [check_encoded, value_of_plain])
@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("1e400", "a number that no float can hold: 1e400"),
        ("[-1e999]", "a number that no float can hold: -1e999"),
        ('{"a":' + "1" * 4_301 + "}", 'an integer of more than 4,300 digits, which only passes typed: {"$hf":"int",'),
    ],
)
def test_a_number_that_no_reader_can_hold_is_named(read: Callable[[str], str], number: str, says: str) -> None:
    with pytest.raises(CodecError) as caught:
        read(number)

    assert caught.value.message.startswith(f"the value has {says}")


def test_two_keys_that_are_one_in_plain_json_are_never_merged() -> None:
    text = '{"$hf":"dict","v":[[1,"int"],["1","text"]]}'

    with pytest.raises(CodecError, match="two keys are '1' in plain JSON"):
        plain_text(text)
    with pytest.raises(GuestCodecError, match="two keys that are '1'"):
        encode_plain(decode(text))


def test_keys_that_are_one_in_plain_json_alone_are_stored_and_read_typed() -> None:
    value: dict[object, int] = {(): 1, frozenset(): 2, "[]": 3, 1: 4, "1": 5}

    assert decode(check_encoded(encode(value))) == value


def _keys_in_keys(levels: int) -> str:
    value = '{"$hf":"dict","v":[["\\"",0]]}'
    for _ in range(levels):
        value = f'{{"$hf":"dict","v":[[{value},0]]}}'
    return value


def _sets_in_sets(size: int) -> str:
    text = ",".join(map(str, range(size // 8)))
    for level in range(40):
        text = f'{{"$hf":"frozenset","v":[{text},"{level}"]}}'
    return text


# Shapes whose texts grow with the square of their length, or faster, where a converter is careless.
SHAPES: dict[str, Callable[[int], str]] = {
    "keys inside keys": lambda size: _keys_in_keys(min(size // 25, 30)),
    "sets inside sets": _sets_in_sets,
    "long keys above many parts": lambda size: (
        f'{{"{"k" * (size // 80)}":' * 40 + "[" + ",".join(['{"$hf":"tuple","v":[]}'] * (size // 46)) + "]" + "}" * 40
    ),
    "long keys above one that is wrong": lambda size: (
        f'{{"{"k" * (size // 40)}":' * 40 + '{"$hf":"never","v":1}' + "}" * 40
    ),
    "tuples of quotes as keys": lambda size: (
        '{"$hf":"dict","v":[' + ",".join(f'[{{"$hf":"tuple","v":["\\"{at}"]}},0]' for at in range(size // 40)) + "]}"
    ),
    "a decimal": lambda size: f'{{"$hf":"decimal","v":"{"9" * size}"}}',
    "an integer": lambda size: f'{{"$hf":"int","v":"{"f" * size}"}}',
    "bytes": lambda size: f'{{"$hf":"bytes","v":"{"A" * (size // 4 * 4)}"}}',
    "a datetime that is none": lambda size: f'{{"$hf":"datetime","v":"2026-11-01{"[x]" * (size // 3)}"}}',
    "text outside ASCII": lambda size: f'{{"$hf":"tuple","v":["{"名" * (size // 3)}"]}}',
}
READERS: tuple[Callable[[str], str], ...] = (
    plain_text,
    check_encoded,
    lambda text: encode(decode(text)),
    lambda text: encode_plain(decode(text)),
)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_converter_of_values_is_bounded_by_the_length_of_its_text(shape: str) -> None:
    """Eight times the text take about eight times the time; 64 times, where the work grows with the square."""
    short, long = SHAPES[shape](40_000), SHAPES[shape](320_000)
    for read in READERS:
        with suppress(CodecError, GuestCodecError):
            assert len(read(long)) <= len(long) * 4

        assert _seconds(read, long) <= _seconds(read, short) * 8 * 3 + 0.01


NUMBERS = {"integers": "{}", "decimals": '{{"$hf":"decimal","v":"{}"}}', "tuples": '{{"$hf":"tuple","v":[{}]}}'}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("tag", ["set", "dict"])
def test_keys_and_elements_that_were_chosen_to_have_one_hash_are_not_compared_with_each_other(
    tag: str, kind: str
) -> None:
    modulus = sys.hash_info.modulus
    part = NUMBERS[kind] if tag == "set" else f"[{NUMBERS[kind]},0]"
    parts = [part.format(at * modulus) for at in range(12_000)]
    few, many = (f'{{"$hf":"{tag}","v":[{",".join(parts[:count])}]}}' for count in (50, len(parts)))

    assert check_encoded(few) == few
    for read in (plain_text, check_encoded):
        with pytest.raises(CodecError, match="have the same hash"):
            read(many)
        assert _seconds(read, many) < 0.5


def _seconds(read: Callable[[str], str], text: str) -> float:
    """The least time of this thread that it takes to read a text, or to refuse it."""
    found = []
    for _ in range(3):
        before = time.thread_time()
        with suppress(CodecError, GuestCodecError):
            read(text)
        found.append(time.thread_time() - before)
    return min(found)
