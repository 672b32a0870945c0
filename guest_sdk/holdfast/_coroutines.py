"""Driving what a turn returned to its end: turns never wait, so a coroutine must not either."""

from __future__ import annotations

import sys
from types import CoroutineType
from typing import Any


class Coroutines:
    """Runs the coroutines of one activation, all on one loop: locks and queues may live longer than a turn."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: Any = None

    def finish(self, result: Any, what: str, *, keeps_generators: bool = False) -> Any:
        """The result itself, or what the coroutine that it is returns; it may keep asynchronous generators.

        Raises:
            RuntimeError: The coroutine waits for something that never comes within a turn.
        """
        if type(result) is not CoroutineType:
            return result
        if "asyncio" in sys.modules:
            return self._run(result, keeps_generators)
        try:
            waits_for = result.send(None)
        except StopIteration as stop:
            return stop.value
        result.close()
        raise RuntimeError(
            f"{what} awaits something that is not there yet ({waits_for!r:.80}): a turn runs from its beginning to its"
            " end; for later work set an alarm"
        )

    def _run(self, coroutine: Any, keeps_generators: bool) -> Any:
        from holdfast._confinement.event_loop import TurnLoop  # in a component there is one only beside asyncio

        if self._loop is None:
            self._loop = TurnLoop()
        return self._loop.run_turn(coroutine, keeps_generators=keeps_generators)


def finish(result: Any, what: str) -> Any:
    """The same, for a coroutine that nothing else belongs to."""
    return Coroutines().finish(result, what)
