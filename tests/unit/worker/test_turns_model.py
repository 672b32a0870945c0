"""Turns of a worker against one dict per instance: whatever guests write, undo, sync, arm or die of, in whatever order.

Each rule sends one turn whose guest runs a script drawn by Hypothesis, or does something to the worker beside it. What
the turn must answer is known from the model at once; it is compared when the answers are collected, so turns of many
instances are under way while commits are held back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from holdfast_host.core.errors import HoldfastError
from holdfast_host.sandbox.instance import SandboxTrap
from holdfast_host.storage.overlay import Overlay
from holdfast_host.worker.running.runner import TurnRunner
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.turn import Turn
from tests.harness.clock import ManualClock
from tests.unit.worker.alarm_stage import AlarmStage
from tests.unit.worker.stage import Stage, compute

Script = list[list[Any]]

NAMES = ["a", "b", "c"]
KEYS = ["k", "k\0", "l", "名"]
FOREVER_S, BUDGET_MS = 20.0, 30
ENDS = ["return", "return", "return", "raise", "trap"]

keys, numbers = st.sampled_from(KEYS), st.integers(0, 99)
writes = st.one_of(
    st.tuples(st.just("put"), keys, numbers),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("delete all")),
    st.tuples(st.just("arm"), st.integers(10, 100)),
    st.tuples(st.just("disarm")),
    st.tuples(st.just("list")),
    st.tuples(st.just("when")),
)
blocks = st.tuples(st.just("block"), st.lists(writes, max_size=4), st.booleans())
steps = st.one_of(writes, writes, blocks, st.tuples(st.just("sync")), st.tuples(st.just("keep"), numbers))
scripts = st.lists(steps, max_size=6)


# The guest.

pytestmark = pytest.mark.slow


def run_script(turn: Turn, order: dict[str, Any]) -> list[Any]:
    """Do the steps, then end as it says; what memory held at the beginning, and what the steps saw."""
    memory = vars(turn.entry.sandbox)
    seen = [memory.get("kept")]
    for step in order["script"]:
        _do(turn, memory, step, order["now_us"], seen)
    if order["end"] == "raise":
        raise HoldfastError("raised on purpose")
    if order["end"] == "trap":
        raise SandboxTrap("stack", "trapped on purpose")
    if order["end"] == "never":
        compute(turn, FOREVER_S)
    return seen


def _do(turn: Turn, memory: dict[str, Any], step: list[Any], now_us: int, seen: list[Any]) -> None:
    storage, (what, *facts) = turn.storage, step
    turn.host_call()
    if what == "put":
        storage.put(facts[0].encode(), b"%d" % facts[1])
    elif what == "delete":
        seen.append(storage.delete(facts[0].encode()))
    elif what == "delete all":
        storage.delete_all()
    elif what == "arm":
        storage.set_alarm(now_us + facts[0] * 1_000_000)
    elif what == "disarm":
        storage.delete_alarm()
    elif what == "list":
        pairs, _ = storage.list(b"", None, None, None, False, 100)
        seen.append([[key.decode(), int(value)] for key, value in pairs])
    elif what == "when":
        seen.append(storage.get_alarm())
    elif what == "sync":
        turn.sync()
    elif what == "keep":
        storage.put(b"kept", b"%d" % facts[0])
        memory["kept"] = facts[0]
    else:
        storage.savepoint()
        for inner in facts[0]:
            _do(turn, memory, inner, now_us, seen)
        storage.release() if facts[1] else storage.rollback()


def ring(turn: Turn, info: dict[str, Any]) -> None:
    """Count; the first attempts raise after that, as often as the instance says under `k`, at most twice."""
    storage = turn.storage
    storage.put(b"rung", b"%d" % (int(storage.get(b"rung") or 0) + 1))
    if info["retry_count"] < int(storage.get(b"k") or 0) % 3:
        raise HoldfastError("raised on purpose")


# The model.


@dataclass
class State:
    """What an instance holds."""

    values: dict[str, int] = field(default_factory=dict)
    due_us: int | None = None

    def copy(self) -> State:
        return State(dict(self.values), self.due_us)


@dataclass
class Instance:
    """An instance, and what `keep` left in its activation's memory; `memory` lists what that may be."""

    name: str
    state: State = field(default_factory=State)
    memory: set[int | None] = field(default_factory=lambda: {None})


@dataclass
class Expected:
    """What a turn must answer: `error` empty for a result, `memory` what it may have found in memory."""

    slot: int
    status: int
    memory: set[int | None]
    seen: list[Any]


def follow(state: State, step: Any, now_us: int, seen: list[Any]) -> bool:
    """Do a step on the model; whether it changed anything, be it undone afterwards."""
    what, *facts = step
    before = state.copy()
    if what == "put":
        state.values[facts[0]] = facts[1]
    elif what == "delete":
        seen.append(state.values.pop(facts[0], None) is not None)
    elif what == "delete all":
        state.values.clear()
    elif what == "arm":
        state.due_us = now_us + facts[0] * 1_000_000
    elif what == "disarm":
        state.due_us = None
    elif what == "list":
        seen.append([[key, state.values[key]] for key in sorted(state.values, key=str.encode)])
    elif what == "when":
        seen.append(state.due_us)
    elif what == "keep":
        state.values["kept"] = facts[0]
    elif what == "block":
        wrote = any([follow(state, inner, now_us, seen) for inner in facts[0]])  # noqa: C419 all of them are to run
        if not facts[1]:
            state.values, state.due_us = before.values, before.due_us
        return wrote
    return what in {"put", "keep", "arm"} or state != before


class Turns(RuleBasedStateMachine):
    """Some instances of one worker; `stage` is shared by all runs, names are each run's own."""

    stage: AlarmStage
    runs: Iterator[int] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.instances = [Instance(f"{name}{next(self.runs)}") for name in NAMES]
        self.expected: list[Expected] = []
        self.holding = False

    @property
    def worker(self) -> Stage:
        return self.stage.stage

    @property
    def is_at_rest(self) -> bool:
        return not self.expected and not self.holding

    @rule(number=st.integers(0, len(NAMES) - 1), script=scripts, end=st.sampled_from(ENDS))
    def send(self, number: int, script: list[Any], end: str) -> None:
        self._send(self.instances[number], script, end)

    @rule(number=st.integers(0, len(NAMES) - 1), script=scripts)
    def send_one_that_never_ends(self, number: int, script: list[Any]) -> None:
        """Its time is over while it computes; a sync's wait would count too."""
        self._send(self.instances[number], [step for step in script if step[0] != "sync"], "never")

    @precondition(lambda self: not self.holding)
    @rule()
    def hold_commits(self) -> None:
        self.stage.store.hold()
        self.holding = True

    @rule()
    def collect(self) -> None:
        self.stage.store.let_go()
        self.holding = False
        for expected in self.expected:
            status, body = self.worker.client.wait(expected.slot)

            assert status == expected.status, body
            if status == 200:
                assert body[0] in expected.memory, (body, expected)
                assert body[1:] == expected.seen
        self.expected.clear()
        self.stage.settle()

    @precondition(lambda self: self.is_at_rest)
    @rule()
    def evict(self) -> None:
        host = self.worker.worker
        self.worker.do(lambda: host.directory.evict_all(host.gate.settled))
        for instance in self.instances:
            instance.memory = {None}

    @precondition(lambda self: self.is_at_rest)
    @rule(number=st.integers(0, len(NAMES) - 1))
    def lose_a_commit(self, number: int) -> None:
        instance = self.instances[number]
        self.stage.store.lose_next([instance.name.encode()])
        status, body = self.worker.call(instance.name, "run", self._order([["put", "k", 1]], "return"))

        assert (status, body["error"]["name"]) == (507, "StorageFullError")
        instance.memory = {None}

    @precondition(lambda self: self.is_at_rest and any(each.state.due_us for each in self.instances))
    @rule()
    def let_the_alarms_ring(self) -> None:
        """Not before their time, then each once, however often its handler raised before."""
        armed = [each for each in self.instances if each.state.due_us is not None]
        now_us = self.stage.clock.wall_us()
        left_s = (min(each.state.due_us or 0 for each in armed) - now_us) / 1e6
        rung = len(self.stage.runs)
        if left_s > 0.001:
            self.stage.advance(left_s - 0.001)

            assert len(self.stage.runs) == rung
        for seconds in (101.0, 3.0, 3.0):
            self.stage.advance(seconds)
        for instance in armed:
            instance.state.due_us = None
            instance.state.values["rung"] = instance.state.values.get("rung", 0) + 1
            failed = instance.state.values.get("k", 0) % 3 > 0
            instance.memory = {None} if failed else {None, *instance.memory}

    @invariant()
    def a_worker_is_there(self) -> None:
        assert self.worker.failures.empty()
        assert self.worker.broken.empty()

    def teardown(self) -> None:
        self.collect()
        for instance in self.instances:
            self._send(instance, [("list",), ("when",)], "return")
        self.collect()
        for instance in self.instances:  # no alarm of this run rings in the next one
            self.worker.call(instance.name, "run", self._order([["disarm"]], "return"))

    def _send(self, instance: Instance, script: list[Any], end: str) -> None:
        now_us = self.stage.clock.wall_us()
        budget_ms = BUDGET_MS if end == "never" else 0
        slot = self.worker.client.send(instance.name, "run", self._order(script, end), budget_ms=budget_ms)
        durable, state, wrote = instance.state, instance.state.copy(), False
        seen: list[Any] = []
        memory, found = instance.memory, set(instance.memory)
        for step in script:
            wrote |= follow(state, step, now_us, seen)
            if step[0] == "sync":
                durable = state.copy()
            if step[0] == "keep":
                memory = {step[1]}
        if end == "return":
            instance.state, instance.memory = state, memory
        else:
            instance.state = durable
            instance.memory = {None} if wrote or end in {"trap", "never"} else {None, *memory}
        status = {"return": 200, "raise": 500, "trap": 500, "never": 504}[end]
        self.expected.append(Expected(slot, status, found, seen))

    def _order(self, script: list[Any], end: str) -> dict[str, Any]:
        return {"script": script, "end": end, "now_us": self.stage.clock.wall_us()}


def run_machine(monkeypatch: pytest.MonkeyPatch, *, examples: int, shrink: bool = True) -> None:
    """Run it on one worker, whose directory and store live through all examples."""
    stage = AlarmStage(monkeypatch, ring, clock=ManualClock())
    stage.stage.guests[b"run"] = run_script
    stage.stage.deploy()
    machine = type("TurnsOfOneWorker", (Turns,), {"stage": stage})
    phases = tuple(Phase) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            phases=phases,
            database=None,
            derandomize=not shrink,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_turns_agree_with_a_dict_whatever_their_guests_do_and_whatever_becomes_of_their_activations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_machine(monkeypatch, examples=60)


def keep_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Entry, "deactivate", lambda self: None)


def commit_failed_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    run = TurnRunner.run

    def generous(self: TurnRunner, turn: Turn) -> None:
        run(self, turn)
        if turn.error is not None:
            turn.changes = turn.changes or turn.storage.take()

    monkeypatch.setattr(TurnRunner, "run", generous)


def keep_what_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Overlay, "rollback", Overlay.release)


@pytest.mark.parametrize("mutate", [keep_activations, commit_failed_turns, keep_what_is_rolled_back])
def test_a_worker_without_one_of_its_rules_disagrees(monkeypatch: pytest.MonkeyPatch, mutate: Any) -> None:
    mutate(monkeypatch)

    with pytest.raises((AssertionError, TimeoutError)):
        run_machine(monkeypatch, examples=100, shrink=False)
