"""One instance as a test looks at it: its storage, its alarm, its log, its activation."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast._errors import LimitError
from holdfast._methods import handlers_of
from holdfast._state.alarms import instant_of, microseconds_of
from holdfast._state.storage import check_key
from holdfast._values.codec import decode, encode
from holdfast.testing._clock import ManualClock
from holdfast.testing._failures import RefusedError
from holdfast.testing._jobs.rows import JobState, state_of
from holdfast.testing._records import LogLine, Record
from holdfast.testing._runner import Runner
from holdfast.testing._sockets.rows import Sent
from holdfast.testing._turn import Turn

_GOING_AWAY: Final = 1001


@dataclass(frozen=True, slots=True)
class AlarmState:
    """The alarm of an instance.

    Attributes:
        due: When it runs next, in UTC.
        scheduled: When it was set for; `due` moves with retries.
        retry_count: How many deliveries have failed.
        state: `armed`, `retrying` or `abandoned` (kept, and run no more until it is set again).
        last_error: Why the last delivery failed; empty where none did.
    """

    due: datetime
    scheduled: datetime
    retry_count: int
    state: str
    last_error: str


class StoredValues(MutableMapping[str, Any]):
    """What is committed, as a dict in the order of the keys' bytes; values are copies, as the actor reads them.

    Setting or deleting a key is a turn of its own: it commits at once, keeps the limits, and drops the activation,
    whose memory it makes stale.
    """

    def __init__(self, runner: Runner, record: Record) -> None:
        self._runner = runner
        self._record = record

    def __getitem__(self, key: str) -> Any:
        text = self._record.values.get(check_key(key).encode())
        if text is None:
            raise KeyError(key)
        return decode(text)

    def __setitem__(self, key: str, value: Any) -> None:
        text = encode(value)
        self._edit(lambda turn: turn.overlay.put(check_key(key).encode(), text))

    def __delitem__(self, key: str) -> None:
        if not self._edit(lambda turn: turn.overlay.delete(check_key(key).encode())):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([key.decode() for key in sorted(self._record.values)])

    def __len__(self) -> int:
        return len(self._record.values)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _edit(self, change: Any) -> Any:
        try:
            return self._runner.edit(self._record, change)
        except RefusedError as failure:
            raise LimitError(failure.message) from None


class Instance:
    """One instance, from outside of it. Get it as `host.instance(Account, "alice")`; it stays right for ever."""

    def __init__(self, runner: Runner, record: Record, clock: ManualClock) -> None:
        self._runner = runner
        self._record = record
        self._clock = clock

    @property
    def type(self) -> str:
        """Its actor type."""
        return self._record.actor_type

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def storage(self) -> StoredValues:
        """What is committed; assign to it to edit it."""
        return StoredValues(self._runner, self._record)

    @property
    def exists(self) -> bool:
        """Whether it has a key, an alarm, a job, a kept answer or a socket."""
        return self._record.exists

    @property
    def alarm(self) -> AlarmState | None:
        """Its alarm; None where none is set."""
        alarm = self._record.alarm
        if alarm is None:
            return None
        due, scheduled = instant_of(alarm.due_us), instant_of(alarm.scheduled_us)
        return AlarmState(due, scheduled, alarm.retry_count, alarm.state, alarm.last_error)

    def set_alarm(self, when: datetime | timedelta | float) -> None:
        """Set or replace its alarm, also one that was abandoned; as `ctx.storage.set_alarm` does, with its errors."""
        if "alarm" not in handlers_of(self._runner.component.actors[self._record.actor_type]):
            raise RuntimeError(f"{self._record.actor_type} has no alarm(self, info) that could run then")
        if isinstance(when, timedelta):
            when = self._clock.now + when
        due_us = microseconds_of(when)
        self._runner.edit(self._record, lambda turn: turn.overlay.set_alarm(due_us))

    def delete_alarm(self) -> None:
        """Clear its alarm."""
        self._runner.edit(self._record, lambda turn: turn.overlay.delete_alarm())

    @property
    def jobs(self) -> list[JobState]:
        """Its jobs that are not done, those that are due first before others."""
        return sorted((state_of(self._record.label, job) for job in self._record.jobs.values()), key=_due_of)

    def retry_job(self, id: str, *, again: bool = False) -> None:  # noqa: A002  (what a job's is called)
        """Have a job tried anew, as an operator does with one that was abandoned: it is due at once.

        Args:
            id: The job's.
            again: Also where nobody knows whether it took effect, so that it may do so twice.

        Raises:
            KeyError: There is none of that id.
            ValueError: Nobody knows whether it took effect, and `again` does not say that this is all one.
        """
        job = self._record.jobs[id]
        afresh = again or job.state == "abandoned"  # one that is not given up goes on
        if job.unknown and afresh and not again:
            raise ValueError(f"whether {id} took effect is not known: retry_job(id, again=True) may do it twice")
        state = "armed" if job.outcome is None else "waiting"
        now_us = self._clock.now_us
        self._record.jobs[id] = replace(
            job,
            state=state,
            due_us=now_us,
            scheduled_us=min(job.scheduled_us, now_us),  # a cron runs at its next time too
            tries=0,
            retry_count=0,
            unknown=job.unknown and not afresh,
            last_error="",
        )

    def cancel_job(self, id: str) -> bool:  # noqa: A002
        """Remove a job; whether there was one."""
        return self._record.jobs.pop(id, None) is not None

    def erase(self) -> None:
        """Delete all that it has stored: keys, alarm, jobs, sockets, and the answers kept under idempotency keys.

        Sockets are closed, with 1001 at their clients, and it hears nothing of that.
        """

        def delete(turn: Turn) -> None:
            overlay = turn.overlay
            overlay.delete_all()
            overlay.delete_alarm()
            overlay.set_auto_response(None)
            if sockets := overlay.sockets():
                overlay.send(Sent(tuple(sockets), code=_GOING_AWAY, reason="erased"))
            for id_ in sockets:
                overlay.write_socket(id_, None)

        self._runner.edit(self._record, delete)
        self._record.receipts.clear()
        self._record.jobs.clear()

    @property
    def active(self) -> bool:
        """Whether it is in memory now."""
        return self._record.sandbox is not None

    def evict(self) -> None:
        """Take it out of memory, as the host does with what is idle; the next call constructs it again."""
        if self._record.sandbox is not None and self._record.sandbox.turn is not None:
            raise RuntimeError(f"{self._record.label} runs a turn now: it can be evicted when that is over")
        self._record.deactivate()

    @property
    def log(self) -> list[LogLine]:
        """What it has printed and logged, and the tracebacks of what left it."""
        return [line for line in self._runner.lines if line.instance == self._record.label]

    def __repr__(self) -> str:
        state = "active" if self.active else "not in memory"
        return f"<holdfast instance {self._record.label}, {state}, {len(self._record.values)} keys>"


def _due_of(job: JobState) -> datetime:
    return job.due or instant_of(0)
