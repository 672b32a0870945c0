"""Jobs as they are stored: what an instance has left to the host, and what a store answers about them.

A job's id says what it belongs to: its first half is that of its key's hash, or a random one that no key has. So the
job of a key is found by a prefix; the second half is random always, so that an id is never used twice: it is the
idempotency key under which the host calls and asks outside.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping

    from holdfast_host.storage.store import StoredInstance

ID_BYTES: Final = 16
_HALF_BYTES: Final = 8
_COUNTED_BYTES: Final = 65  # its id, and what its row has before texts
_UNKEYED: Final = 0x80  # the first bit: no key's hash has it

KINDS: Final = ("run", "call", "http")
# A pool is what under way stands side by side with: "run" are the turns that a job needs, `then` among them.
POOLS: Final = ("run", "call", "http")
STATES: Final = ("armed", "retrying", "waiting", "abandoned", "parked")
DUE_STATES: Final = frozenset({"armed", "retrying", "waiting"})


def id_prefix(key: str) -> bytes:
    """What the ids of all jobs of that key begin with; those of another one hardly ever do."""
    first = blake2b(key.encode(), digest_size=_HALF_BYTES).digest()
    return bytes((first[0] & ~_UNKEYED,)) + first[1:]


def new_id(key: str) -> bytes:
    """An id that no job had; `key` may be empty."""
    if key:
        return id_prefix(key) + secrets.token_bytes(_HALF_BYTES)
    first = secrets.token_bytes(ID_BYTES)
    return bytes((first[0] | _UNKEYED,)) + first[1:]


@dataclass(slots=True)
class Job:
    """One job of an instance. It is replaced as a whole, never changed in place."""

    kind: str
    due_us: int  # Unix time in microseconds
    scheduled_us: int = 0  # what was asked for; `due_us` moves with retries
    state: str = "armed"  # waiting: its outcome is there, and `then` is to run
    key: str = ""
    facts: bytes = b"{}"  # what is to be done, as the worker's jobs read it
    tries: int = 0  # calls and requests that have failed
    retry_count: int = 0  # turns of its own instance that have failed: runs, and `then`
    tried_us: int = 0  # of a call, the least the wall clock said when it was tried; 0: it never was
    begun: bool = False  # an attempt has begun whose end is not recorded: if its worker is gone, it died in it
    killed: bool = False  # the last attempt ended with its worker's death
    unknown: bool = False  # nobody can know whether it took effect
    last_error: str = ""
    outcome: bytes = b""  # what `then` gets, once that has failed to run
    pieces: int = 0  # of a request whose answer streams: how many of it are published, of this try,
    again: bool = False  # and that some of an earlier try are, which begins anew

    repeats: bool = field(default=False, compare=False)  # a cron; what is stored says so in its facts

    def broken_off(self) -> Job:
        """The same, where what is published of its answer will come again."""
        return replace(self, pieces=0, again=self.again or self.pieces > 0)

    @property
    def size_bytes(self) -> int:
        """What it counts towards the room of its instance."""
        texts = len(self.key.encode()) + len(self.last_error.encode("utf-8", "replace"))
        return _COUNTED_BYTES + texts + len(self.facts) + len(self.outcome)

    @property
    def is_due_sometime(self) -> bool:
        """Whether it waits for its time."""
        return self.state in DUE_STATES

    @property
    def pool(self) -> str:
        """Which pool takes it up when it is due."""
        return "run" if self.state == "waiting" else self.kind


class DueJob(NamedTuple):
    """A job that waits for its time."""

    due_us: int
    stored: StoredInstance
    id: bytes


class DuePage(NamedTuple):
    """Jobs of a pool that are due soon."""

    rows: list[DueJob]
    positions: dict[int, tuple[int, int, bytes]]  # up to which it was read, by partition: due time, number, id
    is_all: bool  # of those that are due before the time asked for


class FoundJob(NamedTuple):
    """A job and whose it is."""

    type_id: int
    name: bytes
    id: bytes
    job: Job


class StoredJobs(Protocol):
    """The jobs of a store, as of the last commit. Any thread; each call is one short read or a few."""

    def get(self, instance: StoredInstance, id_: bytes) -> Job | None:
        """One job."""

    def page(
        self, instance: StoredInstance, after: bytes, prefix: bytes, entries_max: int
    ) -> tuple[list[tuple[bytes, Job]], bool]:
        """Jobs of an instance in the order of their ids, and whether that is all; both bounds may be empty."""

    def count(self, instance: StoredInstance) -> int:
        """How many an instance has."""

    def due(
        self, pool: str, positions: Mapping[int, tuple[int, int, bytes]], before_us: int, entries_max: int
    ) -> DuePage:
        """Those that are due before a time, from those positions on, about so many a partition, in due order there."""

    def due_of(
        self, instance: StoredInstance, pool: str, before_us: int, but: Collection[bytes], entries_max: int
    ) -> tuple[list[DueJob], bool]:
        """Some of one instance that are due before a time, but for those ids; and whether that is all."""

    def parked(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[tuple[StoredInstance, bytes]]:
        """Some parked jobs of a type, without those of the instances of these names."""

    def listing(self, state: str, after: bytes, entries_max: int) -> tuple[list[FoundJob], bytes | None]:
        """Those in a state, and the position to go on from, None where that is all; as `Store.alarm_page`."""
