"""A line in the host's log for each turn that is slow: one that others had to wait for, or that runs over a second.

A turn that lost the lead for taking too long (`promoted`) is told when it ends. One that runs over SLOW_S is told when
the leader next looks, with where its code stands, and again when it ends. A flood of them cannot flood the log: past a
few lines at once there is one in a while, which says how many are not shown.

Nothing here is on the way of a usual call: the leader looks when it keeps house, and is told of turns that ended
without the lead or held it for long.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.worker.inspection.activity import describe_turn, stands
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.turn import Turn

SLOW_S: Final = 1.0
LINES_AT_ONCE: Final = 10
LINE_EVERY_S: Final = 1.0  # of turns that run over SLOW_S, once the first lines are spent
PROMOTED_LINE_EVERY_S: Final = 10.0


class LineBudget:
    """How many lines of one kind may be written: some at once, then one in a while. Any thread."""

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._left = float(at_once)
        self._at = time.monotonic()
        self._passed_over = 0
        self._lock = threading.Lock()

    def take(self, now: float) -> int | None:
        """How many lines were passed over since the last one that was written; None: pass over this one too."""
        with self._lock:
            self._left = min(self._at_once, self._left + max(0.0, now - self._at) / self._every_s)
            self._at = max(now, self._at)
            if self._left < 1:
                self._passed_over += 1
                return None
            self._left -= 1
            passed_over, self._passed_over = self._passed_over, 0
            return passed_over


@leaders
class SlowTurns:
    """The slow turns of one worker."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: set[Turn] = set()  # that run, and of which a line was written or passed over
        self._slow = LineBudget(LINES_AT_ONCE, LINE_EVERY_S)
        self._promoted = LineBudget(LINES_AT_ONCE, PROMOTED_LINE_EVERY_S)

    def look(self, running: Collection[Turn], now: float) -> None:
        """Tell of those that run for long by now."""
        if not running:
            self._told.clear()
            return
        self._told.intersection_update(running)
        for turn in running:
            if now - turn.begun_at > SLOW_S and turn not in self._told:
                self._told.add(turn)
                self._tell("warning", "a turn runs for long", turn, now, self._slow, placed=True)

    @any_thread
    def ended(self, turn: Turn) -> None:
        """A turn after which a round is over; one that did not run is none."""
        if turn.begun:
            self._tell_if_long(turn, time.monotonic())

    @any_thread
    def lost_lead(self, turn: Turn, promoted: bool) -> None:
        """A turn has ended on a thread that does not lead any more: `promoted`, for others waited for it."""
        now = time.monotonic()
        if not self._tell_if_long(turn, now) and promoted:
            self._tell("info", "a turn lost the lead: others waited", turn, now, self._promoted)

    def _tell_if_long(self, turn: Turn, now: float) -> bool:
        is_long = now - turn.begun_at > SLOW_S
        if is_long:
            self._tell("warning", "a turn has run for long", turn, now, self._slow)
        return is_long

    def _tell(
        self, level: str, event: str, turn: Turn, now: float, budget: LineBudget, *, placed: bool = False
    ) -> None:
        passed_over = budget.take(now)
        if passed_over is None:
            return
        shown = describe_turn(turn, now)
        facts: dict[str, Any] = {"instance": turn.entry.label, "function": turn.function}
        facts |= {name: shown[name] for name in ("method", "turn", "age_s")}
        if placed:
            facts |= {name: shown[name] for name in ("state", "waits_for") if shown[name] is not None}
        else:
            facts["outcome"] = "ok" if turn.error is None else turn.error.name
        if turn.started_cold:
            facts["activated"] = True  # it had to make its sandbox first
        if passed_over:
            facts["not_shown"] = passed_over
        if placed:  # a look takes milliseconds, and the leader has others to serve
            threading.Thread(target=self._tell_placed, args=(level, event, turn, facts), daemon=True).start()
        else:
            self._output.event(level, event, **facts)

    def _tell_placed(self, level: str, event: str, turn: Turn, facts: dict[str, Any]) -> None:
        """With where its code stands; a thread of its own."""
        place = stands(turn)
        self._output.event(level, event, **facts, **({} if place is None else {"stands": place}))
