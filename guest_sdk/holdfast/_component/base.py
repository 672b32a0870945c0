"""A base: a component without an author's modules, which are imported and kept later, in a sandbox of the build.

What a build takes most of its time for is the same for all sources: the interpreter is linked, compiled and started,
the SDK is imported and warmed up. So a build may keep that as a component of its own, a base, and go on from it: the
base is activated once, with sources; what is in memory then is the component, as if they had been there from the
beginning. What they would find only in a build of their own - files, modules that the base lacks - they are told to
lack, and the build is told: it begins anew then, without a base. A component that goes to a host has none of this.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

from holdfast._component.development import MissingModules
from holdfast._component.immortal_objects import name_objects
from holdfast._component.loading import Begun, begin, end_finding, import_author, keep_source_lines, report_of, warm
from holdfast._contract import EXPORTS
from holdfast._describe import Component
from holdfast._env import Env
from holdfast._exports import Guest
from holdfast._host_imports import Err, HostImports
from holdfast._http import Request, Response
from holdfast._source_paths import ShownLoader

_LINE_BYTES: Final = 1 << 13  # of which each makes two characters

# What the lines for a build begin with; the author's modules cannot write others before these.
REPORT, OBJECTS = "holdfast build report:", "holdfast build objects:"


def load_base(plan_file: str) -> type:
    """Make the class that componentize-py exports as `instance` of a base.

    Args:
        plan_file: A JSON file of the build: `modules` of Python's library to import, `report` and the like.
    """
    plan = json.loads(Path(plan_file).read_text())
    begun = begin(plan)
    for name in plan["modules"]:
        try:
            importlib.import_module(name)
        except ImportError:  # none of this Python's
            continue
    if begun.carried is not None:
        begun.carried.keep_library()
        begun.carried.stay()
    else:
        sys.path_hooks.clear()
        sys.path.clear()
    sys.path_importer_cache.clear()
    component = Component({}, _fetch)
    guest = _BaseGuest(component, begun)
    Path(plan["report"]).write_text(component.description)
    made = type("Instance", (), {each: getattr(guest, each) for each in EXPORTS})
    guest.exported = made
    warm(begun)
    gc.collect()
    name_objects(Path(plan["objects"]).write_bytes)
    gc.freeze()
    return made


def _fetch(request: Request, env: Env) -> Response:
    """A base alone does nothing."""
    return Response("", status=404)


class _BaseGuest(Guest):
    """What becomes another Guest when it is activated."""

    __slots__ = ("_begun", "exported")

    exported: type

    def __init__(self, component: Component, begun: Begun) -> None:
        super().__init__(component, begun.host, begun.output)
        self._begun = begun

    def activate(self, actor_type: str, name: str, environment: str) -> None:
        """Import the sources of an author; what the build asks for is said in lines of the log.

        The environment's `build` is the plan of `load`, with `files`: the text of the author's modules by path.
        """
        plan = json.loads(environment).get("build")
        if plan is None:
            raise Err(json.dumps({"message": "a base is no component"}))
        try:
            self._become(plan)
        except BaseException as failure:
            raise Err(json.dumps({"message": repr(failure)})) from None

    def _become(self, plan: dict[str, Any]) -> None:
        begun, exported, host = self._begun, self.exported, self._begun.host
        [(mounted, shown)] = plan["shown"].items()
        finder = _Hook(mounted, shown, plan.pop("files"))
        sys.path.insert(0, mounted)
        sys.path_hooks.insert(0, finder)
        missing = MissingModules()
        sys.meta_path.append(missing)
        component = import_author(plan)
        for each in sorted({each.partition(".")[0] for each in missing.names} & sys.stdlib_module_names):
            raise ModuleNotFoundError(f"the base lacks {each}", name=each)
        keep_source_lines()
        finder.close()
        sys.meta_path.remove(missing)
        sys.path.remove(mounted)
        sys.path_hooks.remove(finder)
        end_finding(begun.carried, component, library_is_kept=True)
        report = report_of(component)
        guest = Guest(component, host, begun.output)
        for each in EXPORTS:
            setattr(exported, each, getattr(guest, each))
        begun.output.flush()
        host.log.write("info", f"{REPORT}{report}")
        del plan, finder, missing, report
        warm(begun)  # once more: what the sources took is no longer where activations would find it
        gc.collect()
        name_objects(partial(_tell, host), _is_of_base)
        begun.confinement.end_files()
        gc.freeze()


def _tell(host: HostImports, named: bytes) -> None:
    for at in range(0, len(named), _LINE_BYTES):
        host.log.write("info", f"{OBJECTS}{named[at : at + _LINE_BYTES].hex()}")


def _is_of_base(each: Any) -> bool:
    """Whether an object was named when the base was built: it is immortal since."""
    return sys._is_immortal(each)  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  (there is no other way)


class _Hook:
    """Finds the author's modules among texts, as they are found on the disk of a build."""

    def __init__(self, mounted: str, shown: str, files: dict[str, str]) -> None:
        self.mounted = mounted
        self._shown = shown
        self._made: list[_TextLoader] = []
        self.files = {f"{mounted}/{path}": text for path, text in files.items()}
        self._folders = {parent.as_posix() for path in self.files for parent in Path(path).parents}

    def __call__(self, directory: str) -> _Finder:
        if directory in self._folders and f"{directory}/".startswith(f"{self.mounted}/"):
            return _Finder(self, directory)
        raise ImportError(f"{directory} is not the author's")

    def loader(self, name: str, path: str) -> _TextLoader:
        """What loads a file that is there."""
        inner = path.removeprefix(self.mounted).lstrip("/")
        loader = _TextLoader(name, path, inner if self._shown in ("", ".") else f"{self._shown}/{inner}")
        loader.text = self.files[path]
        self._made.append(loader)
        return loader

    def is_folder(self, path: str) -> bool:
        """Whether some file lies below."""
        return path in self._folders

    def names(self, folder: str) -> Iterator[str]:
        """The paths below a folder, seen from there."""
        for path in sorted(self.files):
            if path.startswith(f"{folder}/"):
                yield path[len(folder) + 1 :]

    def close(self) -> None:
        """The sources are gone, as the disk of a build is."""
        for loader in self._made:
            del loader.text
            loader.__class__ = ShownLoader  # type: ignore[assignment]  # as in a whole build: both look alike inside
        self.files.clear()


class _TextLoader(ShownLoader):
    """Loads a module from its text."""

    text: str

    def get_data(self, path: Any) -> bytes:
        if path != self.path:
            raise FileNotFoundError(path)
        return self.text.encode()

    def path_stats(self, path: Any) -> Any:
        raise OSError  # nothing compiled lies beside it


class _Finder:
    """Finds the modules of one directory, for `importlib.machinery.PathFinder`."""

    def __init__(self, hook: _Hook, folder: str) -> None:
        self._hook = hook
        self._folder = folder

    def find_spec(self, name: str, target: object = None) -> ModuleSpec | None:
        base = f"{self._folder}/{name.rpartition('.')[2]}"
        for path, is_package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if path in self._hook.files:
                spec = ModuleSpec(name, self._hook.loader(name, path), origin=path, is_package=is_package)
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations = [base]
                return spec
        if not self._hook.is_folder(base):
            return None
        spec = ModuleSpec(name, None, is_package=True)  # a part of a namespace package
        spec.submodule_search_locations = [base]
        return spec

    def invalidate_caches(self) -> None:
        """There are none."""

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """What `pkgutil.iter_modules` asks path entry finders for."""
        for path in self._hook.names(self._folder):
            if path.count("/") == 1 and path.endswith("/__init__.py"):
                yield prefix + path.partition("/")[0], True
            elif "/" not in path and path.endswith(".py") and path != "__init__.py":
                yield prefix + path.removesuffix(".py"), False
