"""Workers that assert what `holdfast_host.worker.threads.leaders` marks: who calls it leads, and is in no section.

`install` wraps every marked class once, for the rest of the process. An object is its worker's from the first call of
one of its methods on a leading thread; what no leader has called yet belongs to nobody: a worker is put together before
it is started, and a test may use a class without a worker.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import holdfast_host.worker
from holdfast_host.worker.threads.leaders import ANY_THREAD, LEADERS
from holdfast_host.worker.threads.leadership import Leadership

SPECIAL: Final = ("__len__",)  # the methods of Python's own that tables have


class OffLeaderError(AssertionError):
    """What is the leader's was called by a thread that does not lead, or does not know whether it does."""


class _Guard:
    """Who leads, and whose an object is."""

    def __init__(self) -> None:
        self.installed = False
        self._thread = threading.local()
        self._owners: dict[int, Leadership] = {}  # by the object's id(), until its end

    def leading(self, lead: Callable[[int], None], leadership: Leadership) -> Callable[[int], None]:
        """`lead`, with a note of what this thread leads meanwhile."""

        def noted(generation: int) -> None:
            self._thread.leads = leadership, generation
            lead(generation)  # what it raises, the thread sees to while it leads
            self._thread.leads = None

        return noted

    def check(self, owned: object, what: str) -> None:
        leads: tuple[Leadership, int] | None = getattr(self._thread, "leads", None)
        owner = self._owners.get(id(owned))
        if leads is None:
            if owner is not None:
                raise OffLeaderError(f"{what} is the leader's: the thread {_name()} never leads")
            return
        leadership, generation = leads
        if leadership.generation != generation:
            raise OffLeaderError(f"{what} is the leader's: the thread {_name()} has lost the leadership")
        if generation in leadership._open:
            raise OffLeaderError(
                f"{what} is the leader's: in a section, the thread {_name()} may have lost the leadership"
            )
        if owner is None:
            self._owners[id(owned)] = leadership
        elif owner is not leadership:
            raise OffLeaderError(f"{what} is another worker's")

    def forget(self, owned: object) -> None:
        self._owners.pop(id(owned), None)


def _name() -> str:
    return threading.current_thread().name


_GUARD: Final = _Guard()


def install() -> None:
    """Wrap what is marked; workers that are made from now on are watched."""
    if _GUARD.installed:
        return
    _GUARD.installed = True
    start = Leadership.start

    @functools.wraps(start)
    def started(self: Leadership, lead: Callable[[int], None], *further: Any) -> None:
        start(self, _GUARD.leading(lead, self), *further)

    setattr(Leadership, start.__name__, started)
    for owner, name, method in marked_methods():
        setattr(owner, name, _checked(owner, name, method))
        if "__del__" not in vars(owner):
            owner.__del__ = _forget


def worker_classes() -> list[type]:
    """Every class of the worker, those that begin with an underscore too."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(holdfast_host.worker.__path__, f"{holdfast_host.worker.__name__}."):
        for name, each in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(each) and each.__module__ == module.name:
                found[f"{module.name}.{name}"] = each
    return list(found.values())


def is_marked(owned: type | Callable[..., Any]) -> bool:
    """Whether it is the leader's."""
    return LEADERS in vars(owned)


def marked_methods() -> Iterator[tuple[Any, str, Any]]:
    """Class, name and function, or property, of all that only the leader calls."""
    for each in worker_classes():
        for name, method in list(vars(each).items()):
            function = method.fget if isinstance(method, property) else method
            if not inspect.isfunction(function) or ANY_THREAD in vars(function):
                continue
            public = not name.startswith("_") or name in SPECIAL
            if is_marked(function) or (is_marked(each) and public):
                yield each, name, method


def _forget(owned: object) -> None:
    """An object ends, and another one may have its id() then; when Python ends, this module may be gone first."""
    if _GUARD is not None:
        _GUARD.forget(owned)


def _checked(owner: type, name: str, method: Any) -> Any:
    what = f"{owner.__name__}.{name}"
    if isinstance(method, property):
        return property(_checked(owner, name, method.fget), method.fset, method.fdel, method.__doc__)

    @functools.wraps(method)
    def checked(self: Any, *arguments: Any, **options: Any) -> Any:
        _GUARD.check(self, what)
        return method(self, *arguments, **options)

    return checked
