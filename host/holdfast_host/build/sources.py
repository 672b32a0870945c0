"""Where the contract and the SDK are found, and how a project's files get into the throwaway directory.

Whoever builds a project may not have written it: nothing that lies outside of it, and none of the files in it that are
no sources (a `.env`, `.git`), comes into a component through a link.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
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
    shutil.copytree(sdk_directory(), target, ignore=shutil.ignore_patterns("__pycache__", "testing", "client"))


def import_root(project: Path, main: str) -> tuple[Path, str]:
    """The directory that imports start from, and the name of the main module seen from there.

    A main module inside a package is imported as a part of it.

    Raises:
        BuildError: It is no Python module, is not there, or would hide another one.
    """
    path = project / main
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise BuildError(
            f"{main}: holdfast builds Python, so main names a module like src/app.py; what the tools of another"
            " language have built is deployed with 'holdfast deploy DIR --component FILE.wasm'"
        )
    if not path.is_file():
        raise BuildError(f"{main}: there is no such file in {project}; main in holdfast.toml names it")
    inside(project, path)
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists() and root != project:
        names.insert(0, root.name)
        root = root.parent
    if names[0] in sys.stdlib_module_names or names[0] in ("holdfast", "wit_world", "componentize_py_types"):
        raise BuildError(f"{main}: a module called {names[0]!r} would hide another one: rename the file")
    return root, ".".join(names)


def copy_project(project: Path, source: Path, target: Path) -> None:
    """Copy the files below a directory of a project, without hidden ones, builds and virtual environments.

    Raises:
        BuildError: A link leads out of the project or to what is left out, or there is more than the limits allow.
    """
    bytes_left, files_left = PROJECT_BYTES_MAX, PROJECT_FILES_MAX
    target.mkdir()
    for path in source_files(source):
        try:
            content = read_own(project, path, bytes_left)
        except FileNotFoundError:  # a link to nothing, or gone since
            continue
        bytes_left, files_left = bytes_left - len(content), files_left - 1
        if min(bytes_left, files_left) < 0:
            raise BuildError(
                f"{source}: the directory of main has more than {PROJECT_BYTES_MAX // MIB} MiB or"
                f" {PROJECT_FILES_MAX} files; put the sources into a directory of their own, like src/"
            )
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(content)


def source_files(folder: Path) -> Iterator[Path]:
    """What a build would copy; nothing of a folder that is gone, or between two steps of a checkout."""
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if is_left_out(entry):
            continue
        if entry.is_file() or (entry.is_symlink() and entry.is_dir()):
            yield entry
        elif entry.is_dir():
            yield from source_files(entry)


def read_own(project: Path, path: Path, bytes_max: int = PROJECT_BYTES_MAX) -> bytes:
    """What a file of a project holds: of a larger one the first `bytes_max` and one byte more.

    Raises:
        BuildError: A link on the way leads to what is none of the project's files, or it is no ordinary file, or one
            with other names that is somebody else's: one of them may be outside of the project.
        FileNotFoundError: It is gone.
    """
    try:
        # Without waiting for the other end of a pipe; and not through a link that has come since `inside` looked.
        opened = os.open(inside(project, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(opened, "rb") as file:
            facts = os.fstat(opened)
            if not stat.S_ISREG(facts.st_mode):
                raise BuildError(f"{_shown(project, path)}: it is not a file")
            if facts.st_nlink > 1 and facts.st_uid != project.stat().st_uid:
                raise BuildError(
                    f"{_shown(project, path)}: a hard link to a file of another user than the project's: put a copy"
                    " of the file into the project"
                )
            return file.read(bytes_max + 1)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise BuildError(f"{_shown(project, path)}: a link to a directory: a build takes links to files only") from None
    except OSError as error:
        raise BuildError(f"{_shown(project, path)}: it cannot be read: {error.strerror}") from None


def inside(project: Path, path: Path) -> Path:
    """Where a path of a project leads to, links followed.

    Args:
        project: The project's directory, itself resolved.
        path: Below it.

    Raises:
        BuildError: It leads out of the project, or through a link to what is none of its sources.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        raise BuildError(f"{_shown(project, path)}: a link that leads in a ring") from None
    if not real.is_relative_to(project):
        raise BuildError(
            f"{_shown(project, path)}: it leads out of the project: put a copy of the file into the project"
        )
    if real == path:
        return real
    below = real.relative_to(project)
    if any(is_left_out(project / each) for each in (below, *below.parents) if each != Path()):
        raise BuildError(f"{_shown(project, path)}: it leads to {below}, which is left out of builds: put a copy here")
    return real


def is_left_out(entry: Path) -> bool:
    """Whether a file or directory of a project is none of its sources: hidden, built, or a virtual environment."""
    if entry.name.startswith(".") or entry.name in _SKIPPED or entry.suffix == ".pyc":
        return True
    return (entry / "pyvenv.cfg").exists()


def _shown(project: Path, path: Path) -> str:
    return str(path.relative_to(project) if path.is_relative_to(project) else path)


def _package() -> Path:
    return Path(holdfast_host.__file__).resolve().parent


def _existing(what: str, *candidates: Path) -> Path:
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    places = " or ".join(str(each) for each in candidates)
    raise BuildError(f"{what} is not where it was installed ({places}): install holdfast again")
