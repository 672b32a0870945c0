"""Leader and followers: many threads, one of which leads.

The leader is the only thread that touches the worker's tables. A *section* is a stretch of its time that may be long: a
turn, a commit. When a section is too long and something waits, the monitor gives the leadership to a parked follower;
the thread in the section finds out at its end and hands its result in instead of using it. The generation counts
leaderships; a thread leads as long as its generation is the current one.

An open section stands in a table under its generation. The thread in it takes it out to end it, the monitor to give the
leadership away; a dictionary lets one of them have it, so that no section costs a lock.

No word here says turn, commit or socket. The lock is held for a microsecond and never across a wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

PARKED_MIN: Final = 2  # waking a parked thread takes 39 us, starting a fresh one 119
PARKED_MAX: Final = 8


class _Follower:
    """A thread that waits for a leadership; `wake` is held while it waits."""

    __slots__ = ("generation", "wake")

    def __init__(self) -> None:
        self.generation = 0
        self.wake = threading.Lock()
        self.wake.acquire()


class Leadership:
    """The generation, the open section and the parked followers of one worker; lives as long as the process."""

    def __init__(self, lead: Callable[[int], None], on_failure: Callable[[BaseException], None]) -> None:
        """`lead(generation)` runs until it has lost the leadership; an exception from it goes to `on_failure`."""
        self._lead = lead
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._parked: list[_Follower] = []
        self._open: dict[int, float] = {}  # by generation, when its section was opened; one at most
        self.generation = 0
        self.detached = 0  # sections that went on without the leadership and have not been handed in yet
        self.promotions = 0
        self._promoted: set[int] = set()  # generations that lost it to a promotion and are not handed in yet
        self.busy = False  # the leader is not waiting for anything

    def start(self) -> None:
        """Start the first leader and the parked followers."""
        for _ in range(PARKED_MIN):
            follower = _Follower()
            self._parked.append(follower)
            self._start_thread(follower)
        with self._lock:
            self._appoint()

    def open_section(self, now: float) -> None:
        """Begin a stretch that may be long (leader)."""
        self._open[self.generation] = now

    @property
    def section_open(self) -> bool:
        """True while the leader is in a section."""
        return bool(self._open)

    def close_section(self, generation: int) -> bool:
        """End it. True: still the leader. False: hand the result in, touch nothing, return from `lead`."""
        return self._open.pop(generation, None) is not None

    def pause_section(self, generation: int) -> float | None:
        """Use the leadership in the middle of a section: when it was opened, to open it again with that. Else None.

        The thread in the section, which had no way to know whether it leads still. None: it does not.
        """
        return self._open.pop(generation, None)

    def hand_over(self, generation: int) -> bool:
        """Give the leadership up before blocking; False if it was gone already. Any thread in a section."""
        with self._lock:
            if self._open.pop(generation, None) is None:
                return False
            self._appoint()
            self.detached += 1
            return True

    def was_promoted(self, generation: int) -> bool:
        """Whether the monitor took the lead from this section, which has ended and is not handed in yet. Any thread."""
        with self._lock:
            return generation in self._promoted

    def handed_in(self, generation: int) -> None:
        """A detached section's result has reached the leader."""
        with self._lock:
            self.detached -= 1
            self._promoted.discard(generation)

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
                self._lead(follower.generation)
                with self._lock:
                    if len(self._parked) >= PARKED_MAX:
                        return
                    self._parked.append(follower)
        except BaseException as error:
            self._on_failure(error)
