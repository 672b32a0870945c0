"""The monitor: a thread that keeps time for the others.

Every slice it advances the epoch, so that guests that compute reach the host; more often while the leader is in a
section, it looks whether that section is too long while something waits.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.engine import SandboxEngine
    from holdfast_host.worker.threads.leadership import Leadership

_WATCHING_S: Final = 0.001
_RESTING_S: Final = 0.010


class Monitor:
    """One thread beside the turns; lives as long as the process."""

    def __init__(
        self,
        leadership: Leadership,
        limits: Limits,
        engine: SandboxEngine,
        *,
        anything_waits: Callable[[], bool],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`anything_waits()` says whether a leader would have something to do now."""
        self._leadership = leadership
        self._limits = limits
        self._engine = engine
        self._anything_waits = anything_waits
        self._on_failure = on_failure

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._watch, name="holdfast-monitor", daemon=True).start()

    def _watch(self) -> None:
        try:
            leadership, anything_waits = self._leadership, self._anything_waits
            after_s, slice_s = self._limits.promotion_after_s, self._limits.slice_s
            epoch_at = 0.0
            while True:
                now = time.monotonic()
                if now >= epoch_at:
                    epoch_at = now + slice_s
                    self._engine.advance_epoch()
                leadership.promote_if_slow(now, after_s, anything_waits)
                time.sleep(_WATCHING_S if leadership.busy or leadership.section_open else _RESTING_S)
        except BaseException as error:
            self._on_failure(error)
