"""The jobs of a store on PostgreSQL: those of an instance from its handle, those of all by a query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.jobs import POOLS, STATES, DueJob, DuePage, FoundJob, Job
from holdfast_host.storage.lmdb.keys import unpack_job
from holdfast_host.storage.postgres.arrays import ints, long, number

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.handles import Handle
    from holdfast_host.storage.postgres.link import Rows
    from holdfast_host.storage.store import StoredInstance

Ask = Callable[[str, Sequence[bytes]], "Rows"]

_PARTITION: Final = 0  # all is one transaction here
_PARKED: Final = STATES.index("parked")
_PAGE_ROWS: Final = 256
_APART_BYTES: Final = 8
_START: Final = (-1, -1, b"")


class PostgresJobs:
    """`StoredJobs` of one worker."""

    def __init__(
        self,
        ask: Ask,
        shards: Sequence[int],
        place: Callable[[int, bytes], StoredInstance],
        loaded: Callable[[StoredInstance], Handle],
    ) -> None:
        """`ask(statement, parameters)` waits for rows; `loaded(instance)` is its handle, read where it was not."""
        self._ask = ask
        self.own(shards)
        self._place = place
        self._loaded = loaded

    def own(self, shards: Sequence[int]) -> None:
        """These are the worker's from now on."""
        self._shards = ints(shards)

    def get(self, instance: StoredInstance, id_: bytes) -> Job | None:
        """One job."""
        return self._loaded(instance).jobs.get(id_)

    def page(
        self, instance: StoredInstance, after: bytes, prefix: bytes, entries_max: int
    ) -> tuple[list[tuple[bytes, Job]], bool]:
        """Jobs of an instance in the order of their ids, and whether that is all."""
        jobs = self._loaded(instance).jobs
        found = sorted(id_ for id_ in jobs if id_ > after and id_.startswith(prefix))
        return [(id_, jobs[id_]) for id_ in found[:entries_max]], len(found) <= entries_max

    def count(self, instance: StoredInstance) -> int:
        """How many an instance has."""
        return len(self._loaded(instance).jobs)

    def due(
        self, pool: str, positions: Mapping[int, tuple[int, int, bytes]], before_us: int, entries_max: int
    ) -> DuePage:
        """Those that are due before a time, from that position on, in due order."""
        due_us, apart, id_ = positions.get(_PARTITION, _START)
        found = self._ask(
            "due_jobs",
            [self._shards, long(POOLS.index(pool)), long(due_us), long(apart), id_, long(before_us),
             long(entries_max + 1)],
        )  # fmt: skip
        page = found[:entries_max]
        rows = [
            DueJob(number(due), self._place(number(type_id), name or b""), id_ or b"")
            for due, _, id_, type_id, name in page
        ]
        is_all = len(found) == len(page)
        last = (before_us, 0, b"") if is_all else (number(page[-1][0]), number(page[-1][1]), page[-1][2] or b"")
        return DuePage(rows, {_PARTITION: last}, is_all)

    def due_of(
        self, instance: StoredInstance, pool: str, before_us: int, but: Collection[bytes], entries_max: int
    ) -> tuple[list[DueJob], bool]:
        """Some of one instance that are due before a time, but for those ids; and whether that is all."""
        jobs = self._loaded(instance).jobs
        found = [
            DueJob(job.due_us, instance, id_)
            for id_, job in sorted(jobs.items(), key=lambda each: each[0])
            if job.is_due_sometime and job.pool == pool and job.due_us < before_us and id_ not in but
        ]
        return found[:entries_max], len(found) <= entries_max

    def parked(self, type_id: int, entries_max: int, but: Container[bytes] = ()) -> list[tuple[StoredInstance, bytes]]:
        """Some parked jobs of a type, without those of the instances of these names."""
        found: list[tuple[StoredInstance, bytes]] = []
        apart, id_ = -1, b""
        while len(found) < entries_max:
            rows = self._list(_PARKED, apart, id_, _PAGE_ROWS)
            for _, each, of_type, name, _ in rows:
                if number(of_type) == type_id and name not in but and len(found) < entries_max:
                    found.append((self._place(type_id, name or b""), each or b""))
            if len(rows) < _PAGE_ROWS:
                break
            apart, id_ = number(rows[-1][0]), rows[-1][1] or b""
        return found

    def listing(self, state: str, after: bytes, entries_max: int) -> tuple[list[FoundJob], bytes | None]:
        """Those in a state, and the position to go on from; None where that is all."""
        apart = int.from_bytes(after[:_APART_BYTES], "big") if after else -1
        rows = self._list(STATES.index(state), apart, after[_APART_BYTES:], entries_max + 1)
        page = rows[:entries_max]
        found = [
            FoundJob(number(type_id), name or b"", id_ or b"", unpack_job(job or b""))
            for _, id_, type_id, name, job in page
        ]
        if len(rows) == len(page):
            return found, None
        return found, number(page[-1][0]).to_bytes(_APART_BYTES, "big") + (page[-1][1] or b"")

    def _list(self, state: int, apart: int, id_: bytes, rows_max: int) -> Rows:
        return self._ask("jobs", [long(state), long(apart), id_, self._shards, long(rows_max)])
