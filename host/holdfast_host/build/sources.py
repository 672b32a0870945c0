"""Where the contract and the SDK are found, and how a project's files get into the throwaway directory."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import holdfast_host
from holdfast_host.build.errors import BuildError
from holdfast_host.core.limits import MIB

PROJECT_BYTES_MAX: Final = 64 * MIB
PROJECT_FILES_MAX: Final = 10_000

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist"})


def wit_directory() -> Path:
    """The contract: inside an installed package, or beside `host/` in a checkout."""
    package = _package()
    return _existing("the contract (wit/)", package / "wit", package.parent.parent / "wit")


def sdk_directory() -> Path:
    """The guest SDK's package: a sibling of ours when installed, in `guest_sdk/` in a checkout."""
    package = _package()
    return _existing("the guest SDK", package.parent.parent / "guest_sdk" / "holdfast", package.parent / "holdfast")


def copy_sdk(target: Path) -> None:
    """Copy the SDK without compiled files and without the test kit, which no component needs."""
    shutil.copytree(sdk_directory(), target, ignore=shutil.ignore_patterns("__pycache__", "testing"))


def import_root(project: Path, main: str) -> tuple[Path, str]:
    """The directory that imports start from, and the name of the main module seen from there.

    A main module inside a package is imported as a part of it.
    """
    path = project / main
    if not path.is_file():
        raise BuildError(f"{main}: there is no such file in {project}; main in holdfast.toml names it")
    if not path.resolve().is_relative_to(project.resolve()):
        raise BuildError(f"{main}: it leads out of the project")
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists() and root != project:
        names.insert(0, root.name)
        root = root.parent
    if names[0] in sys.stdlib_module_names or names[0] in ("holdfast", "wit_world", "componentize_py_types"):
        raise BuildError(f"{main}: a module called {names[0]!r} would hide another one: rename the file")
    return root, ".".join(names)


def copy_project(source: Path, target: Path) -> None:
    """Copy a project's files, without hidden ones, builds and virtual environments; BuildError past the limits."""
    budget = [PROJECT_BYTES_MAX, PROJECT_FILES_MAX]
    target.mkdir()
    _copy(source, target, budget)


def is_left_out(entry: Path) -> bool:
    """Whether a file or directory of a project is none of its sources: hidden, built, or a virtual environment."""
    if entry.name.startswith(".") or entry.name in _SKIPPED or entry.suffix == ".pyc":
        return True
    return (entry / "pyvenv.cfg").exists()


def _copy(source: Path, target: Path, budget: list[int]) -> None:
    for entry in sorted(source.iterdir()):
        if is_left_out(entry):
            continue
        if entry.is_dir() and not entry.is_symlink():
            (target / entry.name).mkdir()
            _copy(entry, target / entry.name, budget)
        elif entry.is_file():
            budget[0] -= entry.stat().st_size
            budget[1] -= 1
            if min(budget) < 0:
                raise BuildError(
                    f"{source}: the directory of main has more than {PROJECT_BYTES_MAX // MIB} MiB or"
                    f" {PROJECT_FILES_MAX} files; put the sources into a directory of their own, like src/"
                )
            shutil.copyfile(entry, target / entry.name)


def _package() -> Path:
    return Path(holdfast_host.__file__).resolve().parent


def _existing(what: str, *candidates: Path) -> Path:
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    places = " or ".join(str(each) for each in candidates)
    raise BuildError(f"{what} is not where it was installed ({places}): install holdfast again")
