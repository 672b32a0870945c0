"""Each limit, as an operator sets it: what is at it passes, what is one past it is refused by name, value and limit."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import components
from tests.harness.background import CallUnderWay
from tests.harness.caller import Answer, Caller, SentCall
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess

LIMITS = {
    "key_bytes_max": 40,
    "value_bytes_max": 1_000,
    "turn_write_keys_max": 10,
    "turn_write_bytes_max": 4_000,
    "turn_host_calls_max": 300,
    "turn_log_lines_max": 50,
    "log_line_bytes_max": 100,
    "page_bytes_max": 3_000,
    "arguments_bytes_max": 10_000,
    "result_bytes_max": 9_002,
    "nesting_max": 10,
    "instance_bytes_max": 6_000,
    "method_timeout_s": 1,
    "memory_bytes_max": 32 << 20,
}


def options(limits: dict[str, int]) -> list[str]:
    return [option for name, value in limits.items() for option in ("--limit", f"{name}={value}")]


@pytest.fixture(scope="module")
def limited(probe_component: TestComponent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One host with small limits for all of them."""
    with HostProcess(tmp_path_factory.mktemp("limited") / "data", "--workers", "1", *options(LIMITS)) as host:
        deploy(host, probe_component)
        yield host


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


Attempt = Callable[[Caller, int], Answer]

AT_AND_PAST: dict[str, tuple[Attempt, int, str, str]] = {
    # By the limit's name: what is tried with the limit, and with one more; the error; what its message says.
    "key_bytes_max": (
        lambda c, n: c.call("Probe", "key", "put", "k" * n, 1),
        40,
        "ActorMethodError",
        "41 bytes.*limit of 40",
    ),
    "value_bytes_max": (
        lambda c, n: c.call("Probe", "value", "put_big", "k", n - 2),
        1_000,
        "ActorMethodError",
        "1001 bytes.*limit of 1000",
    ),
    "turn_write_keys_max": (
        lambda c, n: c.call("Probe", f"keys-{n}", "put_many", {f"k{at}": 1 for at in range(n)}),
        10,
        "ActorMethodError",
        "11 keys.*limit of 10 keys",
    ),
    "turn_write_bytes_max": (
        lambda c, n: c.call(
            "Probe", f"bytes-{n}", "put_many", {"a": "x" * 997, "b": "x" * 997, "c": "x" * 997, "d": "x" * (n - 3_003)}
        ),
        4_000,
        "ActorMethodError",
        "4001 bytes.*limit of 4000",
    ),
    "turn_host_calls_max": (
        lambda c, n: c.call("Probe", "calls", "say", n),
        300,
        "ActorTrapError",
        "more than 300 host calls",
    ),
    "arguments_bytes_max": (
        lambda c, n: c.call("Probe", "arguments", "say", 0, "x" * (n - 7)),
        10_000,
        "PayloadTooLargeError",
        "10001 bytes.*limit of 10000",
    ),
    "result_bytes_max": (
        lambda c, n: c.request(
            "POST",
            "/v1/actors/Probe/result/echo",
            json.dumps(["x" * (n % 2) + "é" * ((n - 2) // 2)], ensure_ascii=False).encode(),
        ),
        9_002,
        "LimitError",
        "limit of a result is 9002",
    ),
    "nesting_max": (
        lambda c, n: c.call("Probe", "nesting", "echo", nested(n - 1)),
        10,
        "BadRequestError",
        "limit is 10|10",
    ),
    "name_bytes_max": (
        lambda c, n: c.call("Probe", "n" * n, "nothing"),
        256,
        "InvalidNameError",
        "1 to 256 bytes.*257",
    ),
    "method_timeout_s": (
        lambda c, n: c.call("Probe", "time", "spin", 0.3 if n == 1 else 3),
        1,
        "ActorMethodTimeoutError",
        "budget of 1 s",
    ),
    "page_entries_max": (
        lambda c, n: c.call("Probe", "entries", "page", "", n),
        1_000,
        "ActorMethodError",
        "1000",
    ),
    "memory_bytes_max": (
        lambda c, n: c.call("Probe", f"memory-{n}", "fill_memory", 8 if n == 32 else 32),
        32,
        "ActorMethodError",
        "MemoryError",
    ),
}


@pytest.mark.parametrize("what", AT_AND_PAST)
def test_what_is_at_a_limit_passes_and_what_is_past_it_is_refused(limited: HostProcess, what: str) -> None:
    attempt, limit, error, message = AT_AND_PAST[what]
    with limited.caller() as caller:
        at, past = attempt(caller, limit), attempt(caller, limit + 1)

    assert at.status == 200, at
    assert past.error == error, past
    assert re.search(message, past.text), past


@pytest.mark.limit("turn_log_lines_max")
def test_a_turn_writes_so_many_lines_and_is_told_where_the_rest_is(limited: HostProcess) -> None:
    with limited.caller() as caller:
        caller.value("Probe", "at", "say", 50)
        caller.value("Probe", "past", "say", 52)
        assert len(_lines_of(caller, "at", 50)) == 50
        *kept, last = _lines_of(caller, "past", 51)

        assert len(kept) == 50
        assert last["message"] == "further lines of this turn are dropped: the limit is 50"


@pytest.mark.limit("log_line_bytes_max")
@pytest.mark.parametrize("letter", ["x", "é", "名"])
def test_a_line_of_a_guest_is_cut_at_so_many_bytes(limited: HostProcess, letter: str) -> None:
    of_100_bytes = letter * (100 // len(letter.encode()))
    name = f"talker-{letter}"
    with limited.caller() as caller:
        caller.value("Probe", name, "say", 1, of_100_bytes)
        caller.value("Probe", name, "say", 1, of_100_bytes + letter)
        assert [line["message"] for line in _lines_of(caller, name, 2)] == [of_100_bytes] * 2


def _lines_of(caller: Caller, name: str, count: int) -> list[dict[str, Any]]:
    """What an instance has printed, once it is so many lines."""
    deadline = time.monotonic() + 10
    while True:
        text = caller.request("GET", f"/v1/logs?type=Probe&name={quote(name)}").text
        if text.count("\n") >= count:
            return [json.loads(line) for line in text.splitlines()]
        assert time.monotonic() < deadline, text
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.limit("queue_timeout_s")
def test_a_call_waits_so_long_for_its_turn_and_does_not_run_after_that(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "queue_timeout_s=2")
    with host.caller() as caller:
        first = CallUnderWay(host, "Probe", "alice", "spin", 1)
        _wait_for_activation(caller, "alice")
        in_time = caller.call("Probe", "alice", "increment")
        second = CallUnderWay(host, "Probe", "bob", "spin", 5)
        _wait_for_activation(caller, "bob")
        late = caller.call("Probe", "bob", "increment")

        assert (in_time.status, in_time.value) == (200, 1)
        assert (late.status, late.error, late.retryable) == (503, "HostUnavailableError", True)
        assert "waited 2 s" in late.text
        assert (first.answer().status, second.answer().status) == (200, 200)
        assert caller.value("Probe", "bob", "get", "n") is None


def _wait_for_activation(caller: Caller, name: str) -> None:
    """Until its first turn has begun."""
    deadline = time.monotonic() + 10
    while not caller.request("GET", f"/v1/instances/Probe/{name}").value["active"]:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.limit("instance_bytes_max")
def test_an_instance_may_hold_so_much_and_has_room_again_after_deletes(limited: HostProcess) -> None:
    with limited.caller() as caller:
        for key in "abcdef":
            assert caller.call("Probe", "quota", "put_big", key, 997).status == 200
        full = caller.call("Probe", "quota", "put_big", "g", 1)
        assert full.error == "StorageFullError"
        assert full.status == 507
        assert "6000" in full.text
        assert caller.call("Probe", "another", "put_big", "g", 1).status == 200
        assert caller.call("Probe", "quota", "delete", "a").status == 200
        assert caller.call("Probe", "quota", "put_big", "g", 1).status == 200


@pytest.mark.limit("page_bytes_max")
def test_a_page_holds_so_many_bytes(limited: HostProcess) -> None:
    with limited.caller() as caller:
        for key in "abc":
            caller.value("Probe", "page", "put_big", key, 997)
        assert len(caller.value("Probe", "page", "page")) == 3
        caller.value("Probe", "page", "put_big", "d", 997)
        past = caller.call("Probe", "page", "page")
    assert past.error == "ActorMethodError"
    assert "LimitError" in past.text


@pytest.mark.parametrize(
    ("line", "named"), [("method_s = 2", "limits.method_s"), ("memory_mib = 64", "limits.memory_mib")]
)
def test_a_function_may_not_raise_what_the_operator_allows(
    limited: HostProcess, probe_component: TestComponent, tmp_path: Path, line: str, named: str
) -> None:
    manifest = tmp_path / "holdfast.toml"
    manifest.write_text(f"{probe_component.manifest.read_text()}\n[limits]\n{line}\n")
    greedy = TestComponent("probe", probe_component.project, manifest, probe_component.component)
    with pytest.raises(AssertionError, match="InvalidManifestError") as refused:
        deploy(limited, greedy)
    assert named in str(refused.value)


@pytest.mark.slow
def test_a_functions_own_limits_hold_within_the_operators(start_probe_host: StartHost, tmp_path: Path) -> None:
    host = start_probe_host()
    probe = components.built(components.PROBE)
    manifest = tmp_path / "holdfast.toml"
    manifest.write_text(f"{probe.manifest.read_text()}\n[limits]\nmethod_s = 0.5\nmemory_mib = 32\n")
    deploy(host, TestComponent("probe", probe.project, manifest, probe.component))
    with host.caller() as caller:
        assert "budget of 0.5 s" in caller.call("Probe", "alice", "spin", 20).text
        assert "MemoryError" in caller.call("Probe", "alice", "fill_memory", 32).text
        assert caller.call("Probe", "alice", "fill_memory", 8).status == 200


def _queue(host: HostProcess, name: str, calls: int) -> list[CallUnderWay]:
    """Calls that wait behind a running one; they are there when this returns."""
    under_way = []
    for number in range(calls):
        under_way.append(CallUnderWay(host, "Probe", name, "spin", 3 if number == 0 else 0))
        under_way[0].wait_until_active()
        _wait_for_queue(host, name, number)
    return under_way


def _wait_for_queue(host: HostProcess, name: str, queued: int) -> None:
    deadline = time.monotonic() + 10
    with host.caller() as caller:
        while caller.request("GET", f"/v1/instances/Probe/{name}").value["queued"] != queued:
            assert time.monotonic() < deadline, f"{name} never had {queued} calls in its mailbox"
            time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.limit("mailbox_turns_max", "worker_turns_max")
def test_a_full_mailbox_refuses_other_names_answer_and_a_caller_who_leaves_frees_his_place(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host("--limit", "mailbox_turns_max=3", "--limit", "worker_turns_max=5")
    waiting = _queue(host, "alice", 3)
    leaver = SentCall(host.url, "Probe", "alice", "increment", "left")
    _wait_for_queue(host, "alice", 3)
    with host.caller() as caller:
        refused = caller.call("Probe", "alice", "nothing")
        assert refused.error == "MailboxFullError"
        assert refused.status == 429
        assert refused.retryable
        assert int(refused.headers["retry-after"]) >= 1
        assert "limit is 3" in refused.text
        assert caller.call("Probe", "bob", "nothing").status == 200

        leaver.leave()
        _wait_for_queue(host, "alice", 2)
        waiting.append(CallUnderWay(host, "Probe", "alice", "nothing"))
        _wait_for_queue(host, "alice", 3)
        waiting += _queue(host, "carol", 3)
        crowded = caller.call("Probe", "carol", "nothing")
        assert crowded.error == "MailboxFullError"
        assert "limit is 5" in crowded.text
        assert all(call.answer().status == 200 for call in waiting)
        assert caller.value("Probe", "alice", "get", "left") is None


@pytest.mark.slow
def test_a_flood_on_one_name_leaves_other_names_answering(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "mailbox_turns_max=20")
    flood = [CallUnderWay(host, "Probe", "alice", "spin", 0.05) for _ in range(80)]
    took_s = []
    with host.caller() as caller:
        while not all(call.is_answered_within(0.0) for call in flood):
            began = time.monotonic()
            assert caller.call("Probe", "bob", "increment").status == 200
            took_s.append(time.monotonic() - began)
    told = {call.answer().error for call in flood}
    assert told == {"", "MailboxFullError"}
    assert sorted(took_s)[len(took_s) // 2] < 0.1


@pytest.mark.slow
def test_a_worker_keeps_its_memory_by_evicting_idle_instances(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", f"worker_memory_bytes={120 << 20}")
    with host.caller() as caller:
        for number in range(60):
            assert caller.value("Probe", f"name-{number}", "fill_memory", 8) == 8
        assert caller.value("Probe", "name-0", "increment") == 1
        metrics = caller.request("GET", "/metrics").text
    evicted = [line for line in metrics.splitlines() if line.startswith("holdfast_evictions_total")]
    assert float(evicted[0].split()[-1]) > 0


@pytest.mark.slow
@pytest.mark.limit("worker_memory_bytes")
def test_a_worker_past_its_memory_with_nothing_idle_refuses_new_activations_until_there_is_room(
    start_probe_host: StartHost,
) -> None:
    # About 20 MiB of its own and 0.3 for each activation.
    host = start_probe_host("--limit", f"worker_memory_bytes={28 << 20}", "--limit", "method_timeout_s=60")
    busy: list[CallUnderWay] = []
    with host.caller() as caller:
        while (refused := _begin_to_spin(host, caller, f"busy-{len(busy)}", busy)) is None:
            assert len(busy) < 100, "it never was full"

        assert (refused.status, refused.error, refused.retryable) == (503, "HostUnavailableError", True)
        assert busy
        assert str(28 << 20) in refused.text
        assert all(call.answer().status == 200 for call in busy)
        deadline = time.monotonic() + 10
        while caller.call("Probe", "new", "nothing").status != 200:
            assert time.monotonic() < deadline, "it never had room again"
            time.sleep(0.05)


def _begin_to_spin(host: HostProcess, caller: Caller, name: str, busy: list[CallUnderWay]) -> Answer | None:
    """Keep one more instance busy; the answer of one that was refused instead."""
    call = CallUnderWay(host, "Probe", name, "spin", 8)
    while not caller.request("GET", f"/v1/instances/Probe/{name}").value["active"]:
        if call.is_answered_within(0.01):
            return call.answer()
    busy.append(call)
    return None
