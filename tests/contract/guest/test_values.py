"""The value encoding: what comes back, what is written, what callers read who know JSON only."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from tests.contract.guest.drivers import Subject

EAST = timezone(timedelta(hours=5, minutes=30))

# Each value with its encoded text, as wit/storage.wit has it.
VALUES: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (0, "0"),
    (-(2**63), "-9223372036854775808"),
    (2**64, "18446744073709551616"),
    (10**400, "1" + "0" * 400),
    (1.0, "1.0"),
    (-0.0, "-0.0"),
    (0.1, "0.1"),
    (1e300, "1e+300"),
    (5e-324, "5e-324"),
    ("", '""'),
    ("é名\U0001f600\x00\n\"\\", '"é名\U0001f600' + r'\u0000\n\"\\"'),
    ("é\ud800名", r'"é\ud800名"'),
    ("\ud800", r'"\ud800"'),
    ([], "[]"),
    ({}, "{}"),
    ([1, [2, {"a": None}]], '[1,[2,{"a":null}]]'),
    ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
    (b"\x00\xff", '{"$hf":"bytes","v":"AP8="}'),
    (b"", '{"$hf":"bytes","v":""}'),
    (datetime(2026, 11, 1, 12, 30, 15, 123456, UTC), '{"$hf":"datetime","v":"2026-11-01T12:30:15.123456+00:00"}'),
    (datetime(2026, 11, 1, 12, 30), '{"$hf":"datetime","v":"2026-11-01T12:30:00"}'),
    (datetime(2026, 11, 1, tzinfo=EAST), '{"$hf":"datetime","v":"2026-11-01T00:00:00+05:30"}'),
    (date(2026, 11, 1), '{"$hf":"date","v":"2026-11-01"}'),
    (datetime(2026, 10, 25, 2, 30, fold=1), '{"$hf":"datetime","v":"2026-10-25T02:30:00[_fold=1]"}'),
    (time(12, 30), '{"$hf":"time","v":"12:30:00"}'),
    (time(2, 30, tzinfo=timezone(timedelta(hours=1), "CET")), '{"$hf":"time","v":"02:30:00+01:00[_name=CET]"}'),
    ({(): 1, frozenset(): 2}, '{"$hf":"dict","v":[[{"$hf":"tuple","v":[]},1],[{"$hf":"frozenset","v":[]},2]]}'),
    (time(12, 30, tzinfo=EAST), '{"$hf":"time","v":"12:30:00+05:30"}'),
    (timedelta(days=-1, seconds=5), '{"$hf":"timedelta","v":[-1,5,0]}'),
    (Decimal("1.10"), '{"$hf":"decimal","v":"1.10"}'),
    (Decimal("1E+3"), '{"$hf":"decimal","v":"1E+3"}'),
    (Decimal("-Infinity"), '{"$hf":"decimal","v":"-Infinity"}'),
    (UUID(int=255), '{"$hf":"uuid","v":"00000000-0000-0000-0000-0000000000ff"}'),
    ({3, 1, 2}, '{"$hf":"set","v":[1,2,3]}'),
    (set(), '{"$hf":"set","v":[]}'),
    (frozenset({"b", "a"}), '{"$hf":"frozenset","v":["a","b"]}'),
    ((1, ("two", [])), '{"$hf":"tuple","v":[1,{"$hf":"tuple","v":["two",[]]}]}'),
    (math.inf, '{"$hf":"float","v":"inf"}'),
    (-math.inf, '{"$hf":"float","v":"-inf"}'),
    ({1: "a", None: "b", (1, 2): "c"}, '{"$hf":"dict","v":[[1,"a"],[null,"b"],[{"$hf":"tuple","v":[1,2]},"c"]]}'),
    ({"$hf": "date"}, '{"$hf":"dict","v":[["$hf","date"]]}'),
    ({"$hf": "date", "v": "2026-11-01"}, '{"$hf":"dict","v":[["$hf","date"],["v","2026-11-01"]]}'),
    ({(1,): {"$hf": 0}}, '{"$hf":"dict","v":[[{"$hf":"tuple","v":[1]},{"$hf":"dict","v":[["$hf",0]]}]]}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), VALUES, ids=[each[1][:40].encode("ascii", "replace").decode() for each in VALUES]
)
def test_a_value_comes_back_as_what_was_stored_and_is_spelled_as_the_contract_says(
    probe: Subject, value: Any, text: str
) -> None:
    body = f'[["put","k",{text}],["get","k"],["get_many",["k"]],["list"]]'

    reply = probe.driver.post(probe.type, probe.name, "do", body, typed_arguments=True, typed_result=True)
    later = probe.call("do", ["get", "k"])

    assert later.text == f"[{text}]"
    pair = f'[{{"$hf":"tuple","v":["k",{text}]}}]'
    assert reply.text == f"[null,{text},{pair},{pair}]"
    [found] = later.typed
    assert (type(found), found) == (type(value), value)


def test_nan_comes_back(probe: Subject) -> None:
    reply = probe.call("do", ["put", "k", math.nan], ["get", "k"])

    assert reply.text == '[null,{"$hf":"float","v":"nan"}]'


def test_integers_have_any_size(probe: Subject) -> None:
    huge = -(7**20_000)

    assert probe.do(["put", "k", huge], ["get", "k"])[1] == huge


def test_a_datetime_keeps_its_zone_or_at_least_its_offset(probe: Subject) -> None:
    berlin = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))

    found = probe.do(["put", "k", berlin], ["get", "k"])[1]

    assert found == berlin
    assert found.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    "kind",
    ["function", "lambda", "instance", "class", "generator", "complex", "range", "bytearray", "subclass", "cycle"],
)
def test_anything_else_is_refused_at_the_write_and_the_path_to_it_is_named(probe: Subject, kind: str) -> None:
    message, stored = probe.call("put_unstorable", kind).typed

    assert stored == "absent"
    assert "['a'][1]['b']" in message
    assert ("cycle" if kind == "cycle" else "cannot be stored") in message


@pytest.mark.parametrize("kind", ["function", "instance", "cycle"])
@pytest.mark.parametrize("typed", [True, False])
def test_a_result_that_cannot_be_encoded_is_an_error(probe: Subject, kind: str, typed: bool) -> None:
    reply = probe.driver.post(probe.type, probe.name, "return_unstorable", f'["{kind}"]', typed_result=typed)

    assert reply.refusal == (500, "CodecError")
    assert "the result of Probe.return_unstorable['a']" in reply.error["message"]


def test_arguments_keep_their_types(probe: Subject) -> None:
    for value in (b"x", (1, 2), {1, 2}, Decimal("1.10"), timedelta(1), {1: 2}, math.inf, 10**30):
        assert probe.call("types", value).typed == [type(value).__name__, value]


def test_plain_results_are_json_for_everybody(shapes: Subject) -> None:
    reply = shapes.plain("plain")

    assert reply.value == {
        "datetime": "2026-11-01T12:30:15.123456+00:00",
        "date": "2026-11-01",
        "time": "12:30:00",
        "timedelta": 86400.5,
        "bytes": "AP8=",
        "decimal": "1.10",
        "uuid": "00000000-0000-0000-0000-000000000005",
        "set": [1, 2, 3],
        "frozenset": ["a", "b"],
        "tuple": [1, "two"],
        "nan": None,
        "infinity": None,
        "int": 10**30,
        "keys": {"1": "int", "null": "none", "[1,2]": "tuple"},
        "float": 1.0,
        "text": 'é名\x00"\\',
        "tag": {"$hf": "datetime", "v": "not a tag"},
    }
    assert list(reply.value)[:3] == ["datetime", "date", "time"]
    assert '"float":1.0' in reply.text
    assert json.dumps(reply.value, separators=(",", ":"), ensure_ascii=False) == reply.text


def test_two_keys_that_are_one_in_plain_json_are_an_error(shapes: Subject) -> None:
    assert shapes.plain("two_keys_alike").refusal == (500, "CodecError")
    assert shapes.call("two_keys_alike").typed == {1: "int", "1": "text"}
