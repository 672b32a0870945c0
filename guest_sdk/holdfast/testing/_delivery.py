"""Alarms on time: what is due runs in the order of its time, what fails is tried again, and then given up but kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from holdfast.testing._clock import ManualClock
from holdfast.testing._failures import RefusedError
from holdfast.testing._records import Alarm, Record
from holdfast.testing._runner import Runner

DELIVERIES_MAX: Final = 100_000
ERROR_CHARS_MAX: Final = 1_000
_SECOND_US: Final = 1_000_000


class Deliveries:
    """Runs what is due; one per host."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run_until(self, clock: ManualClock, target_us: int) -> int:
        """Move the clock there, alarm by alarm; how many handlers ran.

        Raises:
            RuntimeError: Inside a turn, or where handlers set alarms for ever without time passing.
        """
        if self._runner.is_running:
            raise RuntimeError("the clock cannot be moved inside a turn: alarms would interrupt it")
        count = 0
        while (earliest := self._earliest(target_us)) is not None:
            record, alarm = earliest
            clock.show(alarm.due_us)
            self.deliver(clock, record, alarm)
            count += 1
            if count > DELIVERIES_MAX:
                raise RuntimeError(f"{record.label}: its alarm is due again and again ({DELIVERIES_MAX} handlers ran)")
        clock.show(target_us)
        return count

    def deliver(self, clock: ManualClock, record: Record, alarm: Alarm) -> None:
        """Run one handler; a failure moves the alarm."""
        crashes = self._runner.crashes
        try:
            self._runner.alarm(record, alarm)
        except RefusedError as failure:
            if record.alarm is not alarm:
                return  # the handler had put another one in its place, and synced
            if self._runner.crashes == crashes:
                record.alarm = self._moved(clock, alarm, failure)
            elif alarm.retry_count > 0 or alarm.survived_a_crash:
                died = RefusedError("HostUnavailableError", "the worker died while the handler ran")
                record.alarm = self._moved(clock, alarm, died)
            else:
                record.alarm = replace(alarm, survived_a_crash=True)

    def _earliest(self, target_us: int) -> tuple[Record, Alarm] | None:
        due = [
            (record, record.alarm)
            for record in self._runner.records.values()
            if record.alarm is not None and record.alarm.state != "abandoned" and record.alarm.due_us <= target_us
        ]
        return min(due, key=lambda each: each[1].due_us, default=None)

    def _moved(self, clock: ManualClock, alarm: Alarm, failure: RefusedError) -> Alarm:
        """The alarm after a failed delivery: 1, 2, 4, ... seconds later, or abandoned."""
        text = f"{failure.name}: {failure.message}"[:ERROR_CHARS_MAX]
        if alarm.retry_count >= self._runner.limits.alarm_retries_max:
            return replace(alarm, state="abandoned", last_error=text)
        due_us = clock.now_us + (_SECOND_US << alarm.retry_count)
        retry_count = alarm.retry_count + 1
        return replace(alarm, due_us=due_us, retry_count=retry_count, state="retrying", last_error=text)
