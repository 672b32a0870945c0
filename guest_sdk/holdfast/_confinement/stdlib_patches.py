"""Doors of the standard library that report to no audit hook, and what stands in for them where actors run.

Each module of the table has an amender: what of it is replaced, and by what. A component amends a module right after it
has been imported, so what nobody imports costs nothing; a test kit lends the same stand-ins to its turns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final, NamedTuple

from holdfast._confinement.denied import (
    no_files,
    no_loop,
    no_network,
    no_processes,
    no_signals,
    no_threads,
    no_waker,
    refusing,
)

MayRead = Callable[[Any], bool]


class Swap(NamedTuple):
    """One name of a module or class, and what it is to be."""

    owner: Any
    name: str
    stand_in: Any


class Lock:
    """`threading.Lock` where nobody else runs: what is held can only have been taken by the same turn."""

    __slots__ = ("__weakref__", "_held")

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False where it is held and nobody wants to wait."""
        if not self._held:
            self._held = True
            return True
        if not blocking or timeout == 0:
            return False
        raise no_waker("acquiring a lock that is held already")

    def release(self) -> None:
        """Give it back."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self) -> bool:
        """Whether it is held."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self._held = False


def _threading(module: Any) -> Iterator[Swap]:
    real_wait = module.Condition.wait

    def wait(self: Any, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return real_wait(self, timeout)
        raise no_waker("waiting for another thread")

    yield Swap(module.Condition, "wait", wait)
    yield from _starting(module, "_start_joinable_thread", "_start_new_thread")
    yield Swap(module, "Lock", Lock)


def _raw_threads(module: Any) -> Iterator[Swap]:
    yield Swap(module, "allocate_lock", Lock)
    yield from _starting(module, "start_joinable_thread", "start_new", "start_new_thread")


def _starting(module: Any, *names: str) -> Iterator[Swap]:
    """Before 3.12 Python tells nobody of a thread that it starts."""
    for name in names:
        if hasattr(module, name):
            yield Swap(module, name, refusing(no_threads, "starting a thread"))


def _queue(module: Any) -> Iterator[Swap]:
    yield Swap(module, "SimpleQueue", module._PySimpleQueue)  # noqa: SLF001  (waits as all others do: by a Condition)


def _select(module: Any) -> Iterator[Swap]:
    for name in ("devpoll", "epoll", "kqueue", "poll", "select"):
        if hasattr(module, name):
            yield Swap(module, name, refusing(no_network, f"select.{name}()"))


def _selectors(module: Any) -> Iterator[Swap]:
    for name in ("DevpollSelector", "EpollSelector", "KqueueSelector", "PollSelector", "SelectSelector"):
        if hasattr(module, name):
            yield Swap(getattr(module, name), "select", refusing(no_network, f"selectors.{name}().select()"))


def _subprocess(module: Any) -> Iterator[Swap]:
    def refuse(self: Any, args: Any = "", *_: Any, **__: Any) -> None:
        raise no_processes(f"subprocess.Popen({args!r:.100})")

    yield Swap(module.Popen, "__init__", refuse)


_SHARED_BETWEEN_PROCESSES: Final = (
    "Array", "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Manager", "Pipe", "Pool",
    "Queue", "RLock", "RawArray", "RawValue", "Semaphore", "SimpleQueue", "Value",
)  # fmt: skip


def _multiprocessing(module: Any) -> Iterator[Swap]:
    for name in _SHARED_BETWEEN_PROCESSES:
        yield Swap(module, name, refusing(no_processes, f"multiprocessing.{name}()"))


def _multiprocessing_context(module: Any) -> Iterator[Swap]:
    for name in _SHARED_BETWEEN_PROCESSES:
        yield Swap(module.BaseContext, name, refusing(no_processes, f"multiprocessing.{name}()"))


def _multiprocessing_process(module: Any) -> Iterator[Swap]:
    yield Swap(module.BaseProcess, "start", refusing(no_processes, "multiprocessing.Process.start()"))


def _futures(module: Any) -> Iterator[Swap]:
    from concurrent.futures import thread as thread  # else it is looked for when it is used

    for name in ("InterpreterPoolExecutor", "ProcessPoolExecutor"):
        refusal = no_processes if name.startswith("Process") else no_threads
        yield Swap(module, name, refusing(refusal, f"concurrent.futures.{name}()"))


def _asyncio(module: Any) -> Iterator[Swap]:
    from holdfast._confinement.event_loop import TurnLoop  # nobody pays for asyncio who does not import it

    def running_loop(*_: Any, **__: Any) -> Any:
        loop = module.events._get_running_loop()  # noqa: SLF001
        if loop is None:
            raise no_loop()
        return loop

    for owner in (module, module.events):
        yield Swap(owner, "new_event_loop", TurnLoop)
        for name in ("get_event_loop", "get_running_loop", "_get_event_loop"):
            if hasattr(owner, name):
                yield Swap(owner, name, running_loop)


def _signal(module: Any) -> Iterator[Swap]:
    for name in ("alarm", "pause", "setitimer", "sigtimedwait", "sigwait", "sigwaitinfo"):
        if hasattr(module, name):
            yield Swap(module, name, refusing(no_signals, f"signal.{name}()"))


def _tempfile(module: Any) -> Iterator[Swap]:
    # None is looked for: it is the file that is refused, with its sentence.
    yield Swap(module, "_get_default_tempdir", lambda dirlist=None: "/tmp")  # noqa: S108


AMENDERS: Final[dict[str, Callable[[Any], Iterator[Swap]]]] = {
    "_thread": _raw_threads,
    "asyncio": _asyncio,
    "concurrent.futures": _futures,
    "multiprocessing": _multiprocessing,
    "multiprocessing.context": _multiprocessing_context,
    "multiprocessing.process": _multiprocessing_process,
    "queue": _queue,
    "select": _select,
    "selectors": _selectors,
    "signal": _signal,
    "subprocess": _subprocess,
    "tempfile": _tempfile,
    "threading": _threading,
}


def swaps_of_os(may_read: MayRead) -> Iterator[Swap]:
    """What looks at files without opening them: it finds none, but where `may_read` says that there are some."""

    def looking(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def look(path: Any, *arguments: Any, **options: Any) -> Any:
            if not isinstance(path, int) and not may_read(path):
                raise no_files(f"os.{name}({path!r:.100})", path)
            return real(path, *arguments, **options)

        return look

    for name in ("lstat", "readlink", "stat"):
        yield Swap(os, name, looking(name))


def swaps_of(module: ModuleType) -> list[Swap]:
    """What of a module is replaced; nothing where it has no amender."""
    amender = AMENDERS.get(module.__name__)
    return list(amender(module)) if amender is not None else []
