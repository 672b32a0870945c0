"""Components of earlier versions of the contract, on a host of today."""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from tests.harness.caller import Caller
from tests.harness.commands import run, run_any
from tests.harness.components import TestComponent, made_once
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

KEPT = Path(__file__).parents[1] / "fixtures" / "components"
PACKED = KEPT / "everything-1.0.0.wasm.xz"
PROJECT = KEPT / "everything"
TYPED = {"accept": "application/vnd.holdfast+json"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """Runs the component of 1.0.0."""
    component = made_once(PACKED.stem, lambda path: path.write_bytes(lzma.decompress(PACKED.read_bytes())))
    with HostProcess(tmp_path_factory.mktemp("kept") / "data", "--workers", "2") as host:
        deploy(host, TestComponent("everything", PROJECT, PROJECT / "holdfast.toml", component))
        yield host


@pytest.fixture(scope="module")
def caller(host: HostProcess) -> Iterator[Caller]:
    with host.caller() as caller:
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


def test_what_another_language_has_built_is_deployed_under_a_manifest_with_its_own_main(
    host: HostProcess, caller: Caller, tmp_path: Path
) -> None:
    (tmp_path / "counter.wasm").write_bytes(wat2wasm((KEPT / "counter.wat").read_text()))
    manifest = 'name = "counter"\nmain = "src/counter.wat"\ncompatibility_date = "2026-11-01"\n'
    (tmp_path / "holdfast.toml").write_text(f'{manifest}[[actors]]\nbinding = "COUNTER"\ntype = "Counter"\n')

    refused = run_any(host, "deploy", str(tmp_path))
    run(host, "deploy", str(tmp_path), "--component", str(tmp_path / "counter.wasm"))

    assert "src/counter.wat: holdfast builds Python" in refused.stderr
    assert [caller.value("Counter", "c", "increment") for _ in range(2)] == [1, 2]


def test_functions_that_refer_to_each_other_reach_each_other_once_both_are_deployed(
    host: HostProcess, caller: Caller, account_component: TestComponent, tmp_path: Path
) -> None:
    def reach(method: str) -> Any:
        return caller.value("Everything", "reference", "call", "ACCOUNT", "carol", method)

    def with_reference(manifest: Path, binding: str, actor_type: str, *more: str) -> Path:
        lines = ["[[actors]]", f'binding = "{binding}"', f'type = "{actor_type}"', *more, ""]
        target = tmp_path / f"{actor_type}.toml"
        target.write_text("\n".join([manifest.read_text().partition("[deploy]")[0], *lines]))
        return target

    everything = made_once(PACKED.stem, lambda path: path.write_bytes(lzma.decompress(PACKED.read_bytes())))
    manifest = with_reference(PROJECT / "holdfast.toml", "ACCOUNT", "Account", "optional = true")
    deploy(host, TestComponent("everything", PROJECT, manifest, everything))
    before = reach("balance")
    back = with_reference(account_component.manifest, "EVERYTHING", "Everything")
    deploy(host, replace(account_component, manifest=back))
    together = reach("balance")
    held = caller.request("DELETE", "/v1/functions/everything")
    gone = caller.request("DELETE", "/v1/functions/account")

    assert (before, together) == ("UnknownActorTypeError", {"balance": 0})
    assert (held.error, gone.status) == ("FunctionReferencedError", 200)
    assert reach("balance") == "UnknownActorTypeError"
