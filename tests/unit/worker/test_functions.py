"""Pools of function sandboxes: their bounds, their errors, and what a function can reach."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from holdfast_host.core.errors import ActorError, ActorMethodError
from holdfast_host.core.limits import Limits
from holdfast_host.front.http.write_backpressure import RATE_BYTES_S, TAKE_S
from holdfast_host.sandbox.instance import Outcome, SandboxTrap
from holdfast_host.storage.store import StoredInstance
from holdfast_host.supervisor.secrets.secret_store import Secret, SecretStore
from holdfast_host.wire.calls.frames import Call, CallKind, pack_call
from holdfast_host.wire.calls.function_bodies import pack_pull, unpack_head
from holdfast_host.worker.tracing.spans import SpanSink
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.function_bodies import FunctionBodies
from holdfast_host.worker.turns.function_turns import FunctionTurn
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import GuestSandbox, Stage, compute

Handler = Callable[[Turn, Any], Any]


class FunctionStage(Stage):
    """A worker with one function, `f`, whose fetch is the handler."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        handler: Handler,
        limits: Limits | None = None,
        spans: SpanSink | None = None,
    ) -> None:
        self.made = 0

        def fetch(sandbox: GuestSandbox, turn: Turn, request: bytes) -> Outcome:
            return sandbox.call(turn, b"fetch", request, False, False)

        def count(sandbox: GuestSandbox) -> None:
            self.made += 1
            GuestSandbox.__init__(sandbox)

        super().__init__(monkeypatch, limits, guests={b"fetch": handler}, spans=spans)
        sandbox = type("Sandbox", (GuestSandbox,), {"guests": self.guests, "fetch": fetch, "__init__": count})
        monkeypatch.setattr("holdfast_host.worker.running.runner.Sandbox", sandbox)
        self.deploy_function()

    def deploy_function(self, version: int = 1) -> None:
        limit_s = self.limits.fetch_timeout_s
        loaded = replace(self.loaded(version), type="", type_id=0, method_timeout_s=limit_s, secrets=("KEY", "LATER"))
        self.do(lambda: self.worker.deployments._install(loaded))

    def send(self, request: Any = None, function: str = "f") -> int:
        body = json.dumps(request).encode()
        with self.client._sending:
            slot, self.client._slot = self.client._slot, self.client._slot + 1
            self.client.page.words[slot] = 0
            frame = Call(slot, 0, 0, CallKind.FUNCTION, 0, function.encode(), b"fetch", b"", body)
            self.client.socket.sendall(pack_call(frame))
        return slot

    def ask(self, request: Any = None, function: str = "f") -> tuple[int, Any]:
        return self.client.wait(self.send(request, function))


def error_name(reply: tuple[int, Any]) -> tuple[int, str]:
    return reply[0], reply[1]["error"]["name"]


def test_a_sandbox_is_used_again_and_serves_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FunctionStage(monkeypatch, lambda turn, request: request)

    assert [stage.ask(n) for n in range(5)] == [(200, n) for n in range(5)]
    assert stage.made == 1


def test_a_burst_of_requests_that_wait_for_nothing_is_served_by_one_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have their sandbox when their turn begins; a monitor that gives the lead away is left out of it."""
    stage = FunctionStage(monkeypatch, lambda turn, request: request, Limits().replace(promotion_after_s=60))
    stage.ask()
    slots: list[int] = []
    stage.do(lambda: slots.extend(stage.send(number) for number in range(20)))  # none is read before all are sent

    assert [stage.client.wait(slot) for slot in slots] == [(200, number) for number in range(20)]
    assert stage.made == 1


@pytest.mark.limit("function_sandboxes_max")
def test_requests_run_beside_each_other_up_to_the_pools_bound_and_the_rest_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def handler(turn: Turn, seconds: float) -> str:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        result = compute(turn, seconds)
        with lock:
            inside -= 1
        return result

    stage = FunctionStage(monkeypatch, handler, Limits().replace(function_sandboxes_max=3))
    slots = [stage.send(0.05) for _ in range(12)]

    assert {stage.client.wait(slot)[0] for slot in slots} == {200}
    assert most == 3
    assert stage.made == 3


@pytest.mark.limit("function_queue_max")
def test_past_a_full_lobby_requests_are_refused_and_an_actor_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits().replace(function_sandboxes_max=2, function_queue_max=3)
    stage = FunctionStage(monkeypatch, compute, limits)
    slots = [stage.send(0.5) for _ in range(9)]

    assert stage.call("alice", "add", 5) == (200, 5)
    assert not all(stage.client.answered(slot) for slot in slots)
    replies = [stage.client.wait(slot) for slot in slots]
    assert sorted(reply[0] for reply in replies) == [200] * 5 + [429] * 4
    assert error_name(next(reply for reply in replies if reply[0] == 429)) == (429, "MailboxFullError")


def test_what_a_handler_raises_is_for_the_log_unless_it_was_meant_for_the_caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def handler(turn: Turn, kind: str) -> None:
        raise ActorError("closed", code="shut", status=423) if kind == "refuse" else ActorMethodError("hunter2")

    stage = FunctionStage(monkeypatch, handler)
    failed = stage.ask("fail")

    assert error_name(failed) == (500, "ActorMethodError")
    assert "hunter2" not in json.dumps(failed)
    assert error_name(stage.ask("refuse"))[1] == "ActorError"
    stage.worker.output.flush()
    assert "hunter2" in capsys.readouterr().err


def test_a_trap_costs_the_sandbox_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(turn: Turn, kind: str) -> str:
        if kind == "trap":
            raise SandboxTrap("stack", "the stack is full")
        return kind

    stage = FunctionStage(monkeypatch, handler)

    assert stage.ask("fine") == (200, "fine")
    assert error_name(stage.ask("trap")) == (500, "ActorTrapError")
    assert stage.ask("fine") == (200, "fine")
    assert stage.made == 2


@pytest.mark.limit("fetch_timeout_s")
def test_a_request_over_its_budget_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FunctionStage(monkeypatch, compute, Limits().replace(fetch_timeout_s=0.1))

    assert error_name(stage.ask(30)) == (504, "ActorFetchTimeoutError")
    assert stage.ask(0) == (200, "computed")


@pytest.mark.parametrize(
    "reach",
    [
        lambda turn: turn.storage.get(b"key"),
        lambda turn: turn.storage.put(b"key", b"1"),
        lambda turn: turn.storage.set_alarm(1),
        lambda turn: turn.storage.savepoint(),
        lambda turn: turn.sync(),
    ],
    ids=["get", "put", "set_alarm", "savepoint", "sync"],
)
def test_a_function_has_no_storage_and_says_where_state_belongs(
    monkeypatch: pytest.MonkeyPatch, reach: Callable[[Turn], object]
) -> None:
    seen: list[Exception] = []

    def handler(turn: Turn, _: Any) -> None:
        try:
            reach(turn)
        except Exception as error:
            seen.append(error)

    stage = FunctionStage(monkeypatch, handler)

    assert stage.ask() == (200, None)
    assert [type(error).__name__ for error in seen] == ["UnsupportedError"]
    assert "keep state in an actor" in str(seen[0])


def test_a_function_calls_an_actor_and_leads_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[tuple[str, ...]] = []

    def note_path(turn: Turn, amount: int) -> int:
        paths.append(turn.path)
        return amount

    stage = FunctionStage(monkeypatch, lambda turn, amount: int(turn.call("T", "alice", "note", b"%d" % amount)))
    stage.guests[b"note"] = note_path
    stage.deploy()

    assert stage.ask(7) == (200, 7)
    assert paths == [("fn f",)]


def test_a_function_that_is_not_deployed_is_unknown_also_to_requests_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = FunctionStage(monkeypatch, compute, Limits().replace(function_sandboxes_max=1))
    running, waiting = stage.send(0.3), stage.send(0)
    pools = stage.worker.functions._pools
    deadline = time.monotonic() + 10
    while not stage.do(lambda: [each for each in pools.values() if each.lobby.mail and not each.places(1)]):
        assert time.monotonic() < deadline
    stage.do(lambda: stage.worker.deployments.remove("f"))

    assert stage.client.wait(running)[0] == 200
    assert error_name(stage.client.wait(waiting)) == (404, "UnknownFunctionError")
    assert error_name(stage.ask(function="g")) == (404, "UnknownFunctionError")


def test_a_new_version_and_a_new_secret_that_it_names_replace_the_sandbox_at_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    def handler(turn: Turn, _: Any) -> None:
        assert turn.loaded is not None
        seen.append(turn.loaded.environment)

    stage = FunctionStage(monkeypatch, handler)
    stage.ask()
    stage.deploy_function(2)
    stage.ask()
    stage.do(lambda: stage.worker.deployments.set_secrets({"KEY": "s3cret"}))
    stage.ask()
    stage.do(lambda: stage.worker.deployments.set_secrets({"KEY": "s3cret", "OTHERS": "not ours"}))
    stage.ask()

    assert stage.made == 3
    assert [json.loads(each)["variables"] for each in seen] == [{}, {}, *[{"KEY": "s3cret"}] * 2]


@pytest.mark.parametrize("guests_fill_it_in", [False, True])
def test_a_sealed_secret_is_in_no_sandbox_and_would_be_in_its_answer_if_guests_put_it_into_headers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guests_fill_it_in: bool
) -> None:
    def show(turn: Turn, _: Any) -> str:
        assert turn.loaded is not None
        return turn.loaded.environment.decode()

    if guests_fill_it_in:  # then workers have to be told it
        monkeypatch.setattr(SecretStore, "values", lambda store: store.for_courier().values)
    store = SecretStore.open(tmp_path / "secrets")
    store.replace({"KEY": Secret("s3cret-of-the-courier", 1, "https://api.example.com")})
    stage = FunctionStage(monkeypatch, show)
    stage.do(lambda: stage.worker.deployments.set_secrets(store.values()))
    status, answer = stage.ask()

    assert status == 200
    assert store.for_courier().values == {"KEY": "s3cret-of-the-courier"}
    assert ("s3cret-of-the-courier" in answer) == guests_fill_it_in


@pytest.mark.limit("function_kept_bytes_max")
def test_a_sandbox_that_handled_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FunctionStage(monkeypatch, lambda turn, text: len(text), Limits().replace(function_kept_bytes_max=1_000))

    assert [stage.ask("x" * size) for size in (10, 2_000, 10)] == [(200, 10), (200, 2_000), (200, 10)]
    assert stage.made == 2


def test_idle_sandboxes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FunctionStage(monkeypatch, compute, Limits().replace(idle_eviction_s=0.05))
    stage.ask(0)
    pools = stage.worker.functions._pools
    deadline = time.monotonic() + 10
    while any(stage.do(lambda: [member for pool in pools.values() for member in pool.members])):
        assert time.monotonic() < deadline

    assert stage.ask(0) == (200, "computed")
    assert stage.made == 2


def test_requests_whose_caller_left_do_not_run_and_leave_the_pool_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []

    def handler(turn: Turn, request: str) -> str:
        ran.append(request)
        return compute(turn, 0.2 if request == "long" else 0)

    stage = FunctionStage(monkeypatch, handler, Limits().replace(function_sandboxes_max=1))
    first, gone = stage.send("long"), stage.send("gone")
    stage.client.cancel(gone)

    assert stage.client.wait(first)[0] == 200
    assert error_name(stage.client.wait(gone)) == (503, "HostUnavailableError")
    assert stage.ask("after")[0] == 200
    assert ran == ["long", "after"]


def begun(bodies: FunctionBodies, front: Mock) -> int:
    """The number of a body that a function has begun."""
    entry = Entry(1, "fn f", StoredInstance(0, 0, b""))
    head = b'{"status":200,"headers":[],"body_follows":true}'
    turn = SimpleNamespace(entry=entry, client=front, error=None, broken=None, abandoned=False, result=head)
    bodies.ended(cast("FunctionTurn", turn))
    return unpack_head(turn.result)[0]


def test_a_body_of_a_worker_that_died_is_none_of_its_successors() -> None:
    """A front asks the successor for the next piece: another client's body must not be taken for it, nor closed."""
    front, tell = Mock(), Mock()
    died, successor = (FunctionBodies(Mock(), Mock(), Limits(), tell, Mock()) for _ in range(2))
    old = [begun(died, front) for _ in range(3)]
    assert not {begun(successor, front) for _ in range(3)} & set(old)
    for closes in (False, True):
        successor.pull(front, Call(7, 0, 0, CallKind.BODY, 0, b"f", b"body", b"", pack_pull(old[0], closes=closes)))
        assert tell.call_args.args[:3] == (front, 7, 503)
        assert b"has ended" in tell.call_args.args[3]


def test_a_body_waits_for_as_long_as_the_slowest_client_that_no_front_cuts_needs_for_a_piece() -> None:
    mailboxes, limits = Mock(draining=False), Limits()
    bodies = FunctionBodies(Mock(), mailboxes, limits, Mock(), Mock())
    began, slowest_s = time.monotonic(), limits.stream_piece_bytes_max / RATE_BYTES_S + TAKE_S
    begun(bodies, Mock())

    bodies.keep_house(began + slowest_s, lambda _: True)
    mailboxes.wait_in.assert_not_called()
    bodies.keep_house(time.monotonic() + slowest_s + 1, lambda _: True)
    mailboxes.wait_in.assert_called_once()
