"""Each limit of the contract, at it and one past it."""

from __future__ import annotations

import pytest

from tests.contract.guest.drivers import Subject

MIB = 1 << 20


def test_a_key_has_480_bytes_at_most(probe: Subject) -> None:
    for at, past in (("k" * 480, "k" * 481), ("é" * 240, "é" * 241)):
        assert probe.do(["put", at, 1], ["get", at]) == [None, 1]
        for step in (["put", past, 1], ["get", past], ["delete", past], ["get_many", [past]]):
            kind, message = probe.one("try", *step)
            assert kind == "LimitError"
            assert f"key of {len(past.encode())} bytes exceeds the limit of 480 bytes ({probe.label})" == message


def test_a_key_has_one_byte_at_least(probe: Subject) -> None:
    kind, message = probe.one("try", "put", "", 1)

    assert kind == "LimitError"
    assert "480" in message


def test_a_value_has_one_mebibyte_at_most_encoded(probe: Subject) -> None:
    assert probe.call("put_sized", "k", MIB).status == 200

    reply = probe.call("put_sized", "k", MIB + 1)

    assert reply.refusal == (500, "ActorMethodError")
    what = f"value of {MIB + 1} bytes for key 'k' exceeds the limit of {MIB} bytes ({probe.label})"
    assert reply.error["message"] == f"LimitError: {what}"


def test_a_limit_error_can_be_caught_and_has_changed_nothing(probe: Subject) -> None:
    refused, value = probe.do(["put", "k", 1], ["try", "put_sized", "k", MIB + 1], ["get", "k"])[1:]

    assert refused[0] == "LimitError"
    assert value == 1
    assert probe.one("get", "k") == 1


def test_a_turn_writes_ten_thousand_keys_at_most(probe: Subject) -> None:
    assert probe.call("fill", 10_000, 1).status == 200
    assert probe.call("count_scan", "k").typed == 10_000

    reply = probe.call("fill", 10_001, 1, "n")

    assert reply.refusal == (500, "ActorMethodError")
    assert "LimitError: writing 10001 keys in one turn exceeds the limit of 10000 keys" in reply.error["message"]
    assert probe.call("count_scan", "n").typed == 0


def test_a_turn_writes_sixteen_mebibytes_at_most(probe: Subject) -> None:
    """Keys of 6 bytes and values of 2 bytes more than their text."""
    assert probe.call("fill", 16, MIB - 8).status == 200

    reply = probe.call("fill", 17, MIB - 8, "n")

    assert reply.refusal == (500, "ActorMethodError")
    assert f"exceeds the limit of {16 * MIB} bytes" in reply.error["message"]
    assert probe.call("count_scan", "n").typed == 0


def test_overwriting_in_one_turn_counts_once(probe: Subject) -> None:
    steps = [["put", "k", "x" * 30_000]] * 20

    assert probe.call("do", *steps).status == 200


def test_a_page_has_eight_mebibytes_at_most_and_its_error_names_the_key_to_go_on_from(probe: Subject) -> None:
    probe.call("fill", 9, MIB - 8)
    keys = [f"k{n:05}" for n in range(9)]

    for step, key in ((["list"], "k00008"), (["list", {"reverse": True}], "k00000"), (["get_many", keys], "k00008")):
        kind, message = probe.one("try", *step)
        assert kind == "LimitError"
        assert f"'{key}'" in message
    assert probe.call("count_scan", "k").typed == 9
    assert probe.call("scan_keys", {"reverse": True}).typed == keys[::-1]


def test_eight_mebibytes_are_a_page(probe: Subject) -> None:
    probe.call("fill", 8, MIB - 8)

    assert probe.call("do_then_return", 1, ["list"], ["get_many", [f"k{n:05}" for n in range(8)]]).status == 200


def test_arguments_have_one_mebibyte_at_most(probe: Subject) -> None:
    at, past = (f'["{"x" * (size - 4)}"]' for size in (MIB, MIB + 1))

    assert probe.plain("length", at).value == MIB - 4
    assert probe.plain("length", past).refusal == (413, "PayloadTooLargeError")


def test_a_result_has_one_mebibyte_at_most(probe: Subject) -> None:
    assert len(probe.call("return_sized", MIB).text) == MIB

    reply = probe.call("return_sized", MIB + 1)

    assert reply.refusal == (500, "LimitError")
    assert f"{MIB + 1} bytes" in reply.error["message"]
    assert f"{MIB} bytes" in reply.error["message"]


def test_a_result_that_is_too_large_commits_nothing(probe: Subject) -> None:
    before = probe.call("recall").typed[0]
    # Each step's result is the value: together they are too large to be returned.
    probe.call("put_sized", "k", 600_000)

    reply = probe.call("do", ["put", "other", 1], ["get", "k"], ["get", "k"])

    assert reply.refusal == (500, "LimitError")
    assert probe.one("get", "other") is None
    assert probe.call("recall").typed[0] != before


def test_arguments_nest_a_hundred_deep_at_most(probe: Subject) -> None:
    at, past = ("[" * depth + "]" * depth for depth in (100, 101))

    assert probe.plain("length", at).value == 1
    assert probe.plain("length", past).refusal == (400, "BadRequestError")


def test_results_and_values_nest_a_hundred_deep_at_most(probe: Subject) -> None:
    for typed in (True, False):
        at, past = (
            probe.driver.post(probe.type, probe.name, "return_nested", f"[{depth}]", typed_result=typed)
            for depth in (100, 101)
        )
        assert at.text == "[" * 100 + "0" + "]" * 100
        assert past.refusal == (500, "CodecError")
        assert "100" in past.error["message"]


def test_savepoints_nest_a_hundred_deep_at_most(probe: Subject) -> None:
    assert probe.call("savepoints", 100).typed == 100

    message = probe.call("savepoints", 101).error["message"]

    assert message == f"LimitError: savepoint 101 deep exceeds the limit of 100 ({probe.label})"


@pytest.mark.slow
def test_a_turn_calls_its_host_two_hundred_thousand_times_at_most(probe: Subject) -> None:
    before = probe.call("recall").typed[0]
    assert probe.call("many_host_calls", 200_000).typed == 200_000

    reply = probe.call("many_host_calls", 200_001)

    assert reply.refusal == (500, "ActorTrapError")
    assert "more than 200000 host calls in one turn" in reply.error["message"]
    assert probe.call("recall").typed[0] != before
