"""Which arguments of plain JSON are looked at: none whose types say enough."""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest

from holdfast import CodecError, StatefulActor
from holdfast._describe import Component
from holdfast._exports import Guest
from holdfast._host_imports import Err
from holdfast._log_capture import Output
from holdfast._methods import Method
from holdfast._values.codec import decode, encode
from holdfast._values.misfits import MisfitError
from tests.unit.guest.memory_host import host_imports

if TYPE_CHECKING:
    from nowhere import Unseen  # type: ignore[import-not-found]


@dataclass
class Leaf:
    kind: Literal["leaf"]
    inner: list[Leaf | Ring] | None = None


@dataclass
class Ring:
    kind: Literal["ring"]
    inner: list[Leaf | Ring] | None = None


class Shop(StatefulActor):
    def count(self, numbers: set[int]) -> int:
        return len(numbers)

    def count_keys(self, numbers: dict[int, int]) -> int:
        return len(numbers)

    def draw(self, shapes: list[Leaf | Ring] | None) -> str:
        kinds = []
        while shapes:
            kinds.append(shapes[0].kind)
            shapes = shapes[0].inner
        return " ".join(kinds)

    def buy(self, name: str, count: int = 1, note: str | None = None) -> list[Any]:
        return [name, count, note]

    def pay(self, price: Decimal | list[int]) -> str:
        return repr(price)

    def free(self, thing: Any, unseen: Unseen = None) -> list[Any]:
        return [thing, unseen]


@pytest.fixture
def guest() -> Guest:
    imports = host_imports()
    guest = Guest(Component({"Shop": Shop}, None), imports, Output())
    guest.activate("Shop", "a", '{"bindings":{},"variables":{},"check_arguments":true}')
    return guest


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("buy", '["pen"]'),
        ("buy", '["pen",2,null]'),
        ("buy", '{"name":"pen"}'),
        ("buy", '{"name":"pen","count":2,"note":"x"}'),
        ("free", '[{"a":[1]},2]'),
        ("free", '{"thing":null}'),
        ("free", ""),
    ],
)
def test_arguments_of_exactly_the_annotated_types_are_passed_without_a_look(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, method: str, arguments: str
) -> None:
    monkeypatch.setattr(Method, "convert", lambda *_: pytest.fail("it was looked at"))
    if method == "free" and not arguments:
        with pytest.raises(Err, match="missing a required argument"):
            guest.call(method, arguments, False, False)
        return

    assert json.loads(guest.call(method, arguments, False, False))[0] != ""


def test_others_are_looked_at_one_by_one(guest: Guest) -> None:
    assert guest.call("buy", '{"note":"x","name":"pen"}', False, False) == '["pen",1,"x"]'
    assert guest.call("buy", '["pen",2.0]', False, False) == '["pen",2,null]'


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-Infinity", "inf", "-nan12"])
def test_a_decimal_that_is_no_number_is_refused(guest: Guest, text: str) -> None:
    with pytest.raises(Err, match=r"BadArgumentsError.*price is "):
        guest.call("pay", f'["{text}"]', False, False)


def test_what_does_not_fit_leaves_nothing_behind(guest: Guest) -> None:
    gc.collect()
    gc.disable()
    try:
        for arguments in ('["x"]', '[[1,"x"]]', "[1,2]", "[1.5]"):
            with pytest.raises(Err):
                guest.call("pay", arguments, False, False)
        left = [each for each in gc.get_objects() if isinstance(each, MisfitError)]
    finally:
        gc.enable()

    assert left == []


@pytest.mark.parametrize(("last", "fits"), [("null", True), ("7", False)])
def test_a_union_inside_itself_is_tried_once_for_each_part_of_a_value(guest: Guest, last: str, fits: bool) -> None:
    shape = last
    for _ in range(24):
        shape = f'[{{"inner":{shape},"kind":"ring"}}]'
    began = time.thread_time()

    if fits:
        assert guest.call("draw", f"[{shape}]", False, False) == json.dumps(" ".join(["ring"] * 24))
    else:
        with pytest.raises(Err, match=r"\[0\]\['inner'\]\[0\]\['inner'\].* is 7, not"):
            guest.call("draw", f"[{shape}]", False, False)

    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("method", "whole", "part"),
    [
        ("count", "[{}]", "{}"),
        ("count_keys", "{{{}}}", '"{}":0'),
        ("count", '{{"$hf":"set","v":[{}]}}', "{}"),
        ("count_keys", '{{"$hf":"dict","v":[{}]}}', "[{},0]"),
    ],
)
def test_no_set_or_dict_is_made_of_arguments_that_were_chosen_to_have_one_hash(
    guest: Guest, method: str, whole: str, part: str
) -> None:
    parts = [part.format(at * sys.hash_info.modulus) for at in range(20_000)]
    few, many = (f"[{whole.format(','.join(each))}]" for each in (parts[:100], parts))

    assert guest.call(method, few, "$hf" in whole, False) == "100"
    began = time.thread_time()
    with pytest.raises(Err, match="more than 100 keys or elements with the same hash"):
        guest.call(method, many, "$hf" in whole, False)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("kind", [set, frozenset, dict.fromkeys])
def test_what_would_be_refused_where_it_is_read_is_refused_where_it_is_written(kind: Any) -> None:
    numbers = [at * sys.hash_info.modulus for at in range(101)]

    assert decode(encode(kind(numbers[1:]))) == kind(numbers[1:])
    with pytest.raises(CodecError, match="more than 100 keys or elements with the same hash"):
        encode(kind(numbers))
