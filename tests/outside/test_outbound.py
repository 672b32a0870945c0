"""Outbound requests of a running host: who waits, what leaves when, what a courier's death does, where secrets are."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.contract.guest.drivers import SUITE
from tests.harness import components, processes
from tests.harness.background import CallUnderWay
from tests.harness.caller import Caller
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy, try_to_deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.harness.outside import Given, OutsideServer, outside_server

GRANTS = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")

StartAsker = Callable[..., HostProcess]


@pytest.fixture
def outside() -> Iterator[OutsideServer]:
    """A server on loopback; `/never` is answered when the test is over."""
    over = Event()
    with outside_server() as server:
        server.answers["/now"] = Given(body=b"now")
        server.answers["/never"] = Given(before=lambda: over.wait(30))
        yield server
        over.set()


@pytest.fixture
def start_asker(tmp_path: Path) -> Iterator[StartAsker]:
    """Starts hosts on which the suite's Asker is deployed."""
    with ExitStack() as hosts:

        def start(*options: str, grants: tuple[str, ...] = GRANTS, **brought: Any) -> HostProcess:
            host = HostProcess(tmp_path / "data", "--workers", "1", *grants, *options, **brought)
            hosts.enter_context(host)
            deploy(host, suite())
            return host

        yield start


def suite() -> TestComponent:
    return components.built(SUITE)


def with_manifest(folder: Path, further: str, allow: str = "http://*") -> TestComponent:
    """The suite with another `[outbound]`."""
    built = suite()
    manifest = folder / f"manifest-{allow.count('/')}-{len(further)}.toml"
    text = built.manifest.read_text().replace('allow = ["http://*"]', f'allow = ["{allow}"]\n{further}')
    manifest.write_text(text)
    return replace(built, manifest=manifest)


@contextmanager
def waiting(host: HostProcess, outside: OutsideServer, count: int) -> Iterator[list[CallUnderWay]]:
    """So many instances wait for an answer that does not come inside the block."""
    calls = []
    for number in range(count):  # one by one: as long as it is constructed, an instance computes
        calls.append(CallUnderWay(host, "Asker", f"w{number}", "ask", "GET", f"{outside.url}/never", {}))
        until(lambda: sum(asked.path == "/never" for asked in outside.asked) == len(calls))
    yield calls


def until(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failing(caller: Caller, name: str, url: str) -> Any:
    """How a request of that instance fails."""
    return caller.value("Asker", name, "failing", url, {})


@pytest.mark.slow
def test_who_waits_for_an_answer_holds_up_nobody_and_takes_nobodys_place(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    host = start_asker("--limit", "detached_turns_max=2", "--limit", "nested_turns_max=2")
    with host.caller() as caller, waiting(host, outside, 6):
        began = time.monotonic()
        answers = [caller.call("Asker", f"other{n}", "value") for n in range(20)]
        took_s = time.monotonic() - began
        asked = caller.call("Asker", "also", "ask", "GET", f"{outside.url}/now", {})

    assert [each.status for each in answers] == [200] * 20
    assert asked.value["text"] == "now"
    assert took_s < 5


@pytest.mark.slow
def test_where_those_who_wait_count_as_those_who_compute_others_are_refused(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    """Without the mechanism."""
    host = start_asker("--limit", "detached_turns_max=6", command=command("count_those_who_wait_outside"))
    with host.caller() as caller, waiting(host, outside, 6):
        assert caller.call("Asker", "other", "value").error == "HostUnavailableError"


@pytest.mark.limit("outbound_turns_max")
def test_so_many_turns_of_a_worker_wait_and_the_next_one_is_told_so_at_once(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    host = start_asker("--limit", "outbound_turns_max=3")
    with host.caller() as caller, waiting(host, outside, 3):
        name, retryable, message = failing(caller, "fourth", f"{outside.url}/now")

    assert (name, retryable) == ("OutboundBusyError", True)
    assert "3 turns of this worker wait" in message
    assert [asked.path for asked in outside.asked] == ["/never"] * 3


@pytest.mark.slow
def test_a_request_leaves_when_what_earlier_turns_wrote_is_durable(
    start_asker: StartAsker, outside: OutsideServer, tmp_path: Path
) -> None:
    assert not _asked_while_commit_is_held(start_asker, outside, tmp_path / "hold")


@pytest.mark.slow
def test_without_the_gate_it_leaves_before(start_asker: StartAsker, outside: OutsideServer, tmp_path: Path) -> None:
    assert _asked_while_commit_is_held(start_asker, outside, tmp_path / "hold", "open_gate")


def _asked_while_commit_is_held(start: StartAsker, outside: OutsideServer, hold: Path, *mutations: str) -> bool:
    """Alice writes and her commit is held back; her next turn asks outside: whether the server sees it by then."""
    host = start(command=command(f"hold_commits={hold}", *mutations))
    with host.caller() as caller:
        caller.value("Asker", "alice", "value")
        hold.touch()
        write = CallUnderWay(host, "Asker", "alice", "put_then_ask", 1, f"{outside.url}/now")
        until(hold.with_suffix(".held").exists)
        outside.asked.clear()
        ask = CallUnderWay(host, "Asker", "alice", "ask", "GET", f"{outside.url}/now", {})
        ask.is_answered_within(0.5)
        seen = bool(outside.asked)
        hold.unlink()
        assert write.answer().status == ask.answer().status == 200
    return seen


@pytest.mark.slow
def test_the_courier_dies_and_those_who_wait_are_told_and_the_next_one_serves(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    host = start_asker()
    with host.caller() as caller:
        call = CallUnderWay(host, "Asker", "alice", "failing", f"{outside.url}/never", {})
        until(lambda: len(outside.asked) == 1)
        killed = host.kill("courier")
        name, retryable, message = call.answer().value
        after = caller.value("Asker", "alice", "ask", "GET", f"{outside.url}/now", {})

        assert (name, retryable) == ("OutboundUnreachableError", False)
        assert "the courier died: the outcome of the request may be unknown" in message
        assert after["text"] == "now"
        assert host.pids()["courier"] != [killed]
        assert len(host.pids()["worker"]) == 1


@pytest.mark.slow
def test_the_courier_dies_and_who_reads_an_answer_is_told_that_it_broke_off(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    """Also by the next courier, which has never heard of it."""
    host, killed, over = start_asker(), Event(), Event()

    def pieces() -> Generator[bytes, None, None]:
        yield b"one"
        killed.set()
        over.wait(30)

    outside.answers["/pieces"] = Given(pieces=pieces)
    with host.caller() as caller:
        call = CallUnderWay(host, "Asker", "alice", "stream_failing", f"{outside.url}/pieces", {})
        assert killed.wait(20)
        assert not call.is_answered_within(0.2)
        host.kill("courier")
        name, read, message = call.answer().value
        paused = CallUnderWay(
            host, "Asker", "bob", "stream_over_a_pause", f"{outside.url}/pieces", f"{outside.url}/now"
        )
        outside.answers["/now"] = Given(before=lambda: host.kill("courier"))
        between = paused.answer().value
        over.set()
        after = caller.value("Asker", "alice", "stream_count", f"{outside.url}/pieces")

    assert (name, read) == ("OutboundUnreachableError", ["one"])
    assert "the courier died" in message
    assert between == ["OutboundUnreachableError", "OutboundUnreachableError"]
    assert after == 3


@pytest.mark.slow
def test_a_turn_that_is_over_its_time_while_it_reads_is_ended_and_its_answer_closed(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    host, closed, over = start_asker("--limit", "method_timeout_s=1"), Event(), Event()

    def pieces() -> Generator[bytes, None, None]:
        try:
            while not over.wait(0.2):
                yield b"tick"
        finally:
            closed.set()

    outside.answers["/ticks"] = Given(pieces=pieces)
    try:
        with host.caller() as caller:
            refused = caller.call("Asker", "alice", "stream_count", f"{outside.url}/ticks")
            assert refused.error == "ActorMethodTimeoutError"
            assert closed.wait(10)
            assert caller.value("Asker", "alice", "value") is None
    finally:
        over.set()


@pytest.mark.slow
def test_a_courier_that_hangs_is_replaced_and_other_calls_go_on(
    start_asker: StartAsker, outside: OutsideServer
) -> None:
    host = start_asker()
    with host.caller() as caller:
        caller.value("Asker", "alice", "ask", "GET", f"{outside.url}/now", {})
        host.kill("courier", signal.SIGSTOP)
        call = CallUnderWay(host, "Asker", "alice", "failing", f"{outside.url}/now", {})
        assert caller.value("Asker", "bob", "value") is None

        assert call.answer().value[0] == "OutboundUnreachableError"
        assert caller.value("Asker", "alice", "ask", "GET", f"{outside.url}/now", {})["text"] == "now"


@pytest.mark.slow
def test_a_host_none_of_whose_functions_asks_outside_has_no_courier(tmp_path: Path) -> None:
    """And says so to one that tries, instead of waiting for a courier."""
    with HostProcess(tmp_path / "data", "--workers", "1") as host:
        manifest = tmp_path / "silent.toml"
        manifest.write_text(re.sub(r"\[outbound\]\nallow = .*\n", "", suite().manifest.read_text()))
        deploy(host, replace(suite(), manifest=manifest))
        with host.caller() as caller:
            name, _, message = failing(caller, "a", "https://api.example.com/")

        assert name == "OutboundDeniedError"
        assert "[outbound] allow" in message
        assert "courier" not in host.pids()


@pytest.mark.slow
def test_a_function_reaches_neither_its_host_nor_what_is_private(start_asker: StartAsker) -> None:
    host = start_asker(grants=("--outbound", "http://*"))
    port = host.url.rpartition(":")[2]
    own = (f"127.0.0.1:{port}", f"localhost:{port}", f"[::ffff:127.0.0.1]:{port}", "169.254.169.254", "10.0.0.1")
    with host.caller() as caller:
        for where in own:
            name, _, message = failing(caller, "a", f"http://{where}/v1/secrets")
            assert name == "OutboundDeniedError", (where, message)


@pytest.mark.slow
def test_a_deploy_that_asks_for_more_than_the_operator_grants_is_refused(
    start_asker: StartAsker, tmp_path: Path
) -> None:
    host = start_asker()
    refused = try_to_deploy(host, with_manifest(tmp_path, "", allow="https://api.example.com"))

    assert (refused.status, refused.error) == (422, "OutboundNotGrantedError")
    assert "'https://api.example.com', this host grants http://*" in refused.value["error"]["message"]


OPEN = "open-secret-that-env-has-5582"
SECRET = "s3cret-of-the-courier-alone-7291"


@pytest.mark.slow
def test_a_sealed_secret_is_in_the_header_and_nowhere_else(
    start_asker: StartAsker, outside: OutsideServer, tmp_path: Path
) -> None:
    """Not in a worker's memory, where the sandboxes are, nor in an answer, a log or a file."""
    host = start_asker("--log-level", "debug")
    origin = outside.url
    headers = f'[outbound.headers."{origin}"]\nAuthorization = "Bearer {{SEALED}}"\nX-Open = "{{OPEN}}"\n'
    named = '[secrets]\nnames = ["SEALED", "OPEN"]\n[outbound]'
    component = with_manifest(tmp_path, headers)
    component.manifest.write_text(component.manifest.read_text().replace("[outbound]", named, 1))
    with host.caller() as caller:
        set_sealed = caller.request("PUT", "/v1/secrets/SEALED", json.dumps({"value": SECRET, "sealed_for": origin}))
        caller.request("PUT", "/v1/secrets/OPEN", json.dumps({"value": OPEN}))
        deploy(host, component)
        answered = caller.call("Asker", "alice", "ask", "GET", f"{origin}/now", {})
        shown = caller.request("GET", "/v1/secrets")
        metrics = caller.request("GET", "/metrics").text
        (worker,) = host.pids()["worker"]
        (courier,) = host.pids()["courier"]
        in_worker, in_courier = processes.memory_holds(worker, SECRET), processes.memory_holds(courier, SECRET)
        open_in_worker = processes.memory_holds(worker, OPEN)

    assert answered.status == 200
    assert outside.asked[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert outside.asked[-1].headers["x-open"] == OPEN
    assert (in_worker, in_courier, open_in_worker) == (False, True, True)
    assert {each["name"]: each.get("sealed_for") for each in shown.value["secrets"]} == {"SEALED": origin, "OPEN": None}
    texts = [set_sealed.text, answered.text, shown.text, metrics, host.log]
    files = b"".join(path.read_bytes() for path in host.data.rglob("*") if path.is_file())
    assert not any(SECRET in text for text in texts)
    assert SECRET.encode() not in files
    assert 'holdfast_outbound_requests_total{courier="0",outcome="answered"} 1.0' in metrics
