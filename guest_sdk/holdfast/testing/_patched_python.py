"""What Python itself shows to a turn: the clock, the output, and no sleep. All of it is as before between two turns.

A component has these for itself; here they are shared with the test, so each turn borrows them. Modules that copied a
name (`from time import time`) are borrowed from too, as far as they are the author's: not the standard library, not an
installed package.
"""

from __future__ import annotations

import datetime as datetime_module
import logging
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self, TextIO

from holdfast._log_capture import Output
from holdfast.testing._clock import ManualClock
from holdfast.testing._denied import Doors

_SHARED: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
_SDK: Final = str(Path(__file__).parents[1])


class Surroundings:
    """Swaps names in and out around each turn of one host. For one thread."""

    def __init__(self, clock: ManualClock, modules: frozenset[str]) -> None:
        """`modules` are those of the actor classes: borrowed from wherever they lie."""
        self._modules = modules
        # By identity: what stands for what. A refused sleep is the output's, which replaces time.sleep itself.
        self._stand_ins: dict[int, tuple[Any, Any]] = {
            id(real): (real, stand_in)
            for real, stand_in in (
                (time.time, lambda: clock.now_us / 1e6),
                (time.time_ns, lambda: clock.now_us * 1000),
                (time.sleep, lambda seconds: time.sleep(seconds)),
                (datetime, _stand_in_for_datetime(clock)),
                (date, _stand_in_for_date(clock)),
            )
        }
        self._doors = Doors()
        self._depth = 0
        self._stderr: TextIO | None = None
        self._modules_seen = 0
        self._swaps: list[tuple[dict[str, Any], str, Any, Any]] = []

    @contextmanager
    def of(self, output: Output) -> Iterator[None]:
        """Run one turn inside; turns of other instances that it calls nest."""
        root = logging.getLogger()
        before = sys.stdin, sys.stdout, sys.stderr, time.sleep
        handlers, level = list(root.handlers), root.level
        # The handler of a waiting caller: each line belongs to one instance.
        root.handlers[:] = [each for each in handlers if not type(each).__module__.startswith("holdfast.")]
        if not self._depth:
            self._stderr = sys.stderr
            self._find_swaps()
            for names, key, _, stand_in in self._swaps:
                names[key] = stand_in
        self._depth += 1
        output.install()
        try:
            with self._doors.closed():
                yield
        finally:
            self._depth -= 1
            sys.stdin, sys.stdout, sys.stderr, time.sleep = before
            root.setLevel(level)
            root.handlers[:] = handlers
            if not self._depth:
                for names, key, real, _ in self._swaps:
                    names[key] = real

    def show(self, text: str) -> None:
        """Write a line to what was stderr before any turn: pytest shows it with a test that fails."""
        stream = self._stderr if self._depth else sys.stderr
        if stream is not None:
            stream.write(f"{text}\n")

    def _find_swaps(self) -> None:
        if len(sys.modules) == self._modules_seen:
            return
        self._modules_seen = len(sys.modules)
        borrowed = [vars(datetime_module), *_authors_modules(self._modules)]
        self._swaps = [
            (vars(time), key, *self._stand_ins[id(getattr(time, key))])
            for key in ("time", "time_ns")
            if id(getattr(time, key)) in self._stand_ins
        ]
        for names in borrowed:
            for key, value in names.items():
                real, stand_in = self._stand_ins.get(id(value), (None, None))
                if real is value and real is not None:
                    self._swaps.append((names, key, real, stand_in))


def _authors_modules(required: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The globals of the modules that are neither Python's, nor installed, nor the SDK's."""
    for name, module in list(sys.modules.items()):
        if name in required or (isinstance(module, ModuleType) and _is_authors(module)):
            yield vars(module)


def _is_authors(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(".py") and not file.startswith((*_SHARED, _SDK))


def _stand_in_for_datetime(clock: ManualClock) -> type:
    class StandIn(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, datetime)

    class TurnDatetime(datetime, metaclass=StandIn):
        """`datetime` as a turn sees it: what it makes are real ones, and now is what the clock shows."""

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            return datetime(*args, **kwargs)  # type: ignore[return-value]

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            shown = clock.now
            # Where an actor runs, local time is UTC.
            return shown.replace(tzinfo=None) if tz is None else shown.astimezone(tz)  # type: ignore[return-value]

        @classmethod
        def today(cls) -> Self:
            return cls.now()

        @classmethod
        def utcnow(cls) -> Self:
            return cls.now()

        @classmethod
        def fromtimestamp(cls, timestamp: float, tz: tzinfo | None = None) -> Self:
            found = datetime.fromtimestamp(timestamp, tz or UTC)
            return found.replace(tzinfo=tz)  # type: ignore[return-value]

    return _named(TurnDatetime, "datetime")


def _stand_in_for_date(clock: ManualClock) -> type:
    class StandIn(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, date)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, date)

    class TurnDate(date, metaclass=StandIn):
        """`date` as a turn sees it."""

        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            return date(*args, **kwargs)  # type: ignore[return-value]

        @classmethod
        def today(cls) -> Self:
            return clock.now.date()  # type: ignore[return-value]

    return _named(TurnDate, "date")


def _named(stand_in: type, name: str) -> type:
    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__module__ = "datetime"
    return stand_in
