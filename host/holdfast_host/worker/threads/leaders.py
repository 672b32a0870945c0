"""Whose a class is: what is marked here belongs to the leader, and no other thread calls it.

That is said here and nowhere else, and a mark is all it is: it costs nothing. The tests run workers that assert at each
call of what is marked that its thread leads, and is in no section.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

LEADERS: Final = "__leaders__"
ANY_THREAD: Final = "__any_thread__"

_Owned = TypeVar("_Owned", bound=Callable[..., Any])


def leaders(owned: _Owned) -> _Owned:
    """A class whose public methods are the leader's, or one method that is."""
    setattr(owned, LEADERS, True)
    return owned


def any_thread(method: _Owned) -> _Owned:
    """A method of a leader's class that other threads may call too; beneath `property`, where it is one."""
    setattr(method, ANY_THREAD, True)
    return method
