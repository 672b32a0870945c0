"""The shards of a worker's seat while it runs: it is given some, and gives some away.

A shard is served only after it was read, on the worker's own connection, that its seat owns it; what is held of it is
bound to the epoch that was read then. It is given away in one statement on that connection, after everything of it is
settled, which takes the fence: behind whoever has given the seat another life it finds none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, cast

from holdfast_host.core.ids import shard_of
from holdfast_host.storage.postgres.arrays import ints, long, number
from holdfast_host.storage.postgres.handles import Handle

if TYPE_CHECKING:
    import threading
    from collections.abc import MutableMapping

    from holdfast_host.storage.postgres.jobs import PostgresJobs
    from holdfast_host.storage.postgres.link import Link, Rows
    from holdfast_host.storage.postgres.owning import Seat
    from holdfast_host.storage.postgres.sweeping import Sweeping
    from holdfast_host.storage.store import StoredInstance

_PARTITION: Final = 0

Given = Callable[[Collection[int]], None]


class OwnedShards(ABC):
    """That part of a store; the leader's, but for `place` and `owns`."""

    jobs: PostgresJobs
    _link: Link
    _seat: Seat
    _host: str
    _group: int
    _sweeping: Sweeping
    _placed: MutableMapping[tuple[int, bytes], Handle]
    _placing: threading.Lock
    _owned: Sequence[int]
    _shards: bytes

    def _own(self, shards: Sequence[int]) -> None:
        """What lists and timetables are about from now on."""
        self._owned = list(shards)
        self._shards = ints(shards)
        self._epochs = {shard: epoch for shard, (epoch, _) in self._seat.reached.items()}

    @abstractmethod
    def look_up(self, instance: StoredInstance) -> None:
        """Load it."""

    def place(self, type_id: int, name: bytes) -> StoredInstance:
        """The instance's place, which may have to be looked up yet; reads and writes nothing."""
        with self._placing:
            handle = self._placed.get((type_id, name))
            if handle is None or handle.epoch != self._epochs.get(handle.shard, 0):
                shard = shard_of(type_id, name)
                epoch = self._epochs.get(shard, 0)
                handle = self._placed[type_id, name] = Handle(_PARTITION, type_id, name, shard=shard, epoch=epoch)
            return handle

    def owns(self, instance: StoredInstance) -> bool:
        """Whether a turn of it may begin: its shard is the worker's, and has been since it was placed."""
        handle = cast("Handle", instance)
        return handle.epoch != 0 and self._epochs.get(handle.shard) == handle.epoch

    def shard_of(self, instance: StoredInstance) -> int:
        """Where the instance lies."""
        return cast("Handle", instance).shard

    def owned(self) -> Collection[int]:
        """What the seat owns, as far as is known."""
        return self._seat.reached

    def read_owned(self, told: Callable[[dict[int, tuple[int, int]]], None]) -> None:
        """Ask what the seat owns now; `told` has what is new of it: shards with their epochs and groups."""

        def found(rows: Rows) -> None:
            owned = {number(shard): (number(epoch), number(group)) for shard, epoch, group in rows}
            told({shard: each for shard, each in owned.items() if shard not in self._seat.reached})

        self._link.send("owned", [long(self._seat.seat), long(self._seat.life)], found)

    def acquire(self, shards: dict[int, tuple[int, int]]) -> None:
        """Serve these from now on; the next group's number is above all that they have reached."""
        self._seat.reached.update(shards)
        self._follow_shards()

    def withhold(self, shards: Collection[int]) -> None:
        """No turn of these begins any more."""
        self._epochs = {shard: epoch for shard, epoch in self._epochs.items() if shard not in shards}
        self._sweeping.own(sorted(self._epochs))

    def keep(self, shards: Collection[int]) -> None:
        """They are served again."""
        self._epochs |= {shard: epoch for shard, (epoch, _) in self._seat.reached.items() if shard in shards}
        self._sweeping.own(sorted(self._epochs))

    def give(self, shards: Collection[int], worker: int, told: Given) -> None:
        """Give these, of which everything is settled, to another worker of the host; `told` has those that are its now.

        The others stay: the worker's host is not there, or a socket is open in them.
        """

        def given(rows: Rows) -> None:
            gone = {number(shard) for (shard,) in rows}
            for shard in gone:
                del self._seat.reached[shard]
            self._follow_shards()
            told(gone)

        seat, host = self._seat, self._host.encode()
        parameters = [long(seat.seat), long(seat.life), long(self._group), host, long(worker), ints(sorted(shards))]
        self._link.send("give", parameters, given, lambda refusal: told(()))

    def _follow_shards(self) -> None:
        shards = sorted(self._seat.reached)
        with self._placing:
            self._own(shards)
            for key in [key for key, each in self._placed.items() if each.epoch != self._epochs.get(each.shard, 0)]:
                self._placed.pop(key, None)
        self._sweeping.own(shards)
        self.jobs.own(shards)
