"""The confirming gate against a model in which another owner takes over at any step; each of its rules switched off."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from holdfast_host.core.errors import HostUnavailableError, StorageFullError
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Changes, StoredInstance
from holdfast_host.worker.commits.confirming_gate import ConfirmingGate
from holdfast_host.worker.commits.gate import Exit, Gate, Group
from holdfast_host.worker.turns.entry import Entry
from tests.unit.worker.test_gate import KEY, LIMITS, History, ModelExit, ModelTurn

SEEDS = range(400)


class TooEarly(ConfirmingGate):
    """Takes a commit that is on its way for a confirm."""

    def leave(self, entry: Entry, turn: Any, leaving: Exit) -> None:
        if self.flight is not None and not entry.is_function and entry.last_group <= self.flight.number:
            self.flight.held.append((entry, leaving))
        else:
            super().leave(entry, turn, leaving)


class ForgetsWhatFunctionsAreTold(ConfirmingGate):
    """Lets a function answer with what an instance has read."""

    def _lean(self, receiver: Entry, giver: Entry) -> None:
        Gate._lean(self, receiver, giver)


class TakesARefusalForAConfirm(ConfirmingGate):
    """Lets go what a commit held that was refused as a whole."""

    def settle(self, group: Group, lost: Any) -> Any:
        group.confirmed = True
        return super().settle(group, lost)


class TakenOver(History):
    """A history whose owner may be another one from some step on; what was read after that must never leave."""

    now = 0
    fenced_at: int | None = None
    executed: bool | None = None  # the commit in flight: whether it found the owner, once the server has come to it
    refusing = 0.1
    over = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.function = Entry(2, "fn f", StoredInstance(0, 2, b""))
        self.read_at: dict[Entry, int] = {}
        self.fences = self.random.random() < 0.7
        self.let_out = 0

    def turn(self, entry: Entry) -> Generator[None, None, None]:
        self.read_at[entry] = self.now
        yield from super().turn(entry)

    def asking(self) -> Generator[None, None, None]:
        """A function asks an instance, which reads and answers; then the function does."""
        entry, function = self.random.choice(self.entries), self.function
        while entry.turn is not None:
            yield
        turn = ModelTurn()
        entry.turn = turn  # type: ignore[assignment]
        overlay = Overlay(self.store, entry.stored, entry.pending, LIMITS, entry.label)
        overlay.get(KEY)
        read_at = self.now
        yield
        entry.turn = None
        told: list[bool] = []
        self.gate.answer(entry, turn, function, ModelExit(told.append))
        while not told:
            yield
        if told[0]:
            self.gate.leave(function, ModelTurn(), ModelExit(self.left(function, read_at)))

    def left(self, entry: Entry, read_at: int) -> Callable[[bool], None]:
        def left(ok: bool) -> None:
            self.let_out += ok
            if ok and self.fenced_at is not None and read_at > self.fenced_at:
                self.violations.append(f"{entry.label}: read at {read_at}, taken over at {self.fenced_at}")

        return left

    def seen(self, entry: Entry, value: int) -> Callable[[bool], None]:
        durable, left = super().seen(entry, value), self.left(entry, self.read_at[entry])

        def both(ok: bool) -> None:
            durable(ok)
            left(ok)

        return both

    def acknowledge(self, entry: Entry, value: int) -> Callable[[bool], None]:
        seen = self.seen(entry, value)

        def left(ok: bool) -> None:
            self.acknowledged[entry] += ok
            seen(ok)

        return left

    def step(self, losing: float) -> None:
        self.now += 1
        if self.flight is not None and self.executed is None and self.random.random() < 0.5:
            self.executed = self.fenced_at is None
        if self.fences and self.fenced_at is None and self.random.random() < 0.01:
            self.fenced_at = self.now
            self.now += 1
        if self.random.random() < 0.15:
            self.running.append(self.asking())
        if not self.over:
            super().step(losing)

    def settle(self, losing: float) -> None:
        executed = self.fenced_at is None if self.executed is None else self.executed
        self.executed = None
        if not executed:
            self.over = True  # the process ends; nothing is answered
            return
        if losing and self.random.random() < self.refusing:
            group, self.flight = self.flight, None
            assert group is not None
            group.confirmed = False
            self.store.commit(group.number, [])
            self.gate.settle(group, {entry: StorageFullError("full") for entry in group.entries})
        else:
            super().settle(losing)

    def run(self) -> list[str]:
        for _ in range(300):
            self.step(losing=0.25)
        if self.fenced_at is None:
            self.violations += super().run()
        return self.violations


def test_nothing_that_was_read_after_another_owner_took_over_ever_leaves() -> None:
    """A reply, a call, a frame, the answer of a function that asked: all wait for a commit that began after it."""
    let_out = 0
    for seed in SEEDS:
        history = TakenOver(seed, ConfirmingGate)
        assert history.run() == [], f"seed {seed}"
        let_out += history.let_out

    assert let_out > 5000


@pytest.mark.parametrize("broken_gate", [Gate, TooEarly, ForgetsWhatFunctionsAreTold])
def test_the_fuzz_notices_each_rule_of_the_confirms_that_is_switched_off(broken_gate: type[Gate]) -> None:
    assert any(TakenOver(seed, broken_gate).run() for seed in SEEDS)


def test_what_a_refused_commit_held_waits_for_the_next_one() -> None:
    """Who has only read did nothing wrong, and nothing says yet that it was no past."""
    said: list[tuple[str, bool]] = []
    for gate in (ConfirmingGate(settled=1), TakesARefusalForAConfirm(settled=1)):
        reader, function = (Entry(1, "T/a", StoredInstance(0, 1, b"a")), Entry(2, "fn f", StoredInstance(0, 2, b"")))
        gate.answer(reader, ModelTurn(), function, ModelExit(lambda ok: None))
        gate.leave(reader, ModelTurn(), ModelExit(lambda ok: said.append(("reader", ok))))
        group = gate.take()
        assert group is not None
        group.confirmed = False
        gate.settle(group, {})
        gate.leave(function, ModelTurn(), ModelExit(lambda ok: said.append(("function", ok))))
        if isinstance(gate, TakesARefusalForAConfirm):
            break
        assert said == []
        again = gate.take()
        assert again is not None
        gate.settle(again, {})

    assert said == [("reader", True), ("function", True)] * 2


@pytest.mark.parametrize("confirmed", [True, False])
def test_what_was_read_before_an_instance_wrote_is_not_lost_with_that(confirmed: bool) -> None:
    """Both wait for one commit. Only what was said after the write depends on it."""
    gate, said = ConfirmingGate(settled=1), list[tuple[str, bool]]()
    entry = Entry(1, "T/a", StoredInstance(0, 1, b"a"))
    gate.leave(entry, ModelTurn(), ModelExit(lambda ok: said.append(("read", ok))))
    gate.add(entry, Changes(writes={KEY: b"5"}))
    gate.leave(entry, ModelTurn(), ModelExit(lambda ok: said.append(("write", ok))))
    group = gate.take()
    assert group is not None
    group.confirmed = confirmed
    gate.settle(group, {entry: StorageFullError("full")})
    if not confirmed:
        assert said == [("write", False)]
        again = gate.take()
        assert again is not None
        gate.settle(again, {})

    assert sorted(said) == [("read", True), ("write", False)]


def test_a_function_that_was_told_of_lost_writes_keeps_what_it_said_before() -> None:
    """A function serves one request after the other; what one was told is nothing to the one before."""
    gate, said = ConfirmingGate(settled=1), list[tuple[str, bool]]()
    reader, writer = (Entry(1, f"T/{name}", StoredInstance(0, 1, name.encode())) for name in "ab")
    function = Entry(2, "fn f", StoredInstance(0, 2, b""))
    gate.answer(reader, ModelTurn(), function, ModelExit(lambda ok: None))
    gate.leave(function, ModelTurn(), ModelExit(lambda ok: said.append(("first", ok))))
    gate.add(writer, Changes(writes={KEY: b"5"}))
    gate.answer(writer, ModelTurn(), function, ModelExit(lambda ok: None))
    gate.leave(function, ModelTurn(), ModelExit(lambda ok: said.append(("second", ok))))
    group = gate.take()
    assert group is not None
    gate.settle(group, {writer: StorageFullError("full")})

    assert said == [("first", True), ("second", False)]


def test_an_end_of_the_store_fails_what_it_holds() -> None:
    gate, said = ConfirmingGate(settled=1), list[bool]()
    entry = Entry(1, "T/a", StoredInstance(0, 1, b"a"))
    gate.leave(entry, ModelTurn(), ModelExit(said.append))

    gate.abandon(HostUnavailableError("the test said so"))

    assert said == [False]


def test_no_group_gets_a_number_that_an_earlier_owner_may_have_used() -> None:
    """What is gathered by then keeps its number; whoever waits is told when that is settled."""
    gate, passed = ConfirmingGate(5), list[str]()
    gate.pass_group(3, lambda: passed.append("below"))
    gate.pass_group(40, lambda: passed.append("above, nothing gathered"))
    entry = Entry(1, "A/a", StoredInstance(0, 1, b"a"))

    assert passed == ["below", "above, nothing gathered"]
    assert gate.add(entry, Changes({b"k": b"v"})) == 41
    gate.pass_group(70, lambda: passed.append("above, with a group"))
    group = gate.take()
    assert group is not None
    assert (group.number, gate.current.number) == (41, 71)
    assert len(passed) == 2
    gate.settle(group, {})
    assert passed[2:] == ["above, with a group"]
    assert (gate.settled, gate.current.number) == (41, 71)


def test_what_is_only_read_while_numbers_are_passed_is_confirmed_all_the_same() -> None:
    gate, told = ConfirmingGate(5), list[bool]()
    entry = Entry(1, "A/a", StoredInstance(0, 1, b"a"))
    gate.leave(entry, None, ModelExit(told.append))
    gate.pass_group(70, lambda: None)
    first = gate.take()
    assert first is not None
    gate.leave(entry, None, ModelExit(told.append))
    gate.settle(first, {})
    second = gate.take()

    assert (told, gate.confirms) == ([True], 2)
    assert second is not None
    assert second.number == 71
    gate.settle(second, {})
    assert told == [True, True]
