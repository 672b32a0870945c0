"""A commit during which another thread begins to lead: at every bytecode of it, with whatever that leader then does.

The histories are those of `test_leaning`, their commits the real worker's. One commit of a history is followed bytecode
by bytecode; at one of them the monitor's part is done, and the next leader runs turns that call each other, answer,
write, and lean on what is in flight. No thread is started: what happens is the same each time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.store import Batch, CommitReport
from holdfast_host.wire.control.routing import Routing
from holdfast_host.worker.commits.gate import Gate, Group
from holdfast_host.worker.logs.output import Output
from holdfast_host.worker.threads.leadership import Leadership
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.worker import Worker
from tests.harness.memory_store import MemoryStore
from tests.harness.repeats import repeats
from tests.unit.worker.stage import NoEngine
from tests.unit.worker.test_leaning import History

FOLLOWED = (
    "/worker/commits/committer.py",
    "/worker/commits/gate.py",
    "/worker/threads/leadership.py",
    "/storage/store.py",
    "/storage/leans.py",
)
SEEDS = range(repeats(3, 6))
STEPS = 25  # of the next leader, while the commit waits


class ByPartition(MemoryStore):
    """A transaction for each partition, and the host may die between two."""

    after_each: Callable[[], None]

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        report, loses = CommitReport(), self._loses
        for partition in sorted({batch.instance.partition for batch in batches}):
            self._loses = set(loses)
            own = [batch for batch in batches if batch.instance.partition == partition]
            report.lost |= super().commit(group, own, leans).lost
            self.after_each()
        return report


class Promoting:
    """Counts the bytecodes of a commit, and does something at one of them."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._left = at
        self._act = act
        self.counted = 0

    def run(self, commit: Callable[[], object]) -> None:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            commit()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(FOLLOWED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._follow

    def _follow(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.counted += 1
            if self.counted == self._left:
                self._act()
        return self._follow


class PromotedHistory(History):
    """A history whose commits are a worker's own; `commit_number` of them is promoted at bytecode `at`."""

    steps = 60

    def __init__(self, worker: Worker, seed: int, gate_class: type[Gate], commit_number: int, at: int) -> None:
        super().__init__(seed, gate_class)
        self.store = ByPartition(partitions=2)
        self.store.after_each = self.check_disk
        self.actors = [Entry(1, f"T/{n}", self.store.locate(1, b"%d" % n)) for n in range(5)]
        self.inbox = worker.inbox
        self.leadership = NobodyFollows(worker.inbox.post)
        self.committer = replace(worker.committer, store=self.store, gate=self.gate, leadership=self.leadership)
        self.commits_left = commit_number
        self.at = at
        self.leading = False
        self.promoted = self.leaned_late = False
        self.counted = 0

    def commit(self, losing: float) -> None:
        """The whole of it: nothing else happens meanwhile, but for what `lead` does."""
        if self.leading or not self.gate.current.batches:
            return
        written = [batch.instance.name for batch in self.gate.current.batches]
        self.store.lose_next(name for name in written if self.random.random() < losing)
        run, generation = self.committer.run, self.leadership.generation
        self.commits_left -= 1
        if self.commits_left:
            assert run(generation)
            return
        promoting = Promoting(self.at, self.lead)
        promoting.run(lambda: run(generation))
        self.counted = promoting.counted
        while self.inbox.actions:
            self.inbox.actions.popleft()()

    def lead(self) -> None:
        """The monitor finds the section too long; the next leader goes on until the commit is through."""
        self.promoted = self.leadership.promote_if_slow(math.inf, 0.0, lambda: True)
        if self.promoted:
            self.leading = True
            for _ in range(STEPS):
                self.step(losing=0.0)
            self.leading = False
            flight = self.gate.flight
            self.leaned_late = flight is not None and bool(flight.late_leans)


class NobodyFollows(Leadership):
    """The next leader is whoever asked for one."""

    def _appoint(self) -> None:
        self.generation += 1


def _fail(error: Any) -> None:
    raise AssertionError(error)


@pytest.fixture(scope="module")
def worker() -> Worker:
    """One whose threads are never started; each history brings its own store and gate."""
    engine: Any = NoEngine()
    return Worker(
        MemoryStore(),
        engine,
        Limits(),
        Output(0, "error"),
        Routing.over(2, ["unused"]),
        number=0,
        compute_slots=1,
        on_broken_store=_fail,
        on_failure=_fail,
    )


def promote_everywhere(
    worker: Worker, gate_class: type[Gate], seed: int, commit_number: int
) -> Iterator[PromotedHistory]:
    """The history, once for each bytecode of that commit."""
    at = 0
    while True:
        at += 1
        history = PromotedHistory(worker, seed, gate_class, commit_number, at)
        history.run()
        if at > history.counted:
            return
        yield history


@pytest.mark.slow
@pytest.mark.repeats
@pytest.mark.parametrize("commit_number", [2, 5])
def test_a_commit_may_be_promoted_at_every_bytecode_of_it(worker: Worker, commit_number: int) -> None:
    promoted = leaned_late = 0
    for seed in SEEDS:
        for history in promote_everywhere(worker, Gate, seed, commit_number):
            assert history.violations == [], f"seed {seed}, bytecode {history.at}"
            promoted += history.promoted
            leaned_late += history.leaned_late

    assert promoted > 80 * len(SEEDS)
    assert leaned_late > 8 * len(SEEDS)


class LeansOnWhatIsSealed(Gate):
    """A lean on a group in flight is written where its commit reads."""

    def take(self) -> Group | None:
        group = super().take()
        if group is not None:
            group.late_leans = group.leans
        return group


def test_the_promotions_find_a_gate_that_does_not_seal(worker: Worker) -> None:
    def look() -> None:
        for seed in (*range(16, 40), *range(16)):  # the seventeenth finds it
            for history in promote_everywhere(worker, LeansOnWhatIsSealed, seed, 3):
                assert history.violations == []

    with pytest.raises(RuntimeError, match="dictionary changed size during iteration"):
        look()
