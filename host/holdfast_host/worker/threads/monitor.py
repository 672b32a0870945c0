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

    from holdfast_host.sandbox.engine import SandboxEngine
    from holdfast_host.worker.loop import Worker

_WATCHING_S: Final = 0.001
_RESTING_S: Final = 0.010


class Monitor:
    """One thread beside the turns; lives as long as the process."""

    def __init__(self, worker: Worker, engine: SandboxEngine, on_failure: Callable[[BaseException], None]) -> None:
        self._worker = worker
        self._engine = engine
        self._on_failure = on_failure

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._watch, name="holdfast-monitor", daemon=True).start()

    def _watch(self) -> None:
        try:
            worker, leadership = self._worker, self._worker.leadership
            after_s, slice_s = worker.limits.promotion_after_s, worker.limits.slice_s
            epoch_at = 0.0
            while True:
                now = time.monotonic()
                if now >= epoch_at:
                    epoch_at = now + slice_s
                    self._engine.advance_epoch()
                leadership.promote_if_slow(now, after_s, worker.anything_waits)
                time.sleep(_WATCHING_S if leadership.busy or leadership.section_open else _RESTING_S)
        except BaseException as error:
            self._on_failure(error)
