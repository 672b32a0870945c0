"""`holdfast:actor/jobs`, for the turns of one host: jobs are writes of the turn, and have its limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from holdfast.testing._failures import RefusedError
from holdfast.testing._jobs.cron import next_after
from holdfast.testing._jobs.rows import StoredJob, dumps, new_id
from holdfast.testing._limits import Limits
from holdfast.testing._overlay import Overlay
from holdfast.testing._records import bytes_of
from holdfast.testing._sandbox import served
from holdfast.testing._turn import Turn

_AHEAD_US_MAX: Final = 10 * 366 * 86_400 * 1_000_000

Check = Callable[[str, str, str], object]


class MadeJobs:
    """The import."""

    def __init__(
        self, running: Callable[[], Turn], check_target: Check, now_us: Callable[[], int], limits: Limits
    ) -> None:
        """`check_target` refuses a binding and name, of whom an instance's label says, that lead nowhere."""
        self._running = running
        self._check_target = check_target
        self._now_us = now_us
        self._limits = limits

    @served
    def put(self, job: str) -> str:
        """Make one; its id."""
        turn, overlay = self._entered()
        limit, size = self._limits.job_bytes_max, bytes_of(job)
        if size > limit:
            text = f"a job of {size} bytes exceeds the limit of {limit} bytes ({turn.label})"
            raise RefusedError("LimitError", text)
        wanted: dict[str, Any] = json.loads(job)
        if wanted["kind"] == "call":
            self._check_target(turn.label, wanted["binding"], wanted["name"])
        due_us = self._due_us(turn.label, wanted)
        key = wanted.get("key", "")
        earlier = _of_key(overlay, key)
        if earlier is not None and earlier.says_the_same(wanted):
            return earlier.id
        self._check_number(turn.label, overlay, "" if earlier is None else earlier.id)
        if earlier is not None:
            overlay.write_job(earlier.id, None)
        made = StoredJob(new_id(key), wanted, due_us, due_us)
        overlay.write_job(made.id, made)
        return made.id

    @served
    def list(self, after: str, limit: int) -> str:
        """A page of them."""
        _, overlay = self._entered()
        jobs = [job for id_, job in sorted(overlay.jobs().items()) if id_ > after]
        page = jobs[:limit]
        return dumps({"jobs": [job.facts() for job in page], "next": page[-1].id if len(jobs) > limit else ""})

    @served
    def cancel(self, by: str) -> bool:
        """Remove one."""
        _, overlay = self._entered()
        wanted = json.loads(by)
        found = overlay.jobs().get(wanted["id"]) if "id" in wanted else _of_key(overlay, wanted["key"])
        if found is not None:
            overlay.write_job(found.id, None)
        return found is not None

    def _entered(self) -> tuple[Turn, Overlay]:
        turn = self._running()
        turn.host_call()
        return turn, turn.overlay

    def _due_us(self, label: str, wanted: dict[str, Any]) -> int:
        now_us = self._now_us()
        if "cron" in wanted:
            try:
                return next_after(wanted["cron"], wanted.get("tz", "UTC"), now_us)
            except ValueError as error:
                raise RefusedError("BadRequestError", f"{label}: cron of a job: {error}") from None
        due_us: int = wanted.get("due_us", 0) or now_us
        if due_us > now_us + _AHEAD_US_MAX:
            text = f"{label}: due_us of a job is {due_us}: it must lie within 10 years"
            raise RefusedError("BadRequestError", text)
        return due_us

    def _check_number(self, label: str, overlay: Overlay, replaced: str) -> None:
        limits = self._limits
        made, limit = overlay.jobs_made(replaced), limits.turn_jobs_max
        if made >= limit:
            raise RefusedError(
                "LimitError", f"making {made + 1} jobs in one turn exceeds the limit of {limit} ({label})"
            )
        count = len(overlay.jobs()) - (replaced != "")
        if count >= limits.instance_jobs_max:
            text = (
                f"one more than {count} jobs of an instance exceeds the limit of {limits.instance_jobs_max} ({label})"
            )
            raise RefusedError("LimitError", text)


def _of_key(overlay: Overlay, key: str) -> StoredJob | None:
    return next((job for job in overlay.jobs().values() if key and job.key == key), None)
