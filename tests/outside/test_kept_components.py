"""Components of earlier versions of the contract, on a host of today."""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.caller import Caller
from tests.harness.components import TestComponent, made_once
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

KEPT = Path(__file__).parents[1] / "fixtures" / "components"
PACKED = KEPT / "everything-1.0.0.wasm.xz"
PROJECT = KEPT / "everything"
TYPED = {"accept": "application/vnd.holdfast+json"}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Of a host that runs the component of 1.0.0."""
    component = made_once(PACKED.stem, lambda path: path.write_bytes(lzma.decompress(PACKED.read_bytes())))
    with HostProcess(tmp_path_factory.mktemp("kept") / "data") as host, host.caller() as caller:
        deploy(host, TestComponent("everything", PROJECT, PROJECT / "holdfast.toml", component))
        yield caller


def test_a_component_of_1_0_keeps_its_state_as_it_did(caller: Caller) -> None:
    def call(method: str, *positions: Any) -> Any:
        return caller.value("Everything", "storage", method, *positions)

    assert call("round_trip") == []
    typed = caller.request("POST", "/v1/actors/Everything/storage/values", None, TYPED).value
    assert typed["tuple"] == {"$hf": "tuple", "v": [1, [2]]}
    assert call("put", "a", 1) is None
    assert call("get_many", "nope", "a") == {"a": 1}
    assert [call("delete", "a"), call("delete", "a")] == [True, False]
    assert call("undone", "u") == "kept"
    call("synced", "s", 1)
    assert [key for key, _ in call("entries")] == ["activations", "s", "s-after", "u", "values"]
    assert call("get", "activations") == 1


def test_a_component_of_1_0_is_listed_with_what_it_says(caller: Caller) -> None:
    everything, other = caller.request("GET", "/v1/actors").value["actors"]

    assert {"language", "handlers"}.isdisjoint(everything)
    assert all(each.keys() == {"name", "signature", "doc"} for each in everything["methods"])
    assert [each["name"] for each in other["methods"]] == ["hello"]


def test_a_turn_of_a_component_of_1_0_that_fails_leaves_nothing(caller: Caller) -> None:
    refused = caller.call("Everything", "failing", "refuse")
    failed = caller.call("Everything", "failing", "fail")

    assert (refused.status, refused.value["error"]["code"]) == (409, "no")
    assert (failed.error, failed.value["error"]["message"]) == ("ActorMethodError", "ValueError: failed")
    assert caller.value("Everything", "failing", "get", "failed") is None
    assert caller.call("Everything", "failing", "alarm").error == "ActorPrivateMethodError"
    assert caller.call("Everything", "failing", "nope").error == "ActorUnknownMethodError"


def test_an_alarm_of_a_component_of_1_0_is_delivered(caller: Caller) -> None:
    assert caller.value("Everything", "alarms", "arm", 3600) is True
    assert caller.value("Everything", "alarms", "disarm") is None
    assert caller.value("Everything", "alarms", "armed") is None
    assert caller.value("Everything", "alarms", "arm", 0) is True

    deadline = time.monotonic() + 30.0
    while (delivered := caller.value("Everything", "alarms", "get", "alarm")) is None:
        assert time.monotonic() < deadline, "the alarm was not delivered"
        time.sleep(0.01)
    assert delivered[:2] == [0, False]


def test_a_component_of_1_0_calls_others_and_answers_requests(caller: Caller) -> None:
    assert caller.value("Everything", "calls", "call", "OTHER", "bob", "hello") == "hello"
    assert caller.value("Everything", "calls", "call", "EVERYTHING", "bob", "fail") == "ActorMethodError"
    fetched = caller.value("Everything", "calls", "fetch_other", "EVERYTHING", "bob", "http://h/x")
    assert fetched == "bob GET /x"
    assert caller.request("GET", "/fn/everything/cookies").text == "two cookies"
    seen = json.loads(caller.request("GET", "/fn/everything/a?b=c").text)
    assert (seen["path"], seen["query"], seen["vars"]) == ("/a", {"b": "c"}, "hello")
