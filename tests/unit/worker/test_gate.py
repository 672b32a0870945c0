"""The gate against a model: random turns, one commit in flight, commits that lose instances; each rule switched off."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, StorageFullError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Changes
from holdfast_host.wire.sockets.frames import Send, SendKind
from holdfast_host.worker.commits.gate import Exit, Gate, Group
from holdfast_host.worker.turns.entry import Entry
from tests.harness.memory_store import MemoryStore

KEY = b"v"
NEVER = 1 << 30  # said by frames that must not leave
LIMITS = Limits()


@dataclass
class ModelTurn:
    """A turn as the gate knows it."""

    broken: HoldfastError | None = None


@dataclass
class ModelExit:
    """Calls back with whether it was let out."""

    done: Callable[[bool], None]

    def go(self) -> None:
        self.done(True)

    def fail(self, error: HoldfastError) -> None:
        self.done(False)


class NoGate(Gate):
    """Lets everything out at once."""

    def leave(self, entry: Entry, turn: Any, leaving: Exit) -> None:
        leaving.go()


class NoCascade(Gate):
    """Keeps what later turns built on a lost batch."""

    def _forget(self, lost: Any) -> list[tuple[Entry, Exit]]:
        for entry in lost:
            entry.pending.clear()
            entry.last_group = 0
            if entry.turn is not None:
                entry.turn.broken = StorageFullError("lost")
        return []


class NoBroken(Gate):
    """Does not break the running turn of a lost instance."""

    def _forget(self, lost: Any) -> list[tuple[Entry, Exit]]:
        failed = super()._forget(lost)
        for entry in lost:
            if entry.turn is not None:
                entry.turn.broken = None
        return failed


class DropsPending(Gate):
    """Forgets unflushed writes as soon as they are gathered, as if they belonged to the sandbox."""

    def add(self, entry: Entry, changes: Any) -> int:
        number = super().add(entry, changes)
        entry.pending.clear()
        return number


def frame(value: int) -> Send:
    """A message that says what its turn has seen."""
    return Send(int(SendKind.TEXT), (), b"%d" % value)


@dataclass
class History:
    """One random history over four instances."""

    seed: int
    gate_class: type[Gate]
    sends_wait: bool = True  # for the end of their turn, and for the gate
    undoes_sends: bool = True
    store: MemoryStore = field(default_factory=MemoryStore)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.gate = self.gate_class(settled=1)
        self.entries = [Entry(1, f"T/{n}", self.store.locate(1, b"%d" % n)) for n in range(4)]
        self.acknowledged = dict.fromkeys(self.entries, 0)
        self.running: list[Generator[None, None, None]] = []
        self.flight: Group | None = None
        self.frames = 0

    def durable(self, entry: Entry) -> int:
        return int(self.store.get(entry.stored, KEY) or 0)

    def seen(self, entry: Entry, value: int) -> Callable[[bool], None]:
        """Something that read `value` has left."""

        def left(ok: bool) -> None:
            if ok and value > self.durable(entry):
                self.violations.append(f"{entry.label}: {value} was seen, {self.durable(entry)} is durable")

        return left

    def acknowledge(self, entry: Entry, value: int) -> Callable[[bool], None]:
        """A write has been acknowledged."""

        def left(ok: bool) -> None:
            if ok:
                self.acknowledged[entry] += 1
                self.seen(entry, value)(True)

        return left

    def turn(self, entry: Entry) -> Generator[None, None, None]:
        """One turn of a random kind, a step at a time."""
        turn = ModelTurn()
        entry.turn = turn  # type: ignore[assignment]
        overlay = Overlay(self.store, entry.stored, entry.pending, LIMITS, entry.label)
        kind = self.random.choice(["write", "write", "read", "error", "call", "sync"])
        value = int(overlay.get(KEY) or 0)
        yield
        if self.random.random() < 0.3:
            self.send_what_is_undone(overlay)
        if self.random.random() < 0.4:
            self.send(entry, overlay, value + (kind in ("write", "sync")))
        if kind == "error" and self.random.random() < 0.5:
            self.send(entry, overlay, NEVER, later=True)
            entry.turn = None
            return self.gate.leave(entry, turn, ModelExit(self.seen(entry, value)))
        if kind == "call":
            self.gate.leave(entry, turn, ModelExit(self.seen(entry, value)))
            yield
        if kind == "sync":
            if turn.broken is not None:
                return self.end(entry, turn, overlay, lambda ok: None)
            value += 1
            overlay.put(KEY, b"%d" % value)
            synced: list[bool] = []
            self.commit(entry, turn, overlay.take_early())
            self.gate.leave(entry, turn, ModelExit(synced.append))
            while not synced:
                yield
            if not synced[0]:
                return self.end(entry, turn, overlay, lambda ok: None)
            self.acknowledged[entry] += 1
        if kind in ("write", "sync"):
            overlay.put(KEY, b"%d" % (value + 1))
            return self.end(entry, turn, overlay, self.acknowledge(entry, value + 1))
        return self.end(entry, turn, overlay, self.seen(entry, value))

    def end(self, entry: Entry, turn: ModelTurn, overlay: Overlay, done: Callable[[bool], None]) -> None:
        entry.turn = None
        self.commit(entry, turn, overlay.take())
        self.gate.leave(entry, turn, ModelExit(done))

    def commit(self, entry: Entry, turn: ModelTurn, changes: Changes) -> None:
        """As the executor does: the batch joins the group, what is sent goes to the door."""
        if turn.broken is None:
            if changes:
                self.gate.add(entry, changes)
            for sent, _ in changes.sends or ():
                assert isinstance(sent, Send)
                self.frames += 1
                self.gate.leave(entry, turn, ModelExit(self.seen(entry, int(sent.data))))

    def send(self, entry: Entry, overlay: Overlay, value: int, *, later: bool = False) -> None:
        if self.sends_wait:
            overlay.send(frame(value), (1,), 10)
        elif not later:
            self.seen(entry, value)(True)

    def send_what_is_undone(self, overlay: Overlay) -> None:
        overlay.savepoint()
        overlay.send(frame(NEVER), (1, 2), 10)
        overlay.rollback() if self.undoes_sends else overlay.release()

    def step(self, losing: float) -> None:
        draw = self.random.random()
        if draw < 0.4:
            entry = self.random.choice(self.entries)
            if entry.turn is None:
                self.running.append(self.turn(entry))
                self.advance(self.running[-1])
        elif draw < 0.8 and self.running:
            self.advance(self.random.choice(self.running))
        elif self.flight is None:
            self.flight = self.gate.take()
        else:
            self.settle(losing)

    def advance(self, running: Generator[None, None, None]) -> None:
        if next(running, "over") == "over":
            self.running.remove(running)

    def settle(self, losing: float) -> None:
        group, self.flight = self.flight, None
        assert group is not None
        lost = {entry: StorageFullError("full") for entry in group.entries if self.random.random() < losing}
        kept = [batch for batch in group.batches if not any(batch.instance is entry.stored for entry in lost)]
        self.store.commit(group.number, kept)
        self.gate.settle(group, lost)

    def run(self) -> list[str]:
        for _ in range(300):
            self.step(losing=0.25)
        for _ in range(3000):
            if not self.running and not self.gate.current.batches and self.flight is None:
                break
            for running in list(self.running):
                self.advance(running)
            self.flight = self.flight or self.gate.take()
            if self.flight is not None:
                self.settle(losing=0.0)
        for entry in self.entries:
            if self.durable(entry) != self.acknowledged[entry]:
                self.violations.append(f"{entry.label}: {self.acknowledged[entry]} acknowledged")
        return self.violations


def test_nothing_leaves_before_what_it_depends_on_is_durable() -> None:
    """A reply, a call, a frame for a socket: none of them says what is not on disk, or what was undone."""
    frames = 0
    for seed in range(400):
        history = History(seed, Gate)
        assert history.run() == [], f"seed {seed}"
        frames += history.frames

    assert frames > 1000


@pytest.mark.parametrize("rule", ["sends_wait", "undoes_sends"])
def test_the_fuzz_notices_frames_that_are_no_part_of_their_turn(rule: str) -> None:
    def history(seed: int) -> History:
        made = History(seed, Gate)
        setattr(made, rule, False)
        return made

    assert any(history(seed).run() for seed in range(400))


@pytest.mark.parametrize("broken_gate", [NoGate, NoCascade, NoBroken, DropsPending])
def test_the_fuzz_notices_each_rule_that_is_switched_off(broken_gate: type[Gate]) -> None:
    assert any(History(seed, broken_gate).run() for seed in range(400))
