"""What a store that settles later is given of its worker: the leader's poller and inbox, and whom to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import CommitReport, StoreBrokenError
    from holdfast_host.worker.commits.committer import Committer
    from holdfast_host.worker.threads.inbox import Inbox
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.threads.poller import Poller


@leaders
class StoreLeader:
    """The leader of one worker, as its store knows it (`storage.store.Leader`)."""

    def __init__(
        self,
        leadership: Leadership,
        inbox: Inbox,
        poller: Poller,
        committer: Committer,
        on_broken: Callable[[BaseException], None],
    ) -> None:
        """`on_broken(error)` ends the process."""
        self._leadership = leadership
        self._inbox = inbox
        self._poller = poller
        self._committer = committer
        self._on_broken = on_broken

    @any_thread
    def post(self, action: Callable[[], None]) -> None:
        """Have it run soon."""
        self._inbox.post(action)

    @any_thread
    def step_out(self) -> bool:
        """Another thread leads while this one waits; whether `step_back` follows."""
        return self._leadership.step_out()

    @any_thread
    def step_back(self) -> None:
        """This thread goes on, without the leadership."""
        self._leadership.step_back()

    @any_thread
    def watch(self, fd: int, ready: Callable[[int], None]) -> None:
        """Call `ready(events)` when the descriptor is readable; before anybody leads."""
        self._poller.add(fd, ready)

    def watch_writing(self, fd: int, *, writing: bool) -> None:
        """And when it is writable, from now on or no more."""
        self._poller.change(fd, reading=True, writing=writing)

    def settled(self, report: CommitReport) -> None:
        """The commit in flight is durable, but for what the report says."""
        self._committer.settled(report)

    @any_thread
    def broken(self, error: StoreBrokenError) -> None:
        """The worker ends: by its leader, for what is held is that one's."""
        self._inbox.post(lambda: self._on_broken(error))
