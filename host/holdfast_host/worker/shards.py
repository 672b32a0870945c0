"""The shards of a worker while it runs: taking on what its seat was given, and giving some away.

Only over a store that several share. What is given is settled first: its mail is run, while calls that come are told to
go elsewhere (`wire.calls.moved`); a shard where something is not over in time stays, and so does one with open sockets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.worker.commits.confirming_gate import ConfirmingGate
    from holdfast_host.worker.commits.sweeper import Sweeper
    from holdfast_host.worker.jobs.timers import Timers
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry

GIVE_S: Final = 5.0  # for what runs on in a shard that is to be given away
LOOK_S: Final = 0.05


@runtime_checkable
class SharedStore(Protocol):
    """A store of which others have the rest: `storage.postgres.shards`."""

    def owns(self, instance: StoredInstance) -> bool:
        """Whether a turn of it may begin."""

    def shard_of(self, instance: StoredInstance) -> int:
        """Where the instance lies."""

    def owned(self) -> Collection[int]:
        """What the seat owns, as far as is known."""

    def read_owned(self, told: Callable[[dict[int, tuple[int, int]]], None]) -> None:
        """Ask what it owns beside that: shards with their epochs and groups."""

    def acquire(self, shards: dict[int, tuple[int, int]]) -> None:
        """Serve these."""

    def withhold(self, shards: Collection[int]) -> None:
        """No turn of these begins any more."""

    def keep(self, shards: Collection[int]) -> None:
        """They are served again."""

    def give(self, shards: Collection[int], worker: int, told: Callable[[Collection[int]], None]) -> None:
        """Give them to another worker; `told` has those that are its now."""


@dataclass(eq=False, slots=True)
class _Giving:
    """What is on its way to another worker."""

    shards: frozenset[int]
    worker: int
    told: Callable[[Collection[int]], None]
    until: float
    is_sent: bool = False


@leaders
@dataclass(eq=False, kw_only=True)
class Shards:
    """Those of one worker; asked for one thing at a time."""

    store: SharedStore
    gate: ConfirmingGate
    directory: Directory
    deployments: Deployments
    timers: Timers
    sweeper: Sweeper
    _giving: _Giving | None = field(default=None, init=False)

    def acquire(self, told: Callable[[], None]) -> None:
        """Serve what the seat has been given since; `told()` once that is so."""

        def found(shards: dict[int, tuple[int, int]]) -> None:
            reached = max((group for _, group in shards.values()), default=0)
            self.gate.pass_group(reached, lambda: serve(shards))

        def serve(shards: dict[int, tuple[int, int]]) -> None:
            if shards:
                self.store.acquire(shards)
                self.timers.read_anew()
                self.timers.take_up_parked(self.deployments.type_names())
            told()

        self.store.read_owned(found)

    def give(self, shards: Collection[int], worker: int, told: Callable[[Collection[int]], None]) -> None:
        """Give these to another worker; `told(those that have gone)` once that is known."""
        mine = frozenset(shards).intersection(self.store.owned())
        if self._giving is not None or not mine:
            told(())
            return
        self.store.withhold(mine)
        self._giving = _Giving(mine, worker, told, time.monotonic() + GIVE_S)

    def keep_house(self, now: float) -> float:
        """Go on with what is given away; when to look again."""
        giving = self._giving
        if giving is None or giving.is_sent:
            return now + GIVE_S
        busy = self._busy(giving.shards)
        if busy and now < giving.until:
            return now + LOOK_S
        ready = giving.shards - busy
        if not ready:
            self._end(giving, ())
            return now + GIVE_S
        self.timers.held = True  # what was taken before is among the busy
        if not self.timers.is_reading and not self.sweeper.running:
            giving.is_sent = True
            self.store.give(ready, giving.worker, lambda gone: self._end(giving, gone))
        return now + LOOK_S

    def _end(self, giving: _Giving, gone: Collection[int]) -> None:
        self._giving = None
        for entry in [each for each in self.directory.all() if self._is_in(each.stored, gone)]:
            self.directory.forget(entry)
        if gone:
            self.timers.forget(lambda instance: self._is_in(instance, gone))
        self.store.keep(giving.shards.difference(gone))
        self.timers.resume()
        giving.told(gone)

    def _busy(self, shards: Collection[int]) -> set[int]:
        """Those of them in which something is not over."""
        settled = self.gate.settled
        entries = [each.stored for each in self.directory.all() if _is_busy(each, settled)]
        found = {self.store.shard_of(each) for each in (*entries, *self.timers.under_way())}
        return found.intersection(shards)

    def _is_in(self, instance: StoredInstance, shards: Collection[int]) -> bool:
        return self.store.shard_of(instance) in shards


def _is_busy(entry: Entry, settled: int) -> bool:
    return not entry.is_idle(settled) or bool(entry.pending)
