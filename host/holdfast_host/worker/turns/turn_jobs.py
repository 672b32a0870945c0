"""What a guest does with the jobs of its instance: the functions of `wit/jobs.wit` for one turn.

What a guest writes is read and judged here; rows go into the turn's changes.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from holdfast_host.core.errors import BadRequestError
from holdfast_host.worker.turns.job_texts import describe_job, read_by, read_id, read_job

if TYPE_CHECKING:
    from holdfast_host.storage.jobs import Job
    from holdfast_host.worker.turns.turn import Turn
    from holdfast_host.worker.turns.turn_host import TurnHost


class TurnJobs:
    """The jobs of one turn's instance. Made when the turn uses them; its thread's."""

    __slots__ = ("_host", "_turn")

    def __init__(self, turn: Turn, host: TurnHost) -> None:
        self._turn = turn
        self._host = host

    def put(self, job: bytes) -> bytes:
        """Make a job, as `wit/jobs.wit` has it; its id.

        Raises:
            BadRequestError: its component runs none, or the job breaks the contract.
            LimitError: there are too many, or it is too large.
        """
        return self._turn.storage.put_job(self.read(job)).hex().encode()

    def read(self, job: bytes) -> Job:
        """The job that is to be made; refused as `put` does."""
        turn, loaded, label = self._turn, self._turn.loaded, self._turn.entry.label
        if loaded is None or not loaded.runs_jobs:
            raise BadRequestError(f"{label}: its component exports no `job`, which runs jobs: none can be made")
        return read_job(job, turn.clock_us(), self._host.limits, label, partial(self._host.aim, turn))

    def list(self, after: bytes, limit: int) -> bytes:
        """A page of the instance's jobs; BadRequestError where there is no such page."""
        storage, label, entries_max = self._turn.storage, self._turn.entry.label, self._host.limits.page_entries_max
        if not 1 <= limit <= entries_max:
            raise BadRequestError(f"{label}: a list of {limit} jobs: 1 to {entries_max} are allowed")
        start = read_id(after.decode()) if after else b""
        if start is None:
            raise BadRequestError(f"{label}: a list of jobs goes on after an id, or an empty text")
        page, is_all = storage.list_jobs(start, limit)
        facts = {"jobs": [describe_job(*each) for each in page], "next": "" if is_all else page[-1][0].hex()}
        return json.dumps(facts, separators=(",", ":")).encode()

    def cancel(self, by: bytes) -> bool:
        """Remove a job, by id or key; whether there was one."""
        id_, key = read_by(by, self._turn.entry.label)
        storage = self._turn.storage
        return storage.cancel_job_of_key(key) if key else storage.cancel_job(id_)
