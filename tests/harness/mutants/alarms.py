"""Mutations of the worker that are about alarms; `mutants.worker` runs them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from holdfast_host.core.clock import SystemClock
from holdfast_host.core.errors import UnknownActorTypeError
from holdfast_host.storage.overlay import Overlay
from holdfast_host.storage.store import Alarm, Changes
from holdfast_host.worker.alarms.deliveries import Alarms
from holdfast_host.worker.alarms.due import MINUTE_US, DueAlarms
from holdfast_host.worker.deliveries import dispatch
from holdfast_host.worker.deliveries.exits import Noted
from holdfast_host.worker.deliveries.stages import Delivery, Stage
from holdfast_host.worker.running.runner import TurnRunner
from holdfast_host.worker.turns.turn import Turn

# Machines that can be told what to do.


def shift_clock(path: Path) -> None:
    """The wall clock is off by as many seconds as the file says."""
    wall_us = SystemClock.wall_us

    def shifted(self: SystemClock) -> int:
        offset_s = float(path.read_text() or 0) if path.exists() else 0.0
        return wall_us(self) + round(offset_s * 1e6)

    _patch(SystemClock, "wall_us", shifted)


def die_in_poisoned_handlers() -> None:
    """The handler of an instance whose name begins with 'poison' kills its worker, as a fault of the sandbox would."""
    run = TurnRunner.run

    def deadly(self: TurnRunner, turn: Turn) -> None:
        if turn.delivery is not None and turn.entry.stored.name.startswith(b"poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        run(self, turn)

    _patch(TurnRunner, "run", deadly)


# Mechanisms taken out.


def clear_alarms_before_they_run() -> None:
    """The row goes, durably, before the handler begins."""
    begin = Alarms.begin

    def early(self: Alarms, turn: Turn, loaded: Any) -> bool:
        entry, delivery = turn.entry, turn.delivery
        assert delivery is not None
        if delivery.noted:
            delivery.enter(Stage.RUNNING)
            turn.request.body = b'{"retry_count":0,"scheduled_us":%d}' % delivery.due_us
            return True
        row = delivery.row
        if row is None or row.due_us != delivery.due_us:
            return begin(self, turn, loaded)
        self._leave_ready(delivery)
        delivery.enter(Stage.NOTING)
        entry.turn = turn
        self.gate.add(entry, Changes(alarm_changed=True))
        self.gate.leave(entry, None, Noted(self, turn))
        return False

    _patch(Alarms, "begin", early)


def clear_alarms_after_they_ran() -> None:
    """What the handler wrote commits first; the row goes in a later group."""
    take = Overlay.take
    end = Alarms.end

    def keep(self: Overlay) -> Changes:
        taken, self._taken = self._taken, None
        changes = take(self)
        self._taken = taken
        return changes

    def later(self: Alarms, turn: Turn) -> None:
        def clear() -> None:
            if turn.error is None and turn.entry.turn is None:
                self.gate.add(turn.entry, Changes(alarm=None, alarm_changed=True))
            end(self, turn)

        turn._host.post(lambda: turn._host.post(clear))

    _patch(Overlay, "take", keep)
    _patch(Alarms, "end", later)


def clear_alarms_with_a_sync() -> None:
    """A sync() in a handler commits the removal of its alarm too."""
    _patch(Overlay, "take_early", Overlay.take)


def write_no_attempt_down() -> None:
    """No attempt is noted before it runs."""
    may_run = Alarms._may_run

    def careless(self: Alarms, turn: Turn, delivery: Delivery, row: Any, loaded: Any) -> bool:
        delivery.noted = True
        return may_run(self, turn, delivery, row, loaded)

    _patch(Alarms, "_may_run", careless)


def keep_alarms_in_memory_only() -> None:
    """The worker knows the alarms that were set while it ran, and reads none from the store."""

    def lacks_nothing(self: DueAlarms, now_us: int) -> bool:
        if now_us >= self._horizon_us:
            self._horizon_us = now_us + MINUTE_US
        return False

    _patch(DueAlarms, "lacks", lacks_nothing)


def count_the_time_that_passes() -> None:
    """The worker reads the wall clock once, and then counts."""
    wall_us, began_s = SystemClock().wall_us(), time.monotonic()

    def counted(self: SystemClock) -> int:
        return wall_us + round((time.monotonic() - began_s) * 1e6)

    _patch(SystemClock, "wall_us", counted)


def burn_retries_without_the_class() -> None:
    """An alarm without its class is a failed attempt."""
    begin = Alarms.begin

    def burning(self: Alarms, turn: Turn, loaded: Any) -> bool:
        delivery = turn.delivery
        assert delivery is not None
        if loaded is None and not delivery.unpark:
            delivery.failure = UnknownActorTypeError("no deployed function owns this actor type")
        return begin(self, turn, loaded)

    _patch(Alarms, "begin", burning)


def retry_for_ever() -> None:
    """A failed attempt leaves the alarm as it was."""

    def forgetful(self: Alarms, entry: Any, delivery: Delivery, row: Alarm, error: Any, **facts: Any) -> None:
        self._write(entry, delivery, replace(row, due_us=self.clock.wall_us() + 100_000, begun=False))

    _patch(Alarms, "_count_failure", forgetful)


def release_all_alarms_at_once() -> None:
    """Everything that is due goes into the mailboxes, however many ordinary calls come."""
    dispatch.READY_MAX = 1 << 30  # type: ignore[misc]
    dispatch.UNDER_WAY_MAX = 1 << 30  # type: ignore[misc]


def _patch(owner: type, name: str, replacement: Callable[..., Any]) -> None:
    setattr(owner, name, replacement)


MUTATIONS: Final[dict[str, Callable[..., None]]] = {
    each.__name__: each
    for each in (
        shift_clock,
        die_in_poisoned_handlers,
        clear_alarms_before_they_run,
        clear_alarms_after_they_ran,
        clear_alarms_with_a_sync,
        write_no_attempt_down,
        keep_alarms_in_memory_only,
        count_the_time_that_passes,
        burn_retries_without_the_class,
        retry_for_ever,
        release_all_alarms_at_once,
    )
}
