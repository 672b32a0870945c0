"""The jobs of a turn's instance, as the turn sees them: its own changes over those of earlier turns, over the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.errors import LimitError
from holdfast_host.storage.jobs import id_prefix, new_id
from holdfast_host.storage.turn_changes import TurnChanges
from holdfast_host.storage.unflushed import read_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.store import Changes, Store, StoredInstance

_OF_ONE_KEY = 16  # jobs whose ids begin alike: one, but for keys whose hashes meet
_ROW_BYTES_MIN = 65  # of a job, as it is counted


class TurnJobs(TurnChanges):
    """The part of an Overlay that knows jobs. Used by one thread at a time."""

    __slots__ = ("_instance", "_jobs_left", "_store", "_taken", "_taken_next")

    _store: Store
    _instance: StoredInstance
    # What this turn handles: None nothing, b"" the alarm, else the job of this id. It is seen to when the turn ends.
    _taken: bytes | None
    _taken_next: Job | None  # what a job that is handled is from then on
    _jobs_left: int | None  # how many more the instance may surely have; None: they are to be counted

    def put_job(self, job: Job) -> bytes:
        """Leave a job to the host; its id. One of the same key is replaced, unless it says just the same.

        Raises:
            LimitError: it is too large, the turn has made too many, or the instance has; the earlier one stays.
        """
        self.check_job_size(job)
        size_bytes = job.size_bytes
        earlier = self._job_of_key(job.key) if job.key else None
        if earlier is not None:
            id_, found = earlier
            if job.repeats and found.facts == job.facts and found.kind == job.kind and found.state != "abandoned":
                return id_
        self._check_jobs(size_bytes, earlier[0] if earlier is not None else b"")
        if earlier is not None:
            self._remove_job(earlier[0])
        id_ = new_id(job.key)
        self._write_job(id_, job)
        return id_

    def check_job_size(self, job: Job) -> None:
        """LimitError where a job that is to be made is too large."""
        size_bytes, limit = job.size_bytes, self._limits.job_bytes_max
        if size_bytes > limit:
            raise LimitError(f"a job of {size_bytes} bytes exceeds the limit of {limit} bytes ({self._label})")

    def cancel_job(self, id_: bytes) -> bool:
        """Take a job away; whether it was there."""
        if self.job(id_) is None:
            return False
        self._remove_job(id_)
        return True

    def cancel_job_of_key(self, key: str) -> bool:
        """Take the job of a key away; whether there was one."""
        earlier = self._job_of_key(key)
        if earlier is not None:
            self._remove_job(earlier[0])
        return earlier is not None

    def job(self, id_: bytes) -> Job | None:
        """One job, as the turn sees it."""
        for changes in (self._top, *reversed(self._below)):
            if changes.jobs is not None and id_ in changes.jobs:
                return changes.jobs[id_]
            if changes.erased:
                return None
        if self._taken and id_ == self._taken:
            return self._taken_next
        return read_job(self._store, self._instance, self._pending, id_)

    def list_jobs(self, after: bytes, entries_max: int) -> tuple[list[tuple[bytes, Job]], bool]:
        """Jobs in the order of their ids, and whether that is all."""
        changed, erased = self._changed_jobs()
        found: list[tuple[bytes, Job]] = []
        while True:
            stored, done = ([], True) if erased else self._store.jobs.page(self._instance, after, b"", entries_max)
            last = b"" if done else stored[-1][0]
            page: dict[bytes, Job | None] = dict(stored)
            page |= {id_: job for id_, job in changed.items() if id_ > after and (done or id_ <= last)}
            found += [(id_, job) for id_, job in sorted(page.items()) if job is not None]
            if len(found) > entries_max:
                return found[:entries_max], False
            if done:
                return found, True
            after = last

    def take_job(self, id_: bytes, following: Job | None) -> None:
        """Begin to handle a job: for the turn it is what it will be afterwards, None for gone; `take` commits that.

        `take_early` leaves it as it is, unless the turn has replaced or cancelled it by then.
        """
        self._taken, self._taken_next = id_, following

    def write_job(self, id_: bytes, job: Job | None) -> None:
        """What the host itself has to say of a job."""
        self._write_job(id_, job)

    def rollback(self) -> None:
        """Undo what was written since the last savepoint."""
        super().rollback()
        self._jobs_left = None

    # Inside

    def _remove_job(self, id_: bytes) -> None:
        """One that is there goes."""
        self._write_job(id_, None)
        if self._jobs_left is not None:
            self._jobs_left += 1

    def _finish_taken(self, changes: Changes, taken: bytes) -> None:
        """The turn has handled the job: so it is from then on, where the turn itself has said nothing."""
        if changes.jobs is None or taken not in changes.jobs:
            changes.jobs = {**(changes.jobs or {}), taken: self._taken_next}

    def _write_job(self, id_: bytes, job: Job | None) -> None:
        top = self._top
        if top.jobs is None:
            top.jobs = {}
        old = top.jobs.get(id_)
        if job is not None:
            top.size_bytes += job.size_bytes
        if old is not None:
            top.size_bytes -= old.size_bytes
        top.jobs[id_] = job
        self.wrote = True

    def _job_of_key(self, key: str) -> tuple[bytes, Job] | None:
        prefix = id_prefix(key)
        changed, erased = self._changed_jobs()
        found: dict[bytes, Job | None] = {id_: job for id_, job in changed.items() if id_.startswith(prefix)}
        if not erased:
            stored, _ = self._store.jobs.page(self._instance, b"", prefix, _OF_ONE_KEY + len(found))
            found = {**dict(stored), **found}
        return next(((id_, job) for id_, job in found.items() if job is not None and job.key == key), None)

    def _changed_jobs(self) -> tuple[Mapping[bytes, Job | None], bool]:
        """What is not in the store yet, by id; and whether nothing of what is there counts."""
        merged: dict[bytes, Job | None] = {}
        erased = False
        for layer in self._pending.layers:
            erased = _add_jobs(merged, layer.changes) or erased
        if self._taken:
            merged[self._taken] = self._taken_next
        for changes in (*self._below, self._top):
            erased = _add_jobs(merged, changes) or erased
        return merged, erased

    def _check_jobs(self, size_bytes: int, replaced: bytes) -> None:
        """Refuse one more of so many bytes, which takes the place of that one, where it says one."""
        limits = self._limits
        own = [changes.jobs for changes in (*self._below, self._top) if changes.jobs is not None]
        made = sum(job is not None and id_ != replaced for jobs in own for id_, job in jobs.items())
        if made >= limits.turn_jobs_max:
            raise LimitError(
                f"making {made + 1} jobs in one turn exceeds the limit of {limits.turn_jobs_max} ({self._label})"
            )
        written = self._below_bytes + self._top.size_bytes + size_bytes
        if written > limits.turn_write_bytes_max:
            raise LimitError(
                f"writing {written} bytes in one turn exceeds the limit of {limits.turn_write_bytes_max} bytes "
                f"(a job, {self._label})"
            )
        if self._jobs_left is not None and self._jobs_left + (replaced != b"") > 0:
            self._jobs_left -= 1
            return
        pending_bytes = self._pending.size_bytes + self._below_bytes + self._top.size_bytes
        # What is counted apart bounds their number; to count them takes long where there are many.
        if (self._instance.apart_bytes + pending_bytes) // _ROW_BYTES_MIN < limits.instance_jobs_max:
            return
        changed, erased = self._changed_jobs()
        jobs = self._store.jobs
        count = 0 if erased else jobs.count(self._instance)
        for id_, job in changed.items():
            was_there = not erased and jobs.get(self._instance, id_) is not None
            count += (job is not None) - was_there
        count -= replaced != b""
        if count >= limits.instance_jobs_max:
            raise LimitError(
                f"one more than {count} jobs of an instance exceeds the limit of {limits.instance_jobs_max} "
                f"({self._label})"
            )
        self._jobs_left = limits.instance_jobs_max - count - 1 - (replaced != b"")


def _add_jobs(merged: dict[bytes, Job | None], changes: Changes) -> bool:
    """Add what a layer says; whether it has taken all that was there before."""
    if changes.erased:
        merged.clear()
    if changes.jobs is not None:
        merged.update(changes.jobs)
    return changes.erased
