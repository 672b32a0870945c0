"""The end of a turn's `sync()`, on its way through the gate."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.turns.turn import Turn


@leaders
class SyncExit:
    """Held by the gate until what was written is durable."""

    __slots__ = ("_turn", "error", "woken")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.error: HoldfastError | None = None
        self.woken = threading.Lock()
        self.woken.acquire()

    def go(self) -> None:
        """What was written is durable."""
        self.woken.release()

    def fail(self, error: HoldfastError) -> None:
        """What was written is lost."""
        self.error = error
        self.woken.release()
