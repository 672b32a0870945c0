"""The routing table: which worker owns a shard. Data that the supervisor writes and everybody reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.ids import shard_of
from holdfast_host.core.limits import SHARDS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Routing:
    """`owners[shard]` is an index into `addresses`, the paths of the workers' listening sockets."""

    partitions: int
    addresses: tuple[str, ...]
    owners: tuple[int, ...]
    number: int = 0  # of the table: a later one has a higher number

    @classmethod
    def over(cls, partitions: int, addresses: list[str]) -> Routing:
        """Shard s lies in partition s mod P, partition p with worker p mod N."""
        workers = len(addresses)
        owners = tuple((shard % partitions) % workers for shard in range(SHARDS))
        return cls(partitions, tuple(addresses), owners)

    def partitions_of(self, worker: int) -> list[int]:
        """The partitions that this worker opens."""
        return sorted({shard % self.partitions for shard in range(SHARDS) if self.owners[shard] == worker})

    def place(self, type_id: int, name: bytes) -> tuple[int, int]:
        """The worker that owns an instance, and the partition in which it lies; on every call's way."""
        shard = shard_of(type_id, name)
        return self.owners[shard], shard % self.partitions

    def given(self, owners: Mapping[int, int]) -> Routing:
        """The next table: these shards have other owners."""
        now = tuple(owners.get(shard, owner) for shard, owner in enumerate(self.owners))
        return replace(self, owners=now, number=self.number + 1)


class Routes(Protocol):
    """A table, or the book that has the one that holds now."""

    @property
    def partitions(self) -> int:
        """How many there are."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the workers' sockets."""

    @property
    def owners(self) -> tuple[int, ...]:
        """Of each shard."""

    def partitions_of(self, worker: int) -> list[int]:
        """Those of a worker."""

    def place(self, type_id: int, name: bytes) -> tuple[int, int]:
        """The owner of an instance, and its partition."""


class RouteBook:
    """The table that holds now: who was given the book at a start finds each next one in it."""

    __slots__ = ("_count", "_owners", "_table")

    def __init__(self, table: Routing) -> None:
        self._table = table
        self._owners, self._count = table.owners, table.partitions

    def take(self, table: Routing) -> bool:
        """Another table; whether it is a later one: an earlier one is late, and passed over."""
        if table.number <= self._table.number:
            return False
        self._table, self._owners = table, table.owners
        return True

    @property
    def table(self) -> Routing:
        """The one that holds now."""
        return self._table

    @property
    def partitions(self) -> int:
        """How many there are."""
        return self._count

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the workers' sockets."""
        return self._table.addresses

    @property
    def owners(self) -> tuple[int, ...]:
        """Of each shard."""
        return self._owners

    def partitions_of(self, worker: int) -> list[int]:
        """Those of a worker."""
        return self._table.partitions_of(worker)

    def place(self, type_id: int, name: bytes) -> tuple[int, int]:
        """The worker that owns an instance, and the partition in which it lies; on every call's way."""
        shard = shard_of(type_id, name)
        return self._owners[shard], shard % self._count
