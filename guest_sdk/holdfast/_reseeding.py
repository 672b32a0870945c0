"""What may not stay as a build left it: generators that were seeded from the system, and what was drawn or read there.

A module runs once, while the component is built, and each sandbox begins with what it left in memory. A generator would
draw the same numbers in each of them, a token would be the same, a time would be that of the build. So generators are
seeded anew as a sandbox is activated, and a module that draws or reads such a thing is refused, by file and line.
"""

from __future__ import annotations

import ast
import datetime
import logging
import os
import random
import sys
import time
import weakref
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import Any, Final

from holdfast._describe import RuleError

# Where the code of others than authors lies while a component is built: Python's library, the SDK, the bindings.
_NOT_AUTHORS: Final = ("/python/", "/0/holdfast/", "/0/holdfast_entry", "/world/", "/bundled/", "<frozen ")
_PROBE_BYTES: Final = 1  # packages ask for one byte to see whether there is randomness, and forget it

_WITHOUT_USE: Final = "multiprocessing.process"  # draws a key as it is imported, for processes that nobody can start

_CLOCKS: Final = frozenset(
    {time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.perf_counter, time.perf_counter_ns}
    | {time.process_time, time.process_time_ns, time.localtime, time.gmtime, time.ctime, time.strftime}
)
_CLOCK_METHODS: Final = frozenset({"now", "utcnow", "today"})  # of classes of datetime
# With a time as the last argument these do not read the clock.
_GIVEN_A_TIME: Final = {"localtime": 1, "gmtime": 1, "ctime": 1, "strftime": 2}

# Those to seed at each activation, besides the one behind the functions of `random`.
_generators: tuple[random.Random, ...] = ()


def seed_anew() -> None:
    """At an activation: nothing goes on with what the build had."""
    random.seed()
    for generator in _generators:
        random.Random.seed(generator)
    library: Any = logging
    library._startTime = time.time_ns()  # noqa: SLF001  (what `relativeCreated` counts from)


class Watch:
    """What modules do with randomness while they are imported: a context for that time."""

    def __init__(self) -> None:
        self._seeded: weakref.WeakSet[random.Random] = weakref.WeakSet()
        self._found: list[RuleError] = []
        self._replaced: list[tuple[Any, str, Any]] = []
        self._watching = True  # what stands in for a function stays where a module has imported it by name

    def __enter__(self) -> Watch:
        real_seed, urandom = random.Random.seed, os.urandom
        library: Any = random
        hidden = library._inst  # noqa: SLF001  (the one behind the module's functions)

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            if self._watching and a is None and not isinstance(generator, random.SystemRandom):
                self._seeded.add(generator)
            else:
                self._seeded.discard(generator)
            real_seed(generator, a, version)

        def watched(name: str) -> Any:
            drawing = getattr(random.Random.__base__, name)

            def draw(generator: random.Random, *arguments: Any) -> Any:
                if self._watching and (generator is hidden or generator in self._seeded):
                    self._note(f"numbers are drawn from a generator ({name})")
                return drawing(generator, *arguments)

            return draw

        def system(size: int) -> bytes:
            asking = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001
            if self._watching and size > _PROBE_BYTES and asking != _WITHOUT_USE:
                self._note("random bytes are asked of the system")
            return urandom(size)

        def seed_hidden(a: Any = None, version: int = 2) -> None:
            if self._watching and a is not None:
                self._note(
                    "random.seed() has no effect here, sandboxes are seeded anew: make a generator of your own,"
                    " random.Random(seed)",
                    whole=True,
                )
            hidden.seed(a, version)

        self._replace(random.Random, "seed", seed)
        for name in ("random", "getrandbits"):
            self._replace(random.Random, name, watched(name))
            self._replace(random, name, getattr(random.Random, name).__get__(hidden))
        self._replace(random, "seed", seed_hidden)
        for module in (os, sys.modules.get("posix"), random):
            self._replace(module, "_urandom" if module is random else "urandom", system)
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False
        for place, name, real in reversed(self._replaced):
            if real is None:
                delattr(place, name)
            else:
                setattr(place, name, real)

    def check(self, modules: Iterator[tuple[ModuleType, str, str]]) -> None:
        """After the imports: raise RuleError, with file and line, for what must not have been drawn or read.

        Args:
            modules: the author's own, each with its file as its author knows it and its source.
        """
        found = [*self._found, *(each for module in modules for each in _clock_readings(*module))]
        if found:
            raise found[0]

    def keep(self) -> None:
        """While a component is built: from here on `seed_anew` seeds the generators that the modules have made."""
        global _generators  # the one state of this module
        _generators = tuple(self._seeded)

    def _replace(self, place: Any, name: str, other: Any) -> None:
        if place is not None:
            self._replaced.append((place, name, vars(place).get(name)))
            setattr(place, name, other)

    def _note(self, what: str, *, whole: bool = False) -> None:
        file, line = _authors_place(sys._getframe(2))  # noqa: SLF001  (the way that logging takes, too)
        if file is None:
            return
        if not whole:
            what += (
                " while the component is built: what comes would be the same in every sandbox, and known to whoever has"
                " the component; draw it in a method"
            )
        self._found.append(RuleError(what, file, line))


def _authors_place(frame: FrameType | None) -> tuple[str | None, int | None]:
    """File and line of the innermost frame that is neither Python's nor ours."""
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_NOT_AUTHORS):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None, None


def _clock_readings(module: ModuleType, file: str, source: str) -> Iterator[RuleError]:
    """Where a module reads the clock as it is imported."""
    for node in _run_at_import(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = _value_of(node.func, module)
        name = getattr(called, "__name__", "")
        owner = getattr(called, "__self__", None)
        reads = name in _CLOCK_METHODS and isinstance(owner, type) and issubclass(owner, datetime.date)
        try:
            reads = reads or called in _CLOCKS
        except TypeError:  # no hash: none of them
            continue
        if reads and len(node.args) < _GIVEN_A_TIME.get(name, sys.maxsize):
            text = (
                f"{ast.unparse(node.func)}() is read while the component is built, where the clock stands at 2026-11-01"
            )
            yield RuleError(f"{text}: every sandbox would begin with that; read it in a method", file, node.lineno)


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run as a module is imported: not the bodies of functions, not what only a script does."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting[:0] = [*node.decorator_list, *_defaults(node.args)]
        elif isinstance(node, ast.Lambda):
            waiting[:0] = _defaults(node.args)
        elif isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
            waiting[:0] = node.orelse
        else:
            waiting[:0] = ast.iter_child_nodes(node)


def _defaults(arguments: ast.arguments) -> list[ast.AST]:
    return [each for each in (*arguments.defaults, *arguments.kw_defaults) if each is not None]


def _value_of(node: ast.AST, module: ModuleType) -> Any:
    """What a dotted name means in a module; None where that cannot be said."""
    if isinstance(node, ast.Name):
        return vars(module).get(node.id)
    if isinstance(node, ast.Attribute):
        try:
            return getattr(_value_of(node.value, module), node.attr, None)
        except Exception:  # a property of the author's that fails is none of ours
            return None
    return None
