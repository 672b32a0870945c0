"""A component that was built once runs against the contract as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.guest.memory_host import refusal
from tests.unit.guest.plain_host import PlainHost, component_of, quick_engine

pytestmark = pytest.mark.slow  # compiling 22 MB

KEPT = Path(__file__).parents[2] / "fixtures" / "components"


@pytest.fixture(scope="module")
def everything() -> PlainHost:
    return PlainHost(quick_engine(), component_of(KEPT / "everything-1.0.0.wasm.xz"))


@pytest.fixture
def sandbox(everything: PlainHost) -> Any:
    """A fresh instance; the host that it shares with the other tests is emptied."""
    everything.storage.values.clear()
    everything.log.lines.clear()
    everything.calls.answer = refusal("UnsupportedError", "not here")
    everything.alarms.supported = True
    everything.alarms.due_us = -1
    bindings = {"OTHER": "Other", "EVERYTHING": "Everything"}
    return everything.sandbox("Everything", "alice", bindings=bindings, variables={"GREETING": "hello"})


def test_the_kept_component_describes_itself_as_it_did(sandbox: Any) -> None:
    facts = sandbox.describe()

    assert (facts["contract"], facts["codec"], facts["fetch"]) == ("1.0.0", 1, True)
    assert [actor["type"] for actor in facts["actors"]] == ["Everything", "Other"]


def test_the_kept_component_stores_every_value_as_it_did(sandbox: Any, everything: PlainHost) -> None:
    assert sandbox.call("round_trip") == []
    assert '"decimal":{"$hf":"decimal","v":"1.10"}' in everything.storage.values["values"]
    assert sandbox.call("values", typed=True)["tuple"] == {"$hf": "tuple", "v": [1, [2]]}


def test_the_kept_component_uses_every_function_of_storage(sandbox: Any, everything: PlainHost) -> None:
    sandbox.call("put_many", '{"a":1,"b":[2],"c":null}')

    assert sandbox.call("get_many", '["c","nope","a"]') == {"c": None, "a": 1}
    assert sandbox.call("entries", '{"prefix":"b"}') == [["b", [2]]]
    assert [key for key, _ in sandbox.call("scanned", '{"reverse":true}')] == ["c", "b", "activations", "a"]
    assert [sandbox.call("delete", '["a"]'), sandbox.call("delete", '["a"]')] == [True, False]
    assert sandbox.call("undone", '["u"]') == "kept"
    sandbox.call("synced", '["s",1]')
    assert everything.storage.events[-1] == "sync"
    sandbox.call("delete_all")
    assert everything.storage.values == {}


def test_the_kept_component_refuses_and_fails_as_it_did(sandbox: Any) -> None:
    assert sandbox.call("refuse") == {
        "name": "ActorError",
        "message": "refused",
        "code": "no",
        "status": 409,
        "retryable": False,
    }
    assert 'File "src/app.py"' in sandbox.call("fail")["traceback"]


def test_the_kept_component_lives_with_and_without_alarms(sandbox: Any, everything: PlainHost) -> None:
    assert sandbox.call("arm", "[60]") is True
    assert sandbox.call("armed") is not None
    assert sandbox.call("disarm") is None
    assert sandbox.alarm(retry_count=2, scheduled_us=1_793_534_400_000_000) is None
    assert sandbox.call("get", '["alarm"]') == [2, True, "2026-11-01T12:00:00+00:00"]

    everything.alarms.supported = False

    assert sandbox.call("arm", "[60]") == "UnsupportedError"


def test_the_kept_component_lives_with_and_without_calls(sandbox: Any, everything: PlainHost) -> None:
    assert sandbox.call("call", '["OTHER","bob","hello"]') == "UnsupportedError"

    everything.calls.answer = '{"$hf":"tuple","v":["hello"]}'

    assert sandbox.call("call", '["OTHER","bob","hello",1]') == ["hello"]
    assert everything.calls.asked[-1] == ("OTHER", "bob", "hello", "[1]")


def test_the_kept_component_answers_requests(sandbox: Any, everything: PlainHost) -> None:
    assert sandbox.fetch(method="GET", url="http://h/x")["body"] == "alice GET /x"

    function = everything.sandbox(variables={"GREETING": "hello"})

    assert function.fetch(method="GET", url="http://h/cookies")["headers"][1:] == [
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
    ]
    assert function.fetch(method="GET", url="http://h/bytes")["body_base64"].startswith("AAECAw")


def test_the_kept_component_prints_line_by_line(sandbox: Any, everything: PlainHost) -> None:
    sandbox.call("speak")

    assert everything.log.lines == [
        ("stdout", "printed line"),
        ("stderr", "to stderr"),
        ("warning", "app: logged"),
        ("stdout", "no newline"),
    ]
