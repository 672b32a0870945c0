"""What a turn may not reach, refused while it runs: a test's Python has network, threads, files and processes.

The sentences and exceptions are those of a component, and so are the doors. What is refused to a turn stays open to the
test around it, to its other threads, and to Python itself where it imports a module or looks for the lines of a
traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import tempfile
import threading
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from holdfast._confinement.denied import EVENTS, refusal_of
from holdfast._confinement.event_loop import no_running_loop
from holdfast._confinement.stdlib_patches import AMENDERS, Swap, swaps_of, swaps_of_os

# What belongs to a component of packages may be read in it, and zones may.
_READABLE: Final = tuple(
    {
        os.path.realpath(each) + os.sep
        for each in (
            *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")),
            *zoneinfo.TZPATH,
        )
    }
)
_PACKAGES: Final = f"{os.sep}build{os.sep}packages{os.sep}"  # those of a project, for its tests
# Who opens files in the middle of a turn, and is not asked by it: imports, tracebacks, and the tools of the test.
_MACHINERY: Final = (
    "_frozen_importlib", "_pytest.", "bdb", "coverage.", "debugpy.", "importlib._bootstrap", "linecache", "pdb",
    "pydevd", "_pydevd",
)  # fmt: skip
_SOURCE: Final = ".py"
_MISSING: Final = object()


class _Running(threading.local):
    """How many turns run on this thread, inside each other."""

    depth = 0


_running = _Running()  # of the process, as audit hooks are, which nothing removes


class Doors:
    """The doors of one host. For one thread."""

    def __init__(self) -> None:
        _watch()
        modules = [importlib.import_module(name) for name in sorted(AMENDERS)]
        tempfile.gettempdir()  # from now on the test has its own
        found = [*(swap for module in modules for swap in swaps_of(module)), *swaps_of_os(_may_read)]
        self._swaps = [each._replace(stand_in=_for_turns(each)) for each in found]
        self._borrowed: list[tuple[Any, str, Any]] = []

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Within it they are closed, to this thread."""
        depth = _running.depth
        if not depth:
            self._borrowed = [
                (each.owner, each.name, vars(each.owner).get(each.name, _MISSING)) for each in self._swaps
            ]
            for swap in self._swaps:
                setattr(*swap)
        _running.depth = depth + 1
        try:
            with no_running_loop():
                yield
        finally:
            _running.depth = depth
            if not depth:
                for owner, name, real in self._borrowed:
                    if real is _MISSING:
                        delattr(owner, name)
                    else:
                        setattr(owner, name, real)


def _for_turns(swap: Swap) -> Any:
    """The stand-in for turns, the real thing for the other threads of the test, and for what Python itself does."""
    real: Any = getattr(swap.owner, swap.name, None)

    def choose(*arguments: Any, **options: Any) -> Any:
        if _running.depth and not _is_machinery(sys._getframe(1)):  # noqa: SLF001
            return swap.stand_in(*arguments, **options)
        return real(*arguments, **options)

    if isinstance(real, type) and isinstance(swap.stand_in, type):
        make = {"__new__": lambda cls, *arguments, **options: choose(*arguments, **options)}
        return _Choosing(swap.name, (), {**make, "stands_for": (real, swap.stand_in)})
    return choose


class _Choosing(type):
    """Of a class that makes instances of others."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, vars(cls)["stands_for"])


def _watch() -> None:
    """Have audit events of turns looked at."""
    if not getattr(_watch, "done", False):
        _watch.done = True  # type: ignore[attr-defined]
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in EVENTS and _running.depth:
        refusal = refusal_of(event, arguments, _may_read)
        path = str(arguments[0]) if event == "open" and arguments else _SOURCE
        if refusal is not None and not _is_machinery(sys._getframe(1), path):  # noqa: SLF001
            raise refusal


def _may_read(path: Any) -> bool:
    if isinstance(path, int):
        return True
    _running.depth, depth = 0, _running.depth  # `realpath` looks at files itself
    try:
        found = os.path.realpath(os.fsdecode(path)) + os.sep
        return found.startswith(_READABLE) or _PACKAGES in found
    finally:
        _running.depth = depth


def _is_machinery(frame: FrameType | None, path: str = _SOURCE) -> bool:
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(_MACHINERY):
            return name != "linecache" or path.endswith(_SOURCE)  # the lines of a traceback, and no other file's
        if name.startswith("holdfast.testing._runner"):
            return False
        frame = frame.f_back
    return False
