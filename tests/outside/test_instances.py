"""Instances from outside: /v1/instances over a real host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.background import CallUnderWay
from tests.harness.caller import Answer, Caller, SentCall
from tests.harness.commands import run
from tests.harness.fixtures import StartHost

TYPED = "application/vnd.holdfast+json"


def get(caller: Caller, path: str, **headers: str) -> Any:
    answer = caller.request("GET", f"/v1/instances/{path}", headers=headers)
    assert answer.status == 200, answer
    return answer.value


def put(caller: Caller, path: str, body: str, **headers: str) -> Answer:
    return caller.request("PUT", f"/v1/instances/{path}", body.encode(), headers)


@pytest.mark.slow
def test_instances_are_listed_in_name_order_over_all_workers_page_by_page(probe_host: StartHost) -> None:
    host = probe_host(workers=2)
    names = sorted(["a/b", "..", "é", *(f"n{number:03}" for number in range(30))], key=str.encode)
    with host.caller() as caller:
        for name in names:
            caller.value("Probe", name, "put", "k", 1)

        found, cursor, pages = [], "", 0
        while cursor is not None:
            page = get(caller, f"Probe?limit=7&cursor={cursor}")
            found += [each["name"] for each in page["instances"]]
            cursor, pages = page["cursor"], pages + 1

        assert found == names
        assert pages == 5
        assert [each["name"] for each in get(caller, "Probe?prefix=n00")["instances"]] == [f"n00{n}" for n in range(10)]
        assert get(caller, "Probe?prefix=none") == {"instances": [], "cursor": None}
        assert get(caller, "Fragile") == {"instances": [], "cursor": None}
    assert [line.split()[-1] for line in run(host, "instances", "Probe").splitlines()] == names
    assert run(host, "instances", "Probe", "--limit", "2", "--json").count("\n") == 2


def test_what_a_listing_cannot_use_is_refused(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        for query in ("limit=0", "limit=1001", "limit=x", "limit=00000010000001", "cursor=*", "cursor=gA", "colour=red",
                      "limit=1&limit=2"):  # fmt: skip
            answer = caller.request("GET", f"/v1/instances/Probe?{query}")
            assert (answer.status, answer.error) == (400, "BadRequestError"), query
        assert caller.request("GET", "/v1/instances/Nobody").error == "UnknownActorTypeError"
        assert caller.request("GET", "/v1/instances/Probe/%00").error == "InvalidNameError"


def test_an_instance_says_what_its_receipts_take_and_has_none_once_it_is_erased(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        for key in ("a", "b"):
            caller.request("POST", "/v1/actors/Probe/keyed/increment", "[]", {"Idempotency-Key": key})
        described = get(caller, "Probe/keyed?count=true")
        shown = run(host, "inspect", "Probe", "keyed")

        assert described["keys"] == 1
        assert described["apart_bytes"] > 2 * 16
        apart = f"apart    {described['apart_bytes']} bytes, of answers under idempotency keys, jobs and sockets"
        assert apart in shown
        run(host, "erase", "Probe", "keyed", "--yes")
        assert get(caller, "Probe/keyed?count=true")["apart_bytes"] == 0
        again = caller.request("POST", "/v1/actors/Probe/keyed/increment", "[]", {"Idempotency-Key": "a"})
        assert again.value == 1


def test_an_instance_is_described_without_waking_it(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        asleep = get(caller, "Probe/alice?count=true")
        caller.value("Probe", "alice", "put_many", {"a": 1, "bb": "x"})
        awake = get(caller, "Probe/alice?count=true")

        assert asleep == {
            "type": "Probe", "name": "alice", "active": False, "queued": 0, "alarm": None, "version": 1,
            "quarantined": False, "keys": 0, "bytes": 0, "apart_bytes": 0, "jobs": 0,
        }  # fmt: skip
        assert awake == {**asleep, "active": True, "keys": 2, "bytes": len('a1bb"x"')}
        assert "keys" not in get(caller, "Probe/alice")

        caller.value("Probe", "alice", "put", "at", [1.5, {"deep": None}])
        shown = run(host, "inspect", "Probe", "alice")
        assert 'at = [1.5, {"deep": null}]' in shown
        assert "3 keys" in shown


def test_turns_that_wait_are_counted(probe_host: StartHost) -> None:
    host = probe_host()
    running = CallUnderWay(host, "Probe", "busy", "spin", 3.0)
    with host.caller() as caller:
        while not get(caller, "Probe/busy")["active"]:
            assert not running.is_answered_within(0.01)
        waiting = [CallUnderWay(host, "Probe", "busy", "nothing") for _ in range(3)]
        while get(caller, "Probe/busy")["queued"] < 3:
            assert not running.is_answered_within(0.01)
    for each in (running, *waiting):
        assert each.answer().status == 200


def test_storage_is_read_in_pages_and_by_key(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "put_many", {f"k{number}": number for number in range(5)})
        caller.value("Probe", "alice", "put", "z/é", {"$hf": "mine"})

        first = get(caller, "Probe/alice/storage?limit=2&prefix=k")
        rest = get(caller, f"Probe/alice/storage?prefix=k&start={first['next']}")
        assert first == {"entries": [{"key": "k0", "value": 0}, {"key": "k1", "value": 1}], "next": "k2"}
        assert [entry["key"] for entry in rest["entries"]] == ["k2", "k3", "k4"]
        assert rest["next"] is None

        assert get(caller, "Probe/alice/storage/z%2F%C3%A9") == {"$hf": "mine"}
        assert get(caller, "Probe/alice/storage/z%2F%C3%A9", Accept=TYPED) == {"$hf": "dict", "v": [["$hf", "mine"]]}
        missing = caller.request("GET", "/v1/instances/Probe/alice/storage/nothing")
        assert (missing.status, missing.error) == (404, "UnknownKeyError")


def test_storage_is_edited_as_a_turn_and_memory_does_not_contradict_it(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "remember_and_put", "x", 1)

        assert put(caller, "Probe/alice/storage/x", '"é名"').value == {"key": "x", "bytes": 7}
        assert put(caller, "Probe/alice/storage/x", "[2, 3]").value == {"key": "x", "bytes": 5}
        assert caller.value("Probe", "alice", "remembered", "x") == {"memory": None, "storage": [2, 3]}

        tagged = {"Content-Type": TYPED}
        value = '{"$hf": "tuple", "v": [1, {"$hf": "datetime", "v": "2026-11-01T12:00:00+00:00"}]}'
        assert put(caller, "Probe/alice/storage/x", value, **tagged).status == 200
        assert get(caller, "Probe/alice/storage/x") == [1, "2026-11-01T12:00:00+00:00"]
        assert put(caller, "Probe/alice/storage/x", '{"$hf": "moon", "v": 1}', **tagged).error == "BadRequestError"
        assert put(caller, "Probe/alice/storage/x", "NaN").error == "BadRequestError"
        assert put(caller, "Probe/alice/storage/x", "[" * 101 + "]" * 101).error == "BadRequestError"
        assert put(caller, "Probe/alice/storage/" + "k" * 481, "1").error == "BadRequestError"
        assert put(caller, "Probe/alice/storage/__holdfast_x", "1").error == "BadRequestError"

        delete = caller.request("DELETE", "/v1/instances/Probe/alice/storage/x")
        assert delete.value == {"key": "x", "deleted": True}
        assert caller.value("Probe", "alice", "get", "x") is None


def test_a_mebibyte_of_utf_8_goes_in_comes_out_and_is_stored_as_a_mebibyte(probe_host: StartHost) -> None:
    host = probe_host()
    path = "Probe/alice/storage/k"
    with host.caller() as caller:
        for text in ("é", "名", "\U0001f600"):
            value = text * (((1 << 20) - 2) // len(text.encode()))
            body = f'"{value}"'.encode()

            assert caller.request("PUT", f"/v1/instances/{path}", body).status == 200
            assert get(caller, path) == value
            assert get(caller, "Probe/alice?count=true")["bytes"] == len(body) + 1
            assert caller.value("Probe", "alice", "get", "k") == value
            arguments = f'["k","{value[:-4]}"]'.encode()
            assert caller.request("POST", "/v1/actors/Probe/bob/put", arguments).status == 200
            assert get(caller, "Probe/bob?count=true")["bytes"] == len(arguments) - len('["k",]') + 1
            assert caller.request("PUT", f"/v1/instances/{path}", f'"{value}ééé"'.encode()).error == (
                "PayloadTooLargeError"
            )


def test_what_an_actor_stored_is_what_a_typed_put_takes(probe_host: StartHost) -> None:
    host = probe_host()
    keys = '{"$hf":"dict","v":[[{"$hf":"tuple","v":[]},1],[{"$hf":"frozenset","v":[]},2],["[]",3],[1,4],["1",5]]}'
    with host.caller() as caller:
        assert put(caller, "Probe/alice/storage/k", keys, **{"content-type": TYPED}).status == 200
        assert caller.request("GET", "/v1/instances/Probe/alice/storage/k", headers={"accept": TYPED}).text == keys
        refused = caller.request("GET", "/v1/instances/Probe/alice/storage/k")

        assert "two keys are '[]' in plain JSON: ask for it typed" in refused.text


def test_keys_inside_keys_are_refused_before_they_grow(probe_host: StartHost) -> None:
    host = probe_host()
    value = '{"$hf":"dict","v":[["\\"",0]]}'
    for _ in range(25):
        value = f'{{"$hf":"dict","v":[[{value},0]]}}'
    with host.caller() as caller:
        answer = put(caller, "Probe/alice/storage/k", value, **{"content-type": TYPED})

        assert (answer.status, answer.error) == (400, "BadRequestError")
        assert "a key, or an element of a set, holds a list, a dict or a set" in answer.text


def test_an_edit_waits_for_the_running_turn(probe_host: StartHost) -> None:
    host = probe_host()
    slow = SentCall(host.url, "Probe", "alice", "slow_increment", 0.5)
    with host.caller() as caller:
        while not get(caller, "Probe/alice")["active"]:
            assert not slow.has_answer()

        assert put(caller, "Probe/alice/storage/n", "10").status == 200
        assert slow.has_answer()  # it left first
        assert slow.answer().value == 1
        assert caller.value("Probe", "alice", "increment") == 11


def test_a_deleted_instance_is_gone_and_begins_anew(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "put_many", {"a": 1, "b": 2})
        activation = caller.value("Probe", "alice", "activation_id")

        assert caller.request("DELETE", "/v1/instances/Probe/alice").value == {"deleted": True}
        assert get(caller, "Probe") == {"instances": [], "cursor": None}
        assert get(caller, "Probe/alice")["active"] is False
        assert caller.request("DELETE", "/v1/instances/Probe/alice").value == {"deleted": False}
        assert caller.value("Probe", "alice", "everything") == {}
        assert caller.value("Probe", "alice", "activation_id") != activation


def test_an_evicted_instance_is_activated_again_with_what_it_stored(probe_host: StartHost) -> None:
    host = probe_host()
    with host.caller() as caller:
        caller.value("Probe", "alice", "increment")
        before = caller.value("Probe", "alice", "activation_id")

        assert caller.request("POST", "/v1/instances/Probe/alice/evict").value == {"evicted": True}
        assert get(caller, "Probe/alice")["active"] is False
        assert caller.request("POST", "/v1/instances/Probe/alice/evict").value == {"evicted": False}
        assert caller.value("Probe", "alice", "increment") == 2
        assert caller.value("Probe", "alice", "activation_id") != before


def test_an_eviction_is_answered_when_the_running_turn_is_over(probe_host: StartHost) -> None:
    host = probe_host()
    slow = CallUnderWay(host, "Probe", "alice", "slow_increment", 0.5)
    with host.caller() as caller:
        while not get(caller, "Probe/alice")["active"]:
            assert not slow.is_answered_within(0.01)

        assert caller.request("POST", "/v1/instances/Probe/alice/evict").value == {"evicted": True}
        assert get(caller, "Probe/alice")["active"] is False
    assert json.loads(slow.answer().text) == 1
