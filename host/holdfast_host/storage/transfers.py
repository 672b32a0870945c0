"""Instances on their way out of a store, and into one: what an export reads, and what an import writes.

An import may be larger than any turn, and nobody ever sees an instance that is half imported. So what it brings lies
beside the instance, as long as it comes, and belongs to nobody; then one turn adopts it, in one commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.store import Alarm


class Staging(NamedTuple):
    """A piece of an import, as a turn commits it: rows to lie beside the instance; or, without any, its end.

    Where it `adopts`, the instance has nothing from then on but what the import has brought.
    """

    id: str
    rows: dict[bytes, bytes]
    adopts: bool = False


class ExportedInstance(NamedTuple):
    """An instance; what it has follows."""

    name: bytes
    live_bytes: int


class ExportedKey(NamedTuple):
    """One of its keys, in their order."""

    key: bytes
    value: bytes


class ExportedAlarm(NamedTuple):
    """Its alarm; only in an export of one instance."""

    alarm: Alarm


class ExportedJob(NamedTuple):
    """One of its jobs, in the order of their ids; only in an export of one instance."""

    id: bytes
    job: Job


ExportRow = ExportedInstance | ExportedKey | ExportedAlarm | ExportedJob


class Export(Protocol):
    """What was committed at one moment, while others go on writing. Any thread, one at a time."""

    def step(self, bytes_max: int, longest_s: float) -> list[ExportRow]:
        """The next rows, at least one, about so many bytes, read for about so long; none where that was all.

        Raises:
            StoreBrokenError: the store cannot be read.
        """

    def close(self) -> None:
        """Let go of what it holds; may be called twice."""
