"""Who leans on whom, against a model that follows what everybody has heard: random calls, commits that lose instances.

Every instance counts its writes and notes, in memory and on disk, the highest count of each other instance that it has
heard of. Whatever leaves the host, and whatever is on disk after any commit of a partition, may know only of counts
that are on disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from graphlib import CycleError
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.leans import NO_LEANS
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Changes, StoredInstance
from holdfast_host.wire.sockets.frames import Send, SendKind
from holdfast_host.worker.commits.gate import Exit, Gate, Group
from holdfast_host.worker.turns.entry import Entry
from tests.harness.memory_store import MemoryStore

LIMITS = Limits()
COUNT = b"count"
Steps = Generator[None, None, None]
Heard = dict[Entry, int]


class Memory:
    """Stands for a sandbox: what its guest remembers."""

    def __init__(self) -> None:
        self.heard: Heard = {}

    def close(self) -> None:
        self.heard = {}


class ModelTurn:
    def __init__(self) -> None:
        self.broken: HoldfastError | None = None


class ModelExit:
    def __init__(self, done: Callable[[bool], None]) -> None:
        self.done = done

    def go(self) -> None:
        self.done(True)

    def fail(self, error: HoldfastError) -> None:
        self.done(False)


class AnswersFreely(Gate):
    """An answer goes at once, and nobody leans."""

    def answer(self, giver: Entry, turn: Any, receiver: Entry | None, leaving: Exit) -> None:
        self.leave(giver, turn, leaving) if receiver is None else leaving.go()


class CallsFreely(Gate):
    """A call of one that leans goes at once, and its callee does not."""

    def call(self, caller: Entry, turn: Any, callee: Entry | None, leaving: Exit) -> None:
        if callee is not None and not caller.pending:
            leaving.go()
        else:
            self.leave(caller, turn, leaving)


class CallsWithPending(Gate):
    """A call goes at once although its caller has unsettled writes of its own, which its callee does not lean on."""

    def call(self, caller: Entry, turn: Any, callee: Entry | None, leaving: Exit) -> None:
        pending, caller.pending = caller.pending, Entry(0, "", StoredInstance(0, 0, b"", 0)).pending
        try:
            super().call(caller, turn, callee, leaving)
        finally:
            caller.pending = pending


class LeansAcrossPartitions(Gate):
    """One transaction or two is all the same."""

    def _may_lean(self, receiver: Entry, giver: Entry) -> bool:
        return receiver.last_group <= self.settled or not self._leans(giver, receiver)


class LeansInCircles(Gate):
    """One leans on another that leans on it."""

    def _leans(self, receiver: Entry, giver: Entry) -> bool:
        return False


class ForgetsWhoLeans(Gate):
    """What is lost for one is not lost for those that lean on it."""

    def _with_leaning(self, lost: Any, *leans: Any) -> Any:
        return lost


class ForgetsIndirectly(Gate):
    """Only those that lean directly are lost with one."""

    def _with_leaning(self, lost: Any, *leans: Any) -> Any:
        error = next(iter(lost.values()), None)
        pairs = [pair for each in leans for pair in each.items()]
        return {**lost, **{receiver: error for receiver, givers in pairs if any(giver in lost for giver in givers)}}


class ForgetsLateLeans(Gate):
    """What leans on a group in flight is not lost with it."""

    def _with_leaning(self, lost: Any, *leans: Any) -> Any:
        return super()._with_leaning(lost, leans[-1])


class History:
    """One random history over five instances in two partitions and two sandboxes of a function."""

    steps = 300

    def __init__(
        self,
        seed: int,
        gate_class: type[Gate],
        *,
        tell_store: bool = True,
        at_once: bool = True,
        sends_leave: bool = True,
    ) -> None:
        self.random = random.Random(seed)
        self.sends_leave = sends_leave  # the host, wherever its turn's answer goes
        self.sending = random.Random(seed)  # of its own: histories are as they were without frames
        self.tell_store = tell_store
        self.at_once = at_once  # a call that leans waits for no other turn of its callee
        self.store = MemoryStore(partitions=2)
        self.gate = gate_class(settled=1)
        self.actors = [Entry(1, f"T/{n}", self.store.locate(1, b"%d" % n)) for n in range(5)]
        self.functions = [Entry(-1, "fn f", StoredInstance(0, 0, b"", 0)) for _ in range(2)]
        self.running: list[Steps] = []
        self.flight: Group | None = None
        self.violations: list[str] = []
        self.leaned = 0

    # What is known, and what is on disk.

    def durable(self, entry: Entry, key: bytes = COUNT) -> int:
        return int(self.store.get(entry.stored, key) or 0)

    def memory(self, entry: Entry) -> Memory:
        if entry.sandbox is None:
            entry.sandbox = Memory()  # type: ignore[assignment]
        return entry.sandbox  # type: ignore[return-value]

    def leaves(self, what: str, heard: Heard) -> Callable[[bool], None]:
        heard = dict(heard)

        def left(ok: bool) -> None:
            for entry, count in heard.items():
                if ok and count > self.durable(entry):
                    self.violations.append(f"{what} knows {entry.label}={count}, {self.durable(entry)} is on disk")

        return left

    def check_disk(self) -> None:
        for entry in self.actors:
            for other in self.actors:
                noted = self.durable(entry, b"heard " + other.stored.name)
                if noted > self.durable(other):
                    self.violations.append(f"{entry.label} on disk knows {other.label}={noted}")

    # Turns.

    def turn(self, entry: Entry, told: Heard, answer: Callable[[bool, Heard], None], receiver: Entry | None) -> Steps:
        turn = ModelTurn()
        entry.turn = turn  # type: ignore[assignment]
        is_actor = not entry.is_function
        overlay = Overlay(self.store, entry.stored, entry.pending, LIMITS, entry.label)
        memory = self.memory(entry)
        _merge(memory.heard, told)
        if is_actor:
            stored = {other: overlay.get(b"heard " + other.stored.name) for other in self.actors}
            _merge(memory.heard, {other: int(count) for other, count in stored.items() if count})
            memory.heard[entry] = int(overlay.get(COUNT) or 0)
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            if self.random.random() < 0.4:
                yield
            if self.random.random() < 0.25:
                self.gate.call(entry, turn, None, ModelExit(self.leaves("a call to another worker", memory.heard)))
            else:
                yield from self.call(entry, turn, memory)
        if self.random.random() < 0.4:
            yield
        if is_actor and turn.broken is None and self.random.random() < 0.7:
            memory.heard[entry] = int(overlay.get(COUNT) or 0) + 1
            overlay.put(COUNT, b"%d" % memory.heard[entry])
            for other, count in memory.heard.items():
                overlay.put(b"heard " + other.stored.name, b"%d" % count)
        heard = dict(memory.heard)
        entry.turn = None
        if is_actor and self.sending.random() < 0.4:
            overlay.send(Send(int(SendKind.TEXT), (), b""), (1,), 10)
        changes = overlay.take()
        if turn.broken is not None:
            entry.deactivate()
        elif changes:
            self.gate.add(entry, changes)
        if changes.sends is not None:
            self.send(entry, turn, receiver, ModelExit(self.leaves("a frame", heard)))

        def done(ok: bool) -> None:
            if receiver is None:
                self.leaves("a reply", heard)(ok)
            answer(ok, heard)

        self.gate.answer(entry, turn, receiver, ModelExit(done))

    def send(self, entry: Entry, turn: ModelTurn, receiver: Entry | None, frame: ModelExit) -> None:
        if self.sends_leave:
            self.gate.leave(entry, turn, frame)
        else:
            self.gate.answer(entry, turn, receiver, frame)

    def call(self, entry: Entry, turn: ModelTurn, memory: Memory) -> Steps:
        callee = self.random.choice(self.actors)
        if callee is entry or (callee.turn is not None and not self.at_once and self.random.random() < 0.5):
            return
        idle = callee.turn is None
        left: list[bool] = []
        heard = dict(memory.heard)
        unsettled = entry.last_group > self.gate.settled
        self.gate.call(entry, turn, callee if idle or not self.at_once else None, ModelExit(left.append))
        self.leaned += unsettled and bool(left)
        for _ in range(40):
            if left and (not left[0] or callee.turn is None):
                break
            yield
        else:
            return  # the turn is over its budget: what it heard of this call is nothing
        if not left[0] or callee.turn is not None:
            return
        answered: list[bool] = []
        over: list[bool] = []

        def answer(ok: bool, told: Heard) -> None:
            if not over:
                answered.append(ok)
                if ok:
                    _merge(memory.heard, told)

        running = self.turn(callee, heard, answer, entry)
        if not idle or self.random.random() < 0.5:
            self.running.append(running)  # as one that was promoted
            if next(running, "over") == "over":
                self.running.remove(running)
        else:
            for _ in running:
                if self.random.random() < 0.3:
                    yield
        for _ in range(40):
            if answered:
                return
            yield
        over.append(True)

    # The history.

    def step(self, losing: float) -> None:
        draw = self.random.random()
        if draw < 0.4:
            entry = self.random.choice([*self.actors, *self.functions])
            if entry.turn is None:
                running = self.turn(entry, {}, lambda ok, heard: None, None)
                self.running.append(running)
                self.advance(running)
        elif draw < 0.8 and self.running:
            self.advance(self.random.choice(self.running))
        else:
            self.commit(losing)

    def commit(self, losing: float) -> None:
        """Begin a commit, or end the one in flight."""
        if self.flight is None:
            self.flight = self.gate.take()
        else:
            self.settle(losing)

    def advance(self, running: Steps) -> None:
        if next(running, "over") == "over":
            self.running.remove(running)

    def settle(self, losing: float) -> None:
        group, self.flight = self.flight, None
        assert group is not None
        leans = group.stored_leans() if self.tell_store else NO_LEANS
        lost: dict[int, HoldfastError] = {}
        partitions = sorted({batch.instance.partition for batch in group.batches}, key=lambda _: self.random.random())
        for partition in partitions:
            own = [batch for batch in group.batches if batch.instance.partition == partition]
            self.store.lose_next({each.instance.name for each in own if self.random.random() < losing})
            lost |= self.store.commit(group.number, own, leans).lost
            self.check_disk()  # the host may die here
        self.gate.settle(group, {entry: lost[id(entry.stored)] for entry in group.entries if id(entry.stored) in lost})

    def run(self) -> list[str]:
        for _ in range(self.steps):
            self.step(losing=0.15)
        for _ in range(2000):
            if not self.running and not self.gate.current.batches and self.flight is None:
                break
            for running in list(self.running):
                if running in self.running:
                    self.advance(running)
            self.commit(losing=0.0)
        else:
            self.violations.append("something waits for ever")
        return self.violations


def _merge(heard: Heard, more: Heard) -> None:
    for entry, count in more.items():
        heard[entry] = max(count, heard.get(entry, 0))


def finds_something(seed: int, gate_class: type[Gate], **rules: bool) -> bool:
    try:
        return bool(History(seed, gate_class, **rules).run())
    except CycleError:
        return True


@pytest.mark.slow
def test_nobody_outside_and_nothing_on_disk_knows_of_what_is_not_on_disk() -> None:
    leaned = 0
    for seed in range(1000):
        history = History(seed, Gate)
        assert history.run() == [], f"seed {seed}"
        leaned += history.leaned

    assert leaned > 200


@pytest.mark.parametrize(
    "broken_gate",
    [
        AnswersFreely,
        CallsFreely,
        CallsWithPending,
        LeansAcrossPartitions,
        LeansInCircles,
        ForgetsWhoLeans,
        ForgetsIndirectly,
        ForgetsLateLeans,
    ],
)
def test_the_model_notices_each_rule_that_is_switched_off(broken_gate: type[Gate]) -> None:
    assert any(finds_something(seed, broken_gate) for seed in range(1000))


def test_a_lean_on_a_group_in_flight_means_nothing_to_its_commit_and_all_to_what_comes_later() -> None:
    store = MemoryStore()
    gate = Gate(settled=1)
    giver, receiver = (Entry(1, f"T/{name}", store.locate(1, name.encode())) for name in ("giver", "receiver"))
    events: list[str] = []

    def write(entry: Entry, value: bytes) -> None:
        gate.add(entry, Changes(writes={COUNT: value}, size_bytes=6))
        name = f"{entry.label} {value.decode()}"
        gate.leave(entry, None, ModelExit(lambda ok: events.append(f"{name} {'left' if ok else 'failed'}")))

    write(giver, b"1")
    write(receiver, b"1")
    group = gate.take()
    assert group is not None
    gate.answer(giver, ModelTurn(), receiver, ModelExit(lambda ok: None))
    gate.leave(receiver, None, ModelExit(lambda ok: events.append(f"what it heard {'left' if ok else 'failed'}")))
    write(receiver, b"2")
    assert group.stored_leans() == NO_LEANS
    store.lose_next({b"giver"})
    report = store.commit(group.number, group.batches, group.stored_leans())
    lost = gate.settle(group, {giver: report.lost[id(giver.stored)]})

    assert events == ["T/giver 1 failed", "T/receiver 1 left", "what it heard failed", "T/receiver 2 failed"]
    assert store.get(receiver.stored, COUNT) == b"1"
    assert set(lost) == {giver, receiver}
    assert not gate.current.batches
    assert not receiver.pending


@pytest.mark.parametrize("rule", ["tell_store", "at_once", "sends_leave"])
def test_the_model_notices_a_store_that_is_not_told_a_call_that_leans_and_waits_and_a_frame_that_only_answers(
    rule: str,
) -> None:
    assert any(finds_something(seed, Gate, **{rule: False}) for seed in range(1000))
