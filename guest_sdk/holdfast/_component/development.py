"""Development components: other sources than those that a component was built from, given to it at activation.

A build takes seconds, a save should take less than one: so the author's modules are compiled and run in each sandbox as
it is activated, from text in its environment. Everything else - the SDK, packages, what the standard library has - is
what the build put in; sources that need more say so with the code REBUILD. A deployed component has none of this.
"""

from __future__ import annotations

import ast
import importlib
import json
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from holdfast._describe import Component, RuleError
from holdfast._errors import sentence_of, traceback_of
from holdfast._exports import Guest
from holdfast._host_imports import Err, HostImports
from holdfast._log_capture import Output
from holdfast._reseeding import Watch
from holdfast._values.codec import decode_json

REBUILD: Final = "rebuild"

LazyImports = Callable[[ast.Module, ModuleType], Iterable[str]]


class MissingModules:
    """A last finder that finds nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        self.names.add(name)


class DevelopmentGuest(Guest):
    """A Guest that is what its environment's `sources` say, where there are some; else what it was built from."""

    __slots__ = ("_built", "_known_missing", "_lazy_imports", "_missing")

    def __init__(
        self,
        component: Component,
        host: HostImports,
        output: Output,
        built: Sequence[str],
        missing: MissingModules,
        lazy_imports: LazyImports,
    ) -> None:
        """Made while the component is built.

        Args:
            component: What it was built from.
            host: The imports.
            output: Where prints go.
            built: The names of the author's modules, which sources replace.
            missing: Asked last by every import; what it knows by now was missing when all could be found.
            lazy_imports: What the functions of a module import.
        """
        super().__init__(component, host, output)
        self._built = built
        self._missing = missing
        self._known_missing = frozenset(missing.names)
        self._lazy_imports = lazy_imports

    def describe(self) -> str:
        """What the component ships, or what its sources do."""
        return json.dumps({**json.loads(self._component.description), "development": True}, separators=(",", ":"))

    def activate(self, actor_type: str, name: str, environment: str) -> None:
        """Load the sources, then activate as ever."""
        sources = decode_json(environment).get("sources")
        if sources is not None:
            try:
                self._component = self._load(sources, thoroughly=not actor_type)
            except BaseException as failure:
                raise Err(_error_json(failure)) from None
            finally:
                self._output.flush()
        super().activate(actor_type, name, environment)

    def _load(self, sources: dict[str, Any], *, thoroughly: bool) -> Component:
        """Import the main module from the sources.

        Args:
            sources: `main` (the module's name), `root` (what its author calls the directory that imports start from),
                `files` (text by path below it).
            thoroughly: Look also for what functions will import later.
        """
        for name in self._built:
            sys.modules.pop(name, None)
        sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _SourcesFinder)]
        finder = _SourcesFinder(sources["root"], sources["files"])
        # Before packages, as in a build; or else before the two that find nothing.
        places = [at for at, each in enumerate(sys.meta_path) if each is PathFinder]
        sys.meta_path.insert(places[0] if places else max(len(sys.meta_path) - 2, 0), finder)
        self._missing.names.clear()
        try:
            with Watch() as watch:
                component = Component.of_module(importlib.import_module(sources["main"]))
                if thoroughly:
                    self._import_later_ones(finder)
            if thoroughly:
                watch.check(finder.own_sources())  # they could run here, but not once they are built
        except ModuleNotFoundError as failure:
            if failure.name in self._new_ones():
                raise _NeedsRebuildError(failure.name or "") from None
            raise
        except FileNotFoundError as failure:
            raise _NeedsRebuildError(str(failure.filename)) from None  # files are there while a component is built
        for name in sorted(self._new_ones()):
            raise _NeedsRebuildError(name)
        return component

    def _import_later_ones(self, finder: _SourcesFinder) -> None:
        """Import what functions import, as a build does, so that what is missing shows itself now."""
        for name, path in list(finder.loaded.items()):
            for wanted in self._lazy_imports(ast.parse(finder.files[path]), sys.modules[name]):
                parent, _, last = wanted.rpartition(".")
                if hasattr(sys.modules.get(parent), last):
                    continue
                try:
                    importlib.import_module(wanted)
                except Exception:  # noqa: S112  (its author may count on the failure; the call will say so)
                    continue

    def _new_ones(self) -> set[str]:
        """Modules that nobody has looked for when all could be found."""
        return self._missing.names - self._known_missing


class _NeedsRebuildError(Exception):
    """The sources need what the component was built without."""


class _SourcesFinder:
    """Finds the author's modules in a dict."""

    def __init__(self, root: str, files: dict[str, str]) -> None:
        self._root = root
        self.files = files
        self.loaded: dict[str, str] = {}  # module to path

    def own_sources(self) -> Iterator[tuple[ModuleType, str, str]]:
        """The modules that were found, each with the file that its author knows and its source."""
        for name, path in self.loaded.items():
            if name in sys.modules:
                yield sys.modules[name], self._shown(path), self.files[path]

    def _shown(self, path: str) -> str:
        return path if self._root in ("", ".") else f"{self._root}/{path}"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        base = name.replace(".", "/")
        for found, is_package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if found in self.files:
                shown = self._shown(found)
                self.loaded[name] = found
                loader: Any = _SourceLoader(self.files[found], shown)
                spec = ModuleSpec(name, loader, origin=shown, is_package=is_package)
                spec.has_location = True
                return spec
        if any(each.startswith(f"{base}/") for each in self.files):
            return ModuleSpec(name, None, is_package=True)
        return None


class _SourceLoader:
    """Runs one text as a module, under the path that its author knows."""

    def __init__(self, text: str, shown_path: str) -> None:
        self._text = text
        self.shown_path = shown_path

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        lines = self._text.splitlines(keepends=True)
        linecache.cache[self.shown_path] = (len(self._text), None, lines, self.shown_path)
        code = compile(self._text, self.shown_path, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  (this is what importing is)

    def get_source(self, name: str) -> str:
        return self._text


def _error_json(failure: BaseException) -> str:
    """Why the sources do not load, with the author's file and line."""
    facts: dict[str, Any] = {"name": "ActorInitError", "code": None, "status": None, "retryable": False}
    if isinstance(failure, _NeedsRebuildError):
        facts |= {"message": f"{failure} is not in this development component", "code": REBUILD}
    elif isinstance(failure, RuleError):
        facts["message"] = _placed(failure.file, failure.line, failure.message)
    elif isinstance(failure, SyntaxError):
        text = f" in {failure.text.strip()!r}" if failure.text else ""
        facts["message"] = _placed(failure.filename, failure.lineno, f"syntax error{text}: {failure.msg}")
    else:
        facts["message"] = f"the module cannot be imported: {sentence_of(failure)}"
        facts["traceback"] = traceback_of(failure)
    return json.dumps(facts, separators=(",", ":"))


def _placed(file: str | None, line: int | None, message: str) -> str:
    place = f"{file}:{line}" if file and line else file
    return f"{place}: {message}" if place else message
