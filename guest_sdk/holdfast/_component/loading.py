"""Loading an author's module while a component is built, and making the exports of it.

Runs once, inside componentize-py's sandbox; what is in memory at its end is the component. What is wrong with the
author's code is written to a report next to the entry, for the process that runs the build.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.machinery
import inspect
import json
import linecache
import sys
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import FileFinder, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple
from zoneinfo import _common

from holdfast._component.development import DevelopmentGuest, MissingModules
from holdfast._component.immortal_objects import name_objects
from holdfast._component.lint import check_bindings, doubts
from holdfast._component.preload import preload
from holdfast._component.warm_up import warm_up
from holdfast._confinement.confinement import Confinement, open_files
from holdfast._contract import EXPORTS
from holdfast._describe import Component, RuleError, shown_file
from holdfast._errors import sentence_of, traceback_of
from holdfast._exports import Guest
from holdfast._host_imports import HOST, HostImports
from holdfast._log_capture import Output
from holdfast._reseeding import Watch
from holdfast._source_paths import ShownLoader


def load(plan_file: str) -> type:
    """Import the author's module and return the class that componentize-py exports as `instance`.

    Args:
        plan_file: A JSON file of the build: `main` (the module's name), `bindings` (pairs of binding and type), `shown`
            (directories of this sandbox and what their author calls them), `report` (where to say what went wrong),
            `development` where it is for that.
    """
    plan = json.loads(Path(plan_file).read_text())
    begun = begin(plan)
    shown: dict[str, str] = plan["shown"]
    missing = MissingModules()
    sys.meta_path.append(missing)
    try:
        component = import_author(plan)
    except BaseException as failure:
        Path(plan["report"]).write_text(json.dumps(_finding(failure, shown)))
        raise
    keep_source_lines()
    _check_that_files_are_closed(Path(plan["report"]), shown)
    end_finding(begun.carried, component)
    Path(plan["report"]).write_text(report_of(component))
    if plan.get("development"):
        built = _built_modules(shown)
        guest: Guest = DevelopmentGuest(component, begun.host, begun.output, built, missing, lazy_imports)
    else:
        sys.meta_path.remove(missing)
        guest = Guest(component, begun.host, begun.output)
    exports = {each: getattr(guest, each) for each in EXPORTS}
    warm(begun)
    # A later collection then leaves all of this alone, and with it the pages that every sandbox shares.
    gc.collect()
    name_objects(Path(plan["objects"]).write_bytes)
    begun.confinement.end_files()
    gc.freeze()
    return type("Instance", (), exports)


class Begun(NamedTuple):
    """What a build sets up before it imports anything of an author's."""

    host: HostImports
    output: Output
    confinement: Confinement
    carried: Any  # the packages of the component; None where it has none, and pays for none


def begin(plan: dict[str, Any]) -> Begun:
    """Make this Python one that imports an author's modules; RuntimeError outside of componentize-py."""
    if HOST is None:
        raise RuntimeError("holdfast._component.loading runs inside componentize-py only")
    sys.dont_write_bytecode = True
    output = Output()
    output.install()
    confinement = Confinement()
    preload()
    _explain_missing_zones()
    _show_paths_as(plan["shown"])
    return Begun(HOST, output, confinement, _carry(plan))


def import_author(plan: dict[str, Any]) -> Component:
    """Import the author's modules, and what their functions import; RuleError and what else is wrong with them."""
    shown: dict[str, str] = plan["shown"]
    with Watch() as watch:
        module = importlib.import_module(plan["main"])
        component = Component.of_module(module)
        check_bindings(module, component, plan["bindings"])
        _import_what_functions_import(shown)
    watch.check(_own_sources(shown))
    watch.keep()
    return component


def report_of(component: Component) -> str:
    """What a build is told of a component that is good."""
    return json.dumps({**json.loads(component.description), "warnings": doubts(component)})


def end_finding(carried: Any, component: Component, *, library_is_kept: bool = False) -> None:
    """From here on no module can be found but what is carried: say so in the words of a build, not of a file system."""
    if carried is not None:
        if has_coroutines(component):
            importlib.import_module("asyncio")  # a package may import it late, within one of them
        if not library_is_kept:
            carried.keep_library()
        carried.stay()
    else:
        sys.path_hooks.clear()
        sys.path_importer_cache.clear()
        sys.meta_path[:] = [each for each in sys.meta_path if each is not PathFinder]
    sys.meta_path.append(_NotInTheComponent())


def warm(begun: Begun) -> None:
    """Connect the output to the host, and run the SDK once."""
    begun.output.connect(begun.host.log)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)  # what they were leads nowhere in a sandbox
    warm_up(begun.host)


def has_coroutines(component: Component) -> bool:
    """Whether anything that the host calls is a coroutine."""
    functions = [
        vars(base)[name] for actor in component.actors.values() for base in actor.__mro__ for name in vars(base)
    ]
    return any(inspect.iscoroutinefunction(each) for each in (*functions, component.fetch, component.scheduled))


def _carry(plan: dict[str, Any]) -> Any:
    """The Carried packages of the component; None where it has none, and pays for none."""
    if "packages" not in plan:
        return None
    from holdfast._component.bundled_packages import (
        Carried,  # only here: a component without packages is without this as well
    )

    carried = Carried()
    carried.take_packages(Path(plan["packages"]))
    carried.install()
    return carried


def _show_paths_as(shown: dict[str, str]) -> None:
    """Load modules below these directories with the paths that their author knows."""

    def hook(directory: str) -> FileFinder:
        for mounted, name in shown.items():
            if directory == mounted or directory.startswith(f"{mounted}/"):

                def loader(fullname: str, path: str, mounted: str = mounted, name: str = name) -> ShownLoader:
                    return ShownLoader(fullname, path, _joined(name, path.removeprefix(mounted).lstrip("/")))

                return FileFinder(directory, (loader, importlib.machinery.SOURCE_SUFFIXES))  # type: ignore[arg-type]
        raise ImportError(f"{directory} is not the author's")

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def _built_modules(shown: dict[str, str]) -> list[str]:
    """The names of the author's own modules."""
    project = next(iter(shown), "")
    return [module.__name__ for module, loader in _authors_modules() if loader.path.startswith(f"{project}/")]


def _own_sources(shown: dict[str, str]) -> Iterator[tuple[ModuleType, str, str]]:
    """The author's own modules, each with the file that its author knows and its source."""
    project = next(iter(shown), "")
    for module, loader in _authors_modules():
        if loader.path.startswith(f"{project}/"):
            yield module, loader.shown_path, loader.get_source(module.__name__) or ""


def _joined(directory: str, path: str) -> str:
    return f"{directory}/{path}" if directory not in ("", ".") else path


def _authors_modules() -> Iterable[tuple[ModuleType, ShownLoader]]:
    for module in list(sys.modules.values()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if isinstance(loader, ShownLoader):
            yield module, loader


def _import_what_functions_import(shown: dict[str, str]) -> None:
    """Import now what the author's functions would import later, when it could no longer be found."""
    project = next(iter(shown), "")
    done: set[str] = set()
    while True:
        left = [(m, at) for m, at in _authors_modules() if m.__name__ not in done and at.path.startswith(f"{project}/")]
        if not left:
            return
        for module, loader in left:
            done.add(module.__name__)
            for name in lazy_imports(ast.parse(loader.get_data(loader.path)), module):
                try:
                    importlib.import_module(name)
                except Exception:  # noqa: S112  (its author may count on the failure; the call will say so)
                    continue


def lazy_imports(tree: ast.Module, module: ModuleType) -> Iterable[str]:
    """What the functions of a module import."""
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                name = _absolute(node, module)
                yield name
                yield from (f"{name}.{each.name}" for each in node.names if each.name != "*")


def _absolute(node: ast.ImportFrom, module: ModuleType) -> str:
    if not node.level:
        return node.module or ""
    package = (module.__package__ or "").split(".")
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def keep_source_lines() -> None:
    """Keep the author's source in memory, so that tracebacks show the lines."""
    for module, loader in _authors_modules():
        if loader.reads_again:
            continue
        source = loader.get_source(module.__name__) or ""
        lines = source.splitlines(keepends=True)
        linecache.cache[loader.shown_path] = (len(source), None, lines, loader.shown_path)


def _check_that_files_are_closed(report: Path, shown: dict[str, str]) -> None:
    """Refuse what a sandbox could not go on reading."""
    for path in open_files():
        mounted = next((each for each in shown if path.startswith(f"{each}/")), "")
        name = _joined(shown[mounted], path.removeprefix(f"{mounted}/")) if mounted else path
        message = (
            f"the file {name} is still open at the end of the build, and no sandbox has it: read it whole, and close it"
            f" (with open(...) as file: TEXT = file.read())"
        )
        report.write_text(json.dumps({"kind": "rule", "message": message, "file": None, "line": None}))
        raise RuntimeError(message)


class _NotInTheComponent:
    """The last finder: says why a module that a function imports cannot be there."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec:
        raise ModuleNotFoundError(
            f"No module named {name!r} in this component: only packages and what was imported while it was built are"
            " there; import it at the top of a module",
            name=name,
        )


def _explain_missing_zones() -> None:
    """Have `zoneinfo`, which reads zones from a package, say how one comes into a component."""
    read = _common.load_tzdata

    def load_tzdata(key: str) -> Any:
        try:
            return read(key)
        except (ImportError, zoneinfo.ZoneInfoNotFoundError):
            text = f"no time zone {key!r} in this component: add tzdata to the dependencies in holdfast.toml"
            raise zoneinfo.ZoneInfoNotFoundError(text) from None

    _common.load_tzdata = load_tzdata


def _finding(failure: BaseException, shown: dict[str, str]) -> dict[str, Any]:
    """What went wrong, as the build reports it: `kind`, `message`, `file`, `line`, `traceback`."""
    if isinstance(failure, RuleError):
        return {"kind": "rule", "message": failure.message, "file": failure.file, "line": failure.line}
    if isinstance(failure, SyntaxError):
        file = failure.filename or ""
        text = (failure.text or "").strip()
        return {"kind": "syntax", "message": failure.msg, "file": file, "line": failure.lineno, "text": text}
    place, line = _last_place(failure.__traceback__)
    trace = traceback_of(failure)
    found: dict[str, Any] = {"kind": "raised", "message": sentence_of(failure), "file": place, "line": line}
    if isinstance(failure, ModuleNotFoundError):
        found["kind"] = "import"
        found["module"] = failure.name
    return {**found, "traceback": trace}


def _last_place(trace: TracebackType | None) -> tuple[str | None, int | None]:
    """File and line of the innermost frame in the author's code."""
    files = {shown_file(module) for module, _ in _authors_modules()}
    found: tuple[str | None, int | None] = (None, None)
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name in files or (not name.startswith(("/", "<"))):
            found = (name, trace.tb_lineno)
        trace = trace.tb_next
    return found
