"""Driving what a turn returned to its end: turns never wait, so a coroutine must not either."""

from __future__ import annotations

from types import CoroutineType
from typing import Any


def finish(result: Any, what: str) -> Any:
    """The result itself, or what the coroutine that it is returns.

    Raises:
        RuntimeError: The coroutine waits for something that only an event loop could bring.
    """
    if type(result) is not CoroutineType:
        return result
    try:
        waits_for = result.send(None)
    except StopIteration as stop:
        return stop.value
    result.close()
    raise RuntimeError(
        f"{what} awaits something that is not there yet ({waits_for!r:.80}): there is no event loop in an actor,"
        " a turn runs from its beginning to its end; for later work set an alarm"
    )
