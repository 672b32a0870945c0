"""Compute slots: turns that compute for long share the cores in slices, fairly.

A turn that is still computing after its first slice needs a slot. There are fewer slots than cores, so that the leader
always finds one. At the end of each slice a turn passes its slot on to the next in line: round robin by function, then
by instance.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque


class _Waiter:
    __slots__ = ("granted", "wake")

    def __init__(self) -> None:
        self.granted = False
        self.wake = threading.Lock()
        self.wake.acquire()


class ComputeSlots:
    """A fixed number of slots and who waits for one; any thread."""

    def __init__(self, slots: int) -> None:
        self._lock = threading.Lock()
        self._slots = self._free = slots
        self._lines: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    def enter(self, function: str, timeout_s: float) -> bool:
        """Wait for a slot. False: the time is over and no slot is held."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            waiter = self._line_up(function)
        return self._wait(function, waiter, timeout_s)

    def pass_on(self, function: str, timeout_s: float) -> bool:
        """Give the held slot to the next in line, if any, and wait for another. False: no slot is held any more."""
        with self._lock:
            if not self._lines:
                return True
            waiter = self._line_up(function)
            self._grant_next()
        return self._wait(function, waiter, timeout_s)

    def leave(self) -> None:
        """Give the held slot back."""
        with self._lock:
            if self._lines:
                self._grant_next()
            else:
                self._free += 1

    def occupancy(self) -> dict[str, int]:
        """How many slots there are, how many nobody holds, and how many turns wait for one; any thread."""
        with self._lock:
            return {"slots": self._slots, "free": self._free, "waiting": sum(map(len, self._lines.values()))}

    def _line_up(self, function: str) -> _Waiter:
        waiter = _Waiter()
        self._lines.setdefault(function, deque()).append(waiter)
        return waiter

    def _grant_next(self) -> None:
        function, line = next(iter(self._lines.items()))
        waiter = line.popleft()
        if line:
            self._lines.move_to_end(function)
        else:
            del self._lines[function]
        waiter.granted = True
        waiter.wake.release()

    def _wait(self, function: str, waiter: _Waiter, timeout_s: float) -> bool:
        if waiter.wake.acquire(timeout=max(0.0, timeout_s)):
            return True
        with self._lock:
            if waiter.granted:  # granted while the time ran out: give it to the next
                if self._lines:
                    self._grant_next()
                else:
                    self._free += 1
                return False
            line = self._lines[function]
            line.remove(waiter)
            if not line:
                del self._lines[function]
            return False
