"""Leader and followers: many threads, one of which leads.

The leader is the only thread that touches the worker's tables. A *section* is a stretch of its time that may be long
and touches none of them: a turn, a commit, a read of the disk. When a section is too long and something waits, the
monitor gives the leadership to a parked follower; the thread in the section finds out at its end and hands its result
in instead of using it. The generation counts leaderships; a thread leads as long as its generation is the current one
and it is in no section.

An open section stands in a table under its generation. The thread in it takes it out to end it, the monitor to give the
leadership away; a dictionary lets one of them have it, so that no section costs a lock.

No word here says turn, commit or socket. The lock is held for a microsecond and never across a wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from holdfast_host.core.errors import InternalError

PARKED_MIN: Final = 2  # waking a parked thread takes 39 us, starting a fresh one 119
PARKED_MAX: Final = 8

_Subject = TypeVar("_Subject")
_Found = TypeVar("_Found")


class _Follower:
    """A thread that waits for a leadership; `wake` is held while it waits."""

    __slots__ = ("generation", "wake")

    def __init__(self) -> None:
        self.generation = 0
        self.wake = threading.Lock()
        self.wake.acquire()


class Leadership:
    """The generation, the open section and the parked followers of one worker; lives as long as the process."""

    _lead: Callable[[int], None]
    _on_failure: Callable[[BaseException], None]

    def __init__(self, post: Callable[[Callable[[], None]], None]) -> None:
        """`post(action)` has whoever leads run it soon; any thread."""
        self._post = post
        self._lock = threading.Lock()
        self._parked: list[_Follower] = []
        self._open: dict[int, float] = {}  # by generation, when its section was opened; one at most
        self.generation = 0
        self.detached = 0  # sections that went on without the leadership and have not been handed in yet
        self.at_work = 0  # of these, those that do not merely wait for what is outside
        self.promotions = 0
        self._promoted: set[int] = set()  # generations that lost it to a promotion and are not handed in yet
        self.busy = False  # the leader is not waiting for anything
        self._mine = threading.local()  # the generation that a thread was appointed to last

    def step_aside(self) -> None:
        """One of the detached sections waits for what is outside from now on: it takes nobody's place."""
        with self._lock:
            self.at_work -= 1

    def step_back(self) -> None:
        """One that stepped aside goes on."""
        with self._lock:
            self.at_work += 1

    def step_out(self) -> bool:
        """The section on this thread is about to wait for what only a leader can bring: another thread leads meanwhile.

        Any thread. Returns whether `step_back` is to follow: a thread that never leads only waits.

        Raises:
            InternalError: this thread leads and is in no section; it would wait for itself.
        """
        generation: int = getattr(self._mine, "generation", 0)
        if not generation:
            return False
        if not self.hand_over(generation) and generation == self.generation:
            raise InternalError("the leader was about to wait for itself: this is a bug of the host")
        self.step_aside()
        return True

    def start(self, lead: Callable[[int], None], on_failure: Callable[[BaseException], None]) -> None:
        """Start the first leader and the parked followers.

        `lead(generation)` runs until it has lost the leadership; an exception from it goes to `on_failure`.
        """
        self._lead = lead
        self._on_failure = on_failure
        for _ in range(PARKED_MIN):
            follower = _Follower()
            self._parked.append(follower)
            self._start_thread(follower)
        with self._lock:
            self._appoint()

    def in_section(
        self,
        generation: int,
        opened: float,
        subject: _Subject,
        work: Callable[[_Subject], _Found],
        follow: Callable[[_Subject, _Found], None],
        lost: Callable[[_Subject, bool], None] | None = None,
        detached: bool = False,
        nested: bool = False,
    ) -> bool:
        """Do what may be long; then what follows from it, which is the leader's: here, or by whoever leads by then.

        Every turn comes this way: a call by position, and callables that were bound before, are the cheap ones.

        Args:
            generation: the one that this thread leads.
            opened: when the section began, by the monotonic clock.
            subject: what the section is about, given to all three.
            work: what may be long. It touches nothing of the leader's; what it raises, the leader does.
            follow: what follows from what `work` has returned.
            lost: called at the end where the leadership is gone, with whether the monitor took it.
            detached: give the leadership up at once, for it is known to take long.
            nested: the section is part of one of this thread's that was paused, which hands itself in.

        Returns:
            Whether this thread leads still. False: touch nothing, return from `lead`.
        """
        sections = self._open
        sections[generation] = opened
        if detached:
            self.hand_over(generation)
        try:
            found = work(subject)
        except Exception as error:
            if sections.pop(generation, None) is not None:
                raise
            then: Callable[[], None] = partial(_raise, error)
        else:
            if sections.pop(generation, None) is not None:
                follow(subject, found)
                return True
            then = partial(follow, subject, found)
        if lost is not None:
            with self._lock:
                promoted = generation in self._promoted
            lost(subject, promoted)
        self._post(then if nested else partial(self._hand_in, generation, then))
        return False

    def read(self, generation: int, read: Callable[[], _Found], then: Callable[[_Found], None]) -> bool:
        """Read the disk in a section; `then` is told what was found, as `follow` is. False: the leadership is lost."""
        return self.in_section(generation, time.monotonic(), then, lambda _: read(), lambda then, found: then(found))

    def _hand_in(self, generation: int, follow: Callable[[], None]) -> None:
        """A section that lost the leadership on its way is over (leader)."""
        with self._lock:
            self.detached -= 1
            self.at_work -= 1
            self._promoted.discard(generation)
        follow()

    @property
    def section_open(self) -> bool:
        """True while the leader is in a section."""
        return bool(self._open)

    def pause_section(self, generation: int) -> float | None:
        """Use the leadership in the middle of a section: when it was opened, to resume it with that. Else None.

        The thread in the section, which had no way to know whether it leads still. None: it does not.
        """
        return self._open.pop(generation, None)

    def resume_section(self, generation: int, opened: float) -> None:
        """Go on with the section that was paused; the leader."""
        self._open[generation] = opened

    def hand_over(self, generation: int) -> bool:
        """Give the leadership up before blocking; False if it was gone already. Any thread in a section."""
        with self._lock:
            if self._open.pop(generation, None) is None:
                return False
            self._appoint()
            self.detached += 1
            self.at_work += 1
            return True

    def promote_if_slow(self, now: float, after_s: float, anything_waits: Callable[[], bool]) -> bool:
        """Appoint a new leader when the open section is older than `after_s` and something waits (monitor)."""
        generation = self.generation
        opened = self._open.get(generation)
        if opened is None or now - opened < after_s or not anything_waits():
            return False
        with self._lock:
            if self._open.get(generation) is not opened or self._open.pop(generation, None) is None:
                return False
            self._appoint()
            self.detached += 1
            self.at_work += 1
            self.promotions += 1
            self._promoted.add(generation)
            return True

    def _appoint(self) -> None:
        """Next generation, led by a parked follower or a fresh thread; the lock is held."""
        self.generation += 1
        if self._parked:
            follower = self._parked.pop()
        else:
            follower = _Follower()
            self._start_thread(follower)
        follower.generation = self.generation
        follower.wake.release()

    def _start_thread(self, follower: _Follower) -> None:
        threading.Thread(target=self._follow, args=(follower,), name="holdfast-turns", daemon=True).start()

    def _follow(self, follower: _Follower) -> None:
        try:
            while True:
                follower.wake.acquire()
                self._mine.generation = follower.generation
                self._lead(follower.generation)
                with self._lock:
                    if len(self._parked) >= PARKED_MAX:
                        return
                    self._parked.append(follower)
        except BaseException as error:
            self._on_failure(error)


def _raise(error: Exception) -> None:
    raise error
