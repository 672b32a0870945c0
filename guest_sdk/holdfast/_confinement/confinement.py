"""A component's Python, made to say what it does not have: audit hook, amended modules, stand-ins for what it lacks.

Set up before the author's code is imported. While a component is built there are files; when the build ends they end
too. A handle that the build made is stale in a sandbox, and using it ends the sandbox: so there are no sockets from the
beginning, directories are read at once, and `open_files` tells which files are still open.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from holdfast._confinement import denied as _absent
from holdfast._confinement.denied import no_processes, no_signals, no_threads, refusing
from holdfast._confinement.stdlib_patches import AMENDERS, swaps_of, swaps_of_os
from holdfast._source_paths import PACKAGES

# What this Python's `os` and `signal` lack. Nobody looks whether there is an `os.system`: it can be there and refuse.
# A `fork` that were there would be registered with.
_COMMANDS: Final = ("execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe", "popen", "system")
_PROCESSES: Final = frozenset(
    {"fork", "forkpty", "kill", "killpg", "posix_spawn", "posix_spawnp", "spawnl", "spawnle", "spawnlp", "spawnlpe",
     "spawnv", "spawnve", "spawnvp", "spawnvpe", "wait", "waitpid"}
)  # fmt: skip
_SIGNALS: Final = frozenset({"alarm", "pause", "pthread_kill", "setitimer", "sigtimedwait", "sigwait", "sigwaitinfo"})


class Confinement:
    """One component's. Made while it is built, before anything of its author is imported."""

    def __init__(self) -> None:
        self._has_files = True
        sys.addaudithook(self._audit)
        sys.meta_path.insert(0, _Amending())
        for name in ("select", "_thread"):  # part of the interpreter: no loader would tell of them
            importlib.import_module(name)
        for module in list(sys.modules.values()):
            _amend(module)
        for name in _COMMANDS:
            setattr(os, name, refusing(no_processes, f"os.{name}()"))
        _explain(os, _PROCESSES, no_processes)
        _list_directories_at_once()

    def end_files(self) -> None:
        """From now on there are none."""
        for swap in swaps_of_os(_is_carried):
            setattr(*swap)
        self._has_files = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _absent.EVENTS and not (self._has_files and event in _absent.FILES):
            refusal = _absent.refusal_of(event, arguments, _is_carried)
            if refusal is not None:
                raise refusal


def _is_carried(path: Any) -> bool:
    """Whether a path leads to where packages are, or would be."""
    return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(PACKAGES)


class _Amending:
    """The first finder: has others find a module, and amends it as soon as it has been run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        make = _STAND_INS.get(name)
        if make is not None:
            loader: Any = _StandInLoader(make)
            return ModuleSpec(name, loader)
        if name not in _AMENDED:
            return None
        found = (each.find_spec(name, path, target) for each in sys.meta_path if each is not self)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.loader is not None:
            run: Any = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                _amend(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _StandInLoader:
    """Loads what stands for a module that this Python lacks."""

    def __init__(self, make: Callable[[], ModuleType]) -> None:
        self._make = make

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._make()

    def exec_module(self, module: ModuleType) -> None:
        """It is whole when it is made."""


def _make_tls() -> ModuleType:
    from holdfast._confinement.ssl_stub import make_module  # nobody pays for `ssl` who does not import it

    return make_module()


def _make_interpreters() -> ModuleType:
    """`concurrent.interpreters`, whose names packages import: all of it would run beside a turn."""
    module = ModuleType("concurrent.interpreters")
    names = vars(module)
    for name in ("InterpreterError", "NotShareableError", "QueueEmpty", "QueueFull"):
        names[name] = type(name, (Exception,), {})
    for name in ("ExecutionFailed", "InterpreterNotFoundError"):
        names[name] = type(name, (names["InterpreterError"],), {})
    for name in ("Interpreter", "Queue"):
        refuse = refusing(no_threads, f"concurrent.interpreters.{name}()")
        names[name] = type(name, (), {"__init__": refuse})
    for name in ("create", "create_queue", "get_current", "get_main", "is_shareable", "list_all"):
        names[name] = refusing(no_threads, f"concurrent.interpreters.{name}()")
    return module


_STAND_INS: Final = {"_ssl": _make_tls, "concurrent.interpreters": _make_interpreters}


def _amend(module: Any) -> None:
    name = getattr(module, "__name__", "")
    if name in _AMENDED:
        for swap in swaps_of(module):
            setattr(*swap)
        also = _ONLY_HERE.get(name)
        if also is not None:
            also(module)


def _use_one_loop(asyncio: Any) -> None:
    asyncio.SelectorEventLoop = asyncio.EventLoop = asyncio.new_event_loop


def _explain(module: Any, names: frozenset[str], refusal: _absent.Refusal) -> None:
    """Have a module say why it lacks these names."""

    def __getattr__(name: str) -> Any:  # noqa: N807  (PEP 562)
        text = f"module {module.__name__!r} has no attribute {name!r}"
        if name in names:
            text = str(refusal(f"{module.__name__}.{name}"))
        raise AttributeError(text, name=name, obj=module)

    module.__getattr__ = __getattr__


class _Directory(list[Any]):
    """What `os.scandir` found, read to its end: no handle is left of it."""

    def __iter__(self) -> Iterator[Any]:
        while self:
            yield self.pop(0)

    def __next__(self) -> Any:
        if not self:
            raise StopIteration
        return self.pop(0)

    def __enter__(self) -> _Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    close = list.clear


_ONLY_HERE: Final[dict[str, Callable[[Any], None]]] = {
    "asyncio": _use_one_loop,
    "signal": lambda module: _explain(module, _SIGNALS, no_signals),
}
_AMENDED: Final = AMENDERS.keys() | _ONLY_HERE.keys()


def _list_directories_at_once() -> None:
    scan = os.scandir

    def scandir(path: Any = ".") -> _Directory:
        with scan(path) as entries:
            return _Directory(entries)

    os.scandir = scandir  # type: ignore[assignment]


def open_files() -> list[str]:
    """The names of the files that Python holds open, but those that it was started with."""
    # Not gc.get_objects(): so long a list would be a part of the component, freed or not.
    files = [each for each in gc.get_referrers(io.FileIO) if type(each) is io.FileIO]
    found = [str(each.name) for each in files if not each.closed and each.fileno() > 2]
    sqlite: Any = sys.modules.get("sqlite3")
    for each in gc.get_referrers(sqlite.Connection) if sqlite is not None else ():
        if isinstance(each, sqlite.Connection):
            with contextlib.suppress(sqlite.Error):  # closed
                found += [file for _, _, file in each.execute("PRAGMA database_list") if file]
    return found
