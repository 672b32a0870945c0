"""The routing table: which worker owns a shard. Data that the supervisor writes and everybody reads."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_host.core.ids import shard_of
from holdfast_host.core.limits import SHARDS


@dataclass(frozen=True, slots=True)
class Routing:
    """`owners[shard]` is an index into `addresses`, the paths of the workers' listening sockets."""

    partitions: int
    addresses: tuple[str, ...]
    owners: tuple[int, ...]

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
