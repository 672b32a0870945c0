"""Who is next of many that are due: functions in turn, of each its instances in turn, none with more than its share."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.storage.store import StoredInstance

_Key = TypeVar("_Key")
Waiting = tuple[int, bytes]  # when it is due, and its id


@leaders
class FairQueue:
    """What waits, by function and instance, and how much of each has been let in and is not over yet."""

    def __init__(self, function_max: int, instance_max: int) -> None:
        self._function_max = function_max
        self._instance_max = instance_max
        self._waiting: dict[StoredInstance, deque[Waiting]] = {}
        self._functions: dict[StoredInstance, str] = {}  # of each instance that waits or is busy
        self._busy: dict[StoredInstance, int] = {}
        self._function_busy: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._open: dict[str, dict[StoredInstance, None]] = {}  # instances that may go on, by function, in turn
        self._ready: dict[str, None] = {}  # functions that may, in turn

    def __len__(self) -> int:
        """How many wait."""
        return sum(self._held.values())

    def waiting_of(self, instance: StoredInstance) -> int:
        """How many of an instance wait."""
        return len(self._waiting.get(instance, ()))

    def waiting_of_function(self, function: str) -> int:
        """How many of a function wait."""
        return self._held.get(function, 0)

    def ids_of(self, instance: StoredInstance) -> set[bytes]:
        """The ids of those of an instance that wait."""
        return {id_ for _, id_ in self._waiting.get(instance, ())}

    def add(self, function: str, instance: StoredInstance, waiting: Waiting) -> None:
        """It waits, behind those of its instance."""
        function = self._functions.setdefault(instance, function)
        self._waiting.setdefault(instance, deque()).append(waiting)
        self._held[function] = self._held.get(function, 0) + 1
        self._admit(function, instance)

    def take(self) -> tuple[StoredInstance, Waiting] | None:
        """Let the next one in; None where nothing waits that may. `leave` follows for each."""
        function = next(iter(self._ready), None)
        if function is None:
            return None
        instance = next(iter(self._open[function]))
        waiting = self._waiting[instance].popleft()
        del self._open[function][instance], self._ready[function]
        _count(self._held, function, -1)
        _count(self._busy, instance, 1)
        _count(self._function_busy, function, 1)
        if not self._waiting[instance]:
            del self._waiting[instance]
        self._admit(function, instance)
        return instance, waiting

    def leave(self, instance: StoredInstance) -> None:
        """One that was let in is over."""
        function = self._functions[instance]
        _count(self._busy, instance, -1)
        _count(self._function_busy, function, -1)
        if instance not in self._busy and instance not in self._waiting:
            del self._functions[instance]
        self._admit(function, instance)

    def _admit(self, function: str, instance: StoredInstance) -> None:
        """Put it in line, and its function, behind the others, where each has something and its share is not full."""
        if instance in self._waiting and self._busy.get(instance, 0) < self._instance_max:
            self._open.setdefault(function, {})[instance] = None
        if self._function_busy.get(function, 0) < self._function_max and self._open.get(function):
            self._ready[function] = None
        elif not self._open.get(function):
            self._open.pop(function, None)


def _count(counts: dict[_Key, int], key: _Key, by: int) -> None:
    counts[key] = counts.get(key, 0) + by
    if not counts[key]:
        del counts[key]
