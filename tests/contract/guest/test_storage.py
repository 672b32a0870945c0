"""`ctx.storage`: reads, writes, listings, transactions, sync."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject


@pytest.fixture
def stocked(probe: Subject) -> Subject:
    """A Probe with a few keys."""
    probe.do(["put_many", {"b/2": 2, "a": 0, "b/1": 1, "c": 4, "b/3": 3}])
    return probe


def test_what_was_put_is_read_in_the_same_turn_and_in_later_ones(probe: Subject) -> None:
    steps = [["get", "k"], ["put", "k", 1], ["get", "k"], ["put", "k", 2], ["get", "k"]]

    assert probe.do(*steps) == [None, None, 1, None, 2]
    assert probe.one("get", "k") == 2


def test_after_a_turn_that_failed_reads_find_what_is_stored(probe: Subject) -> None:
    probe.do(["put", "k", 1], ["get", "k"], ["get", "absent"])
    for failing in ("do_then_raise", "do_then_refuse"):
        assert probe.call(failing, ["put", "k", 2], ["put", "absent", 3], ["delete", "k"]).status != 200

        assert probe.do(["get", "k"], ["get", "absent"]) == [1, None]


def test_after_an_eviction_reads_find_what_is_stored(probe: Subject) -> None:
    probe.do(["put", "k", 1], ["delete", "absent"])
    probe.driver.evict(probe.type, probe.name)

    assert probe.do(["get", "k"], ["get", "absent"]) == [1, None]


def test_an_absent_key_gives_the_default_and_a_stored_none_does_not(probe: Subject) -> None:
    assert probe.do(["get", "k", "default"], ["put", "k", None], ["get", "k", "default"]) == ["default", None, None]


def test_delete_says_whether_the_key_was_there(probe: Subject) -> None:
    assert probe.do(["delete", "k"], ["put", "k", 1], ["delete", "k"], ["delete", "k"], ["get", "k"]) == [
        False, None, True, False, None,
    ]  # fmt: skip
    probe.do(["put", "k", 1])
    assert probe.do(["delete", "k"], ["get", "k"]) == [True, None]
    assert probe.one("get", "k") is None


def test_get_many_gives_those_that_exist_in_the_order_asked(stocked: Subject) -> None:
    assert stocked.one("get_many", ["c", "missing", "a", "b/2"]) == [("c", 4), ("a", 0), ("b/2", 2)]
    assert stocked.one("get_many", []) == []
    assert stocked.do(["delete", "a"], ["put", "n", 9], ["get_many", ["a", "n"]])[-1] == [("n", 9)]
    assert stocked.one("try", "get_many", "abc")[0] == "TypeError"


def test_put_many_writes_all_or_nothing(probe: Subject) -> None:
    message, left = probe.call("put_many_unstorable").typed

    assert "'b'" in message
    assert left == {}
    assert probe.do(["put_many", {}], ["put_many", {"a": 1, "b": 2}], ["list"])[-1] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("step", "argument"), [("put_many", ["a", 1]), ("put_many", None), ("get_many", None), ("get_many", 5)]
)
def test_several_keys_that_are_none_are_refused(probe: Subject, step: str, argument: Any) -> None:
    kind, message = probe.one("try", step, argument)

    assert kind == "TypeError"
    assert message.endswith(type(argument).__name__)


def test_put_many_that_passes_a_limit_writes_nothing(probe: Subject) -> None:
    refused, left = probe.do(["try", "put_many", {"a": 1, "b" * 481: 2}], ["list"])

    assert refused[0] == "LimitError"
    assert left == []


def test_delete_all_deletes_every_key(stocked: Subject) -> None:
    assert stocked.do(["put", "new", 1], ["delete_all"], ["list"], ["put", "later", 2], ["list"])[2:] == [
        [], None, [("later", 2)],
    ]  # fmt: skip
    assert stocked.one("list") == [("later", 2)]


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({}, ["a", "b/1", "b/2", "b/3", "c"]),
        ({"prefix": "b/"}, ["b/1", "b/2", "b/3"]),
        ({"prefix": "d"}, []),
        ({"start": "b/2"}, ["b/2", "b/3", "c"]),
        ({"start": "b/15"}, ["b/2", "b/3", "c"]),
        ({"start_after": "b/2"}, ["b/3", "c"]),
        ({"end": "b/2"}, ["a", "b/1"]),
        ({"start": "a", "end": "a"}, []),
        ({"start": "c", "end": "a"}, []),
        ({"prefix": "b/", "start_after": "b/1", "end": "c"}, ["b/2", "b/3"]),
        ({"prefix": "b/", "start": "a"}, ["b/1", "b/2", "b/3"]),
        ({"prefix": "b/", "start": "c"}, []),
        ({"reverse": True}, ["c", "b/3", "b/2", "b/1", "a"]),
        ({"reverse": True, "start": "b/1", "end": "b/3"}, ["b/2", "b/1"]),
        ({"reverse": True, "start_after": "b/1"}, ["c", "b/3", "b/2"]),
        ({"prefix": "b/", "reverse": True}, ["b/3", "b/2", "b/1"]),
    ],
)
def test_list_and_scan_take_the_same_filters(stocked: Subject, filters: dict[str, Any], keys: list[str]) -> None:
    listed, scanned = stocked.do(["list", filters], ["scan", filters])

    assert [key for key, _ in listed] == keys
    assert [list(pair) for pair in listed] == scanned


def test_a_limit_cuts_a_list_in_either_direction(stocked: Subject) -> None:
    assert [key for key, _ in stocked.one("list", {"limit": 2})] == ["a", "b/1"]
    assert [key for key, _ in stocked.one("list", {"limit": 2, "reverse": True})] == ["c", "b/3"]


def test_a_listing_sees_the_turns_own_writes_in_their_places(stocked: Subject) -> None:
    steps = [["put", "b/0", "new"], ["delete", "b/2"], ["put", "b/3", "changed"], ["put", "z", 1]]

    *_, listed, backwards = stocked.do(*steps, ["list"], ["list", {"reverse": True, "limit": 3}])

    assert listed == [("a", 0), ("b/0", "new"), ("b/1", 1), ("b/3", "changed"), ("c", 4), ("z", 1)]
    assert backwards == [("z", 1), ("c", 4), ("b/3", "changed")]


def test_keys_are_in_the_order_of_their_utf8_bytes(probe: Subject) -> None:
    keys = ["Z", "a", "é", "z", "\uffff", "\U0001f600", "a\x00", "a\x01", "名", "a "]
    probe.do(["put_many", dict.fromkeys(keys, 0)])

    assert [key for key, _ in probe.one("list")] == sorted(keys, key=str.encode)
    assert probe.call("scan_keys", {"reverse": True}).typed == sorted(keys, key=str.encode, reverse=True)
    assert [key for key, _ in probe.one("list", {"prefix": "a"})] == ["a", "a\x00", "a\x01", "a "]


def test_the_default_limit_of_a_list_is_128_and_a_scan_has_none(probe: Subject) -> None:
    probe.call("fill", 1500, 1)

    assert len(probe.one("list")) == 128
    assert len(probe.one("list", {"limit": 1000})) == 1000
    keys = probe.call("scan_keys", {}).typed
    assert keys == [f"k{number:05}" for number in range(1500)]
    assert probe.call("scan_keys", {"reverse": True}).typed == keys[::-1]
    assert probe.call("scan_keys", {"start_after": keys[3], "end": keys[1400]}).typed == keys[4:1400]


@pytest.mark.parametrize("limit", [1001, 0, -1, 10**9, "5", 1.5, True])
def test_a_limit_that_is_none_is_refused(probe: Subject, limit: Any) -> None:
    kind, message = probe.one("try", "list", {"limit": limit})

    assert kind == "ValueError"
    assert "1000" in message


def test_start_and_start_after_exclude_each_other(probe: Subject) -> None:
    for step in ("list", "scan"):
        assert probe.one("try", step, {"start": "a", "start_after": "b"})[0] == "ValueError"


def test_a_scan_goes_on_while_keys_are_written(probe: Subject) -> None:
    probe.do(["put_many", {f"s{number:03}": 0 for number in range(300)}])

    seen = probe.call("scan_while_writing").typed

    assert seen == [*(f"s{number:03}" for number in range(251)), "s999"]


def test_a_transaction_that_raises_discards_its_own_writes_and_propagates(stocked: Subject) -> None:
    steps = [["put", "a", "changed"], ["delete", "b/1"], ["put", "new", 1], ["delete_all"], ["put", "after", 1]]

    assert stocked.call("do_in_transaction_then_raise", *steps).typed == "KeyError('discard')"
    assert [key for key, _ in stocked.one("list")] == ["a", "b/1", "b/2", "b/3", "c"]
    assert stocked.one("get", "a") == 0


def test_a_transaction_that_ends_well_is_part_of_its_turn(stocked: Subject) -> None:
    assert stocked.call("do_in_transaction", ["put", "a", 9], ["get", "a"], ["delete", "c"]).typed == [None, 9, True]
    assert stocked.do(["get", "a"], ["get", "c"]) == [9, None]


def test_transactions_nest(probe: Subject) -> None:
    probe.do(["put", "kept", 1])

    assert probe.call("nested_transactions").typed == [
        {"a": "inner", "b": "inner"},
        {"a": "outer", "kept": 1},
        {"a": "outer", "c": "released", "kept": 1},
    ]


@pytest.mark.parametrize(("method", "refusal"), [("do_then_raise", 500), ("do_then_refuse", 418)])
def test_a_turn_that_raises_commits_nothing(stocked: Subject, method: str, refusal: int) -> None:
    reply = stocked.call(method, ["put", "a", 1], ["delete", "b/1"], ["put", "new", 1], ["set_alarm", 4e9])

    assert reply.status == refusal
    assert stocked.one("list") == [("a", 0), ("b/1", 1), ("b/2", 2), ("b/3", 3), ("c", 4)]
    assert stocked.one("get_alarm") is None


def test_a_delete_all_that_raises_deletes_nothing(stocked: Subject) -> None:
    stocked.call("do_then_raise", ["delete_all"])

    assert len(stocked.one("list")) == 5


def test_what_was_synced_stays_and_what_came_after_goes(probe: Subject) -> None:
    assert probe.call("sync_then_raise").refusal == (500, "ActorMethodError")
    assert probe.one("list") == [("before", 1)]


def test_sync_inside_a_transaction_is_an_error(probe: Subject) -> None:
    [refused] = probe.call("do_in_transaction", ["try", "sync"]).typed

    assert refused[0] == "RuntimeError"
    assert "transaction" in refused[1]


def test_a_turn_may_sync_again_and_again(probe: Subject) -> None:
    steps = [["sync"], ["put", "a", 1], ["sync"], ["get", "a"], ["put", "a", 2], ["sync"], ["sync"], ["get", "a"]]

    assert probe.do(*steps)[3::4] == [1, 2]


def test_a_value_is_a_copy_on_its_way_in_and_out(probe: Subject) -> None:
    assert probe.call("get_copies").typed == [[1]]
    assert probe.call("put_then_change").typed == [1]


@pytest.mark.parametrize("key", ["__holdfast_", "__holdfast_x"])
def test_reserved_keys_are_refused(probe: Subject, key: str) -> None:
    for step in (["put", key, 1], ["get", key], ["delete", key], ["get_many", [key]]):
        kind, message = probe.one("try", *step)

        assert kind == "ValueError"
        assert "reserved" in message
    assert probe.do(["put", "__holdfast", 1], ["put", "_k", 2], ["get", "__holdfast"]) == [None, None, 1]


@pytest.mark.parametrize("key", [1, None, b"k", ["k"]])
def test_a_key_that_is_no_text_is_refused(probe: Subject, key: Any) -> None:
    for step in (["put", key, 1], ["get", key], ["delete", key]):
        assert probe.one("try", *step)[0] == "TypeError"


def test_a_key_with_a_lone_surrogate_is_refused(probe: Subject) -> None:
    assert "surrogate" in probe.call("put_surrogate_key").typed


def test_a_key_may_be_any_text(probe: Subject) -> None:
    keys = [" ", "\x00", "a/b", "名前", "\U0001f600", '"', "\\", "\n", "_", "é" * 240]

    for key in keys:
        assert probe.do(["put", key, key], ["get", key], ["delete", key]) == [None, key, True]


def test_instances_of_two_types_and_one_name_have_storages_of_their_own(subject: NewSubject) -> None:
    probe, timer = subject("Probe"), subject("Timer")
    probe.do(["put", "seen/1", "the probe's"])

    assert timer.call("seen").typed == []
