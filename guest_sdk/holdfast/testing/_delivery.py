"""What is due on time: alarms and jobs run in the order of their time, what fails is tried again, and then kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from holdfast.testing._clock import ManualClock
from holdfast.testing._failures import RefusedError
from holdfast.testing._jobs.cron import next_after
from holdfast.testing._jobs.deliveries import JobDeliveries
from holdfast.testing._jobs.outcomes import ERROR_CHARS_MAX
from holdfast.testing._jobs.rows import StoredJob
from holdfast.testing._records import Alarm, Record
from holdfast.testing._runner import Runner
from holdfast.testing._turn import Turn

DELIVERIES_MAX: Final = 100_000
_SECOND_US: Final = 1_000_000


class Deliveries:
    """Runs what is due; one per host.

    Attributes:
        function: Whose jobs are the times at which the function's `scheduled` runs.
    """

    def __init__(self, runner: Runner, jobs: JobDeliveries) -> None:
        self._runner = runner
        self._jobs = jobs
        self.function = Record("", "")

    def set_crons(self, crons: tuple[str, ...], now_us: int) -> None:
        """Have the function run at these times.

        Raises:
            ValueError: One is no cron text; or the function has no `scheduled`.
        """
        if crons and self._runner.component.scheduled is None:
            raise ValueError("crons run scheduled(event, env) of the function, which is not there")
        for cron in crons:
            due_us = next_after(cron, "UTC", now_us)
            self.function.jobs[cron] = StoredJob(cron, {"kind": "scheduled", "cron": cron}, due_us, due_us)

    def run_until(self, clock: ManualClock, target_us: int) -> int:
        """Move the clock there, from one time that something is due to the next; how many handlers ran.

        Raises:
            RuntimeError: Inside a turn, or where handlers set alarms for ever without time passing.
        """
        if self._runner.is_running:
            raise RuntimeError("the clock cannot be moved inside a turn: alarms would interrupt it")
        count = 0
        while (earliest := self._earliest(target_us)) is not None:
            record, due = earliest
            clock.show(due.due_us)
            if isinstance(due, Alarm):
                self._deliver(clock, record, due)
            else:
                self._jobs.deliver(record, due)
            count += 1
            if count > DELIVERIES_MAX:
                what = "alarm is" if isinstance(due, Alarm) else "jobs are"
                raise RuntimeError(f"{record.label}: its {what} due again and again ({DELIVERIES_MAX} handlers ran)")
        clock.show(target_us)
        return count

    def _deliver(self, clock: ManualClock, record: Record, alarm: Alarm) -> None:
        """Run an alarm's handler; on success it is cleared with what that wrote, a failure moves it."""
        runner = self._runner
        crashes = runner.crashes
        info = json.dumps({"retry_count": alarm.retry_count, "scheduled_us": alarm.scheduled_us})
        turn = Turn(runner, record, record.label, budget_s=runner.limits.alarm_timeout_s, delivers=alarm)
        try:
            runner.run(turn, lambda guest: guest.alarm(info))
        except RefusedError as failure:
            if record.alarm is not alarm:
                return  # the handler had put another one in its place, and synced
            if runner.crashes == crashes:
                record.alarm = self._moved(clock, alarm, failure)
            elif alarm.retry_count > 0 or alarm.survived_a_crash:
                died = RefusedError("HostUnavailableError", "the worker died while the handler ran")
                record.alarm = self._moved(clock, alarm, died)
            else:
                record.alarm = replace(alarm, survived_a_crash=True)

    def _earliest(self, target_us: int) -> tuple[Record, Alarm | StoredJob] | None:
        earliest: tuple[Record, Alarm | StoredJob] | None = None
        for record in (*self._runner.records.values(), self.function):
            waiting: list[Alarm | StoredJob] = [*record.jobs.values(), *([record.alarm] if record.alarm else [])]
            for each in waiting:
                if each.state == "abandoned" or each.due_us > target_us:
                    continue
                if earliest is None or each.due_us < earliest[1].due_us:
                    earliest = record, each
        return earliest

    def _moved(self, clock: ManualClock, alarm: Alarm, failure: RefusedError) -> Alarm:
        """The alarm after a failed delivery: 1, 2, 4, ... seconds later, or abandoned."""
        text = f"{failure.name}: {failure.message}"[:ERROR_CHARS_MAX]
        if alarm.retry_count >= self._runner.limits.alarm_retries_max:
            return replace(alarm, state="abandoned", last_error=text)
        due_us = clock.now_us + (_SECOND_US << alarm.retry_count)
        retry_count = alarm.retry_count + 1
        return replace(alarm, due_us=due_us, retry_count=retry_count, state="retrying", last_error=text)
