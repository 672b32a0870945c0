"""The component of the contract 1.1.0, with all that it has more than 1.0.0, on a host of today."""

from __future__ import annotations

import lzma
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.harness.caller import Caller
from tests.harness.components import TestComponent, made_once
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.harness.outside import Given, OutsideServer, outside_server

KEPT = Path(__file__).parents[1] / "fixtures" / "components"
PACKED = KEPT / "everything-1.1.0.wasm.xz"
PROJECT = KEPT / "everything-1.1"
PATIENCE_S = 30.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By how many seconds the workers' clock is off."""
    return tmp_path_factory.mktemp("clock") / "clock"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, clock: Path) -> Iterator[HostProcess]:
    component = made_once(PACKED.stem, lambda path: path.write_bytes(lzma.decompress(PACKED.read_bytes())))
    options = ("--workers", "2", "--outbound", "http://*", "--outbound-private", "127.0.0.1")
    data = tmp_path_factory.mktemp("kept") / "data"
    with HostProcess(data, *options, command=command(f"shift_clock={clock}")) as host:
        deploy(host, TestComponent("everything", PROJECT, PROJECT / "holdfast.toml", component))
        yield host


@pytest.fixture(scope="module")
def caller(host: HostProcess) -> Iterator[Caller]:
    with host.caller() as caller:
        yield caller


@pytest.fixture
def outside() -> Iterator[OutsideServer]:
    with outside_server() as server:
        server.answers["/told"] = Given(body=b"one\ntwo\n")
        events = {"Content-Type": "text/event-stream"}
        server.answers["/events"] = Given(headers=events, body=b"data: Hold\n\ndata: fast\n\n")
        yield server


def until(said: Callable[[], Any]) -> Any:
    """What it says once it is true."""
    ends_at = time.monotonic() + PATIENCE_S
    while not (found := said()):
        assert time.monotonic() < ends_at, found
        time.sleep(0.02)
    return found


def notes(caller: Caller, name: str, count: int) -> list[Any]:
    """What an instance has noted, once it is so much."""
    until(lambda: len(caller.value("Everything", name, "notes")) >= count)
    found: list[Any] = caller.value("Everything", name, "notes")
    return found


def test_a_component_of_1_1_is_listed_with_its_handlers_and_parameters(caller: Caller) -> None:
    [everything] = caller.request("GET", "/v1/actors").value["actors"]

    assert everything["language"] == "python"
    assert everything["handlers"] == ["fetch", "socket_message", "socket_close", "socket_error"]
    [add] = [each for each in everything["methods"] if each["name"] == "add"]
    assert add["parameters"]


def test_sockets_of_a_component_of_1_1_speak_both_ways_and_are_closed_once(host: HostProcess, caller: Caller) -> None:
    address = f"{host.url.replace('http', 'ws')}/fn/everything/?user="
    protocols = [Subprotocol("kept")]
    with connect(f"{address}ann", subprotocols=protocols) as ann, connect(f"{address}bob") as bob:
        assert [each.recv(PATIENCE_S) for each in (ann, bob)] == ["welcome ann", "welcome bob"]
        assert ann.subprotocol == "kept"
        caller.value("Everything", "sockets", "answer_pings", "pong")
        ann.send("ping")
        ann.send(b"\x01\x02")
        ann.send("hi")
        assert [ann.recv(PATIENCE_S) for _ in range(3)] == ["pong", b"\x02\x01", "ann: hi"]
        assert bob.recv(PATIENCE_S) == "ann: hi"
        assert caller.value("Everything", "sockets", "sockets")[0] == [
            ["all", "user:ann"],
            {"user": "ann", "said": "hi"},
            "kept",
        ]
        assert caller.value("Everything", "sockets", "count", "user:bob") == 1
        bob.send("close")
        until(lambda: bob.close_code)
        ann.send(b"x" * (1 << 20) + b"y")
        assert notes(caller, "sockets", 2) == [["closed", "bob", 4000, "as told", True], ["cut", "ann", 1009]]


def test_topics_of_a_component_of_1_1_are_taken_up_again(host: HostProcess, caller: Caller) -> None:
    def read(count: int, **headers: str) -> list[str]:
        found: list[str] = []
        asked = {"accept": "text/event-stream", **headers}
        with httpx.stream("GET", f"{host.url}/fn/everything/", headers=asked, timeout=PATIENCE_S) as stream:
            if not headers.get("last-event-id"):
                assert [caller.value("Everything", "sockets", "publish", text) for text in "ab"] == [1, 2]
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                found += [value] if name in {"id", "data"} else []
                if len(found) == 2 * count:
                    break
        return found

    first = read(2)
    again = read(1, **{"last-event-id": first[0]})

    assert first[1::2] == ["a", "b"]
    assert again == first[2:]


def test_jobs_of_a_component_of_1_1_run_call_ask_and_are_cancelled(caller: Caller, outside: OutsideServer) -> None:
    assert caller.value("Everything", "jobs", "nightly") == [[["run", "nightly", "0 9 * * mon-fri"]], True, 0]
    caller.value("Everything", "jobs", "later", "soon")
    assert notes(caller, "jobs", 1)[0] == ["ran", "soon", 0]
    caller.value("Everything", "jobs", "send", "other", 5)
    assert notes(caller, "jobs", 2)[1] == ["told", True, 5, None]
    job = caller.value("Everything", "jobs", "tell", f"{outside.url}/told")
    assert notes(caller, "jobs", 3)[2] == ["told", True, 200, None]

    assert outside.asked[0].headers["idempotency-key"] == job


def test_an_answer_is_followed_by_a_component_of_1_1_while_it_comes(caller: Caller, outside: OutsideServer) -> None:
    caller.value("Everything", "follows", "follow", f"{outside.url}/events")
    assert notes(caller, "follows", 1) == [["told", True, 200, None]]

    topic = caller.request("GET", "/v1/instances/Everything/follows/storage?prefix=~topic/news/").text
    assert "Hold" in topic
    assert "fast" in topic


def test_keys_of_a_component_of_1_1_take_effect_once(caller: Caller) -> None:
    assert [caller.value("Everything", "keys", "keyed", "kept", "k", 5) for _ in range(2)] == [5, 5]
    path = "/v1/actors/Everything/keys/key"
    assert caller.request("POST", path, None, {"Idempotency-Key": "of the caller"}).value == "of the caller"
    assert caller.value("Everything", "keys", "several", ["a", "b", "a"]) == [1, 1, 2]


def test_savepoints_of_a_component_of_1_1_are_undone_by_their_id(caller: Caller) -> None:
    assert caller.value("Everything", "savepoints", "nested") == ["outer"]


def test_a_component_of_1_1_asks_outside_and_streams(host: HostProcess, caller: Caller, outside: OutsideServer) -> None:
    assert caller.value("Everything", "asks", "ask", f"{outside.url}/told") == [200, "one\ntwo\n"]
    assert caller.value("Everything", "asks", "lines", f"{outside.url}/told") == ["one", "two"]
    assert caller.value("Everything", "asks", "denied") == "OutboundDeniedError"
    answer = httpx.get(f"{host.url}/fn/everything/")
    assert (answer.text, answer.headers["transfer-encoding"]) == ("in pieces", "chunked")


def test_a_cron_of_a_component_of_1_1_runs(caller: Caller, clock: Path) -> None:
    clock.write_text("300")

    assert notes(caller, "scheduled", 1)[0] == ["*/5 * * * *", 0]
