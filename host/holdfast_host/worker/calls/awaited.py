"""What a turn waits for that is not its own: begun by the leader, waited for by the turn's thread, ended once."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from holdfast_host.worker.turns.turn import Turn

OK: Final = 200


@leaders
class Awaited:
    """An answer that is to come; lives from the turn's question until the turn goes on."""

    __slots__ = ("body", "error", "over", "status", "turn", "woken")

    def __init__(self, turn: Turn) -> None:
        """`turn` is the one that waits."""
        self.turn = turn
        self.over = False
        self.status = 0
        self.body = b""
        self.error: HoldfastError | None = None
        self.woken = threading.Lock()
        self.woken.acquire()

    def fail(self, error: HoldfastError) -> None:
        """There is no answer, and why."""
        if not self.over:
            self.error = error
            self._end()

    def answered(self, status: int, body: bytes) -> None:
        """The answer: 200 and what was asked for, or an error's status and the error as JSON."""
        if not self.over:
            self.status, self.body = status, body
            self._end()

    @any_thread
    def result(self) -> bytes:
        """After it is over: what was asked for, or the error raised."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback would hold this frame, and the question's texts, until a collection
        if self.status == OK:
            return self.body
        raise HoldfastError.from_facts(json.loads(self.body)["error"], self.status)

    @any_thread
    def wait(self, timeout_s: float) -> bool:
        """Block until it is over; the waiting turn's thread."""
        return self.woken.acquire(timeout=max(0.0, timeout_s))

    def _end(self) -> None:
        self.over = True
        self._forget()
        self.woken.release()

    def _forget(self) -> None:
        """It is over: whoever keeps it lets it go."""
        raise NotImplementedError
