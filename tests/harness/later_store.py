"""A Store in memory whose commits settle later, as a server's do, and which may get another owner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.store import Batch, CommitReport, Leader, LoadTogether, OwnerLostError, StoredInstance
from tests.harness.memory_store import MemoryStore


class LaterStore(MemoryStore):
    """Its commits are on their way until `settle` is called, or come back at once where the test does not hold them."""

    leader: Leader
    holds_back = False
    taken_over = False  # by another owner: no commit comes back any more
    refuses = False  # the next commit as a whole: it writes and confirms nothing

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[tuple[int, int]] = []  # the group, and how many batches it had
        self.looked_up_slowly: dict[bytes, threading.Event] = {}  # names whose look-up waits for such an event
        self.waits = threading.Semaphore(0)  # a permit for each look-up that waits
        self._flight: tuple[int, Sequence[Batch], Leans] | None = None

    @property
    def settles_later(self) -> bool:
        """A commit is on its way on return."""
        return True

    def attach(self, leader: Leader) -> LoadTogether | None:
        """Whom to tell."""
        self.leader = leader
        return None

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> None:  # type: ignore[override]
        """It is on its way."""
        assert self._flight is None, "two commits at a time"
        self._flight = group, batches, leans
        self.commits.append((group, len(batches)))
        if not self.holds_back:
            self.leader.post(self._settle)

    def settle(self) -> None:
        """The commit in flight comes back."""
        self.leader.post(self._settle)

    def look_up(self, instance: StoredInstance) -> None:
        """Some wait for an answer, which only a leader could bring."""
        answer = self.looked_up_slowly.get(instance.name)
        if answer is not None and not instance.number:
            stepped_out = self.leader.step_out()
            self.waits.release()
            assert answer.wait(10), "no answer came"
            if stepped_out:
                self.leader.step_back()
        super().look_up(instance)

    def _settle(self) -> None:
        assert self._flight is not None, "no commit is in flight"
        (group, batches, leans), self._flight = self._flight, None
        if self.taken_over:
            self.leader.broken(OwnerLostError("another owner has taken over"))
        elif self.refuses:
            self.refuses = False
            self._loses = {batch.instance.name for batch in batches}
            lost = super().commit(group, batches, leans).lost
            self.leader.settled(CommitReport(lost, confirmed=False))
        else:
            self.leader.settled(super().commit(group, batches, leans) if batches else CommitReport())


class AskedStore(LaterStore):
    """One that reads several instances in one question; each is answered at once, or when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[list[bytes]] = []
        self.answers_by_itself = True
        self._unanswered: list[Callable[[], None]] = []

    def attach(self, leader: Leader) -> LoadTogether:
        """Whom to tell."""
        super().attach(leader)
        return self._load

    def answer(self) -> None:
        """All that was asked is told."""
        unanswered, self._unanswered = self._unanswered, []
        for each in unanswered:
            self.leader.post(each)

    def _load(self, instances: Sequence[StoredInstance], told: Callable[[StoredInstance], None]) -> None:
        self.questions.append([each.name for each in instances])

        def answer() -> None:
            for each in instances:
                self.look_up(each)
                told(each)

        self._unanswered.append(answer)
        if self.answers_by_itself:
            self.answer()
