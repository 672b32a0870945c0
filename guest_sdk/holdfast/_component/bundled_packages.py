"""Packages that a component carries in memory: their modules, data files and metadata, read when somebody asks.

Only what was imported while a component was built exists in its sandbox as modules. Packages import more later, inside
functions, open files beside their code, and look up their own version: so all their files are in the component, each
compressed, below a directory that is on no disk. `import` finds it through a hook of `sys.path_hooks`; all else
- `importlib.resources`, `importlib.metadata`, `pkgutil`, `open` - through the functions of `os` and `io` it ends in.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

from holdfast import _confinement
from holdfast._source_paths import PACKAGES, ShownLoader

LIBRARY: Final = "/python"  # where componentize-py has Python's own modules while it builds

# Parts of the standard library that cannot run in a sandbox, or are no library.
_NO_LIBRARY: Final = frozenset({
    "__pycache__", "antigravity.py", "ctypes", "curses", "dbm", "ensurepip", "idlelib", "lib2to3",
    "pydoc_data", "site-packages", "test", "this.py", "tkinter", "turtle.py", "turtledemo", "venv", "webbrowser.py",
})  # fmt: skip
_LIBRARY_FILE_BYTES_MAX: Final = 1 << 19
_LATE: Final = ("event_loop.py", "ssl_stub.py")  # what of the SDK comes with asyncio and ssl


class Files:
    """Files in memory, by absolute path."""

    def __init__(self) -> None:
        self._blobs: list[bytes] = []
        self._files: dict[str, tuple[int, int, int]] = {}  # blob, offset, size
        self._folders: dict[str, list[str]] = {}  # names in it

    def add(self, root: str, index: dict[str, Any], blob: bytes) -> None:
        """Take in files: by path below `root`, the offset and size of what is compressed in `blob`."""
        number = len(self._blobs)
        self._blobs.append(blob)
        self._folders.setdefault(root, [])
        for path, (offset, size) in index.items():
            self._files[f"{root}/{path}"] = (number, offset, size)
            folder, _, name = f"{root}/{path}".rpartition("/")
            while folder not in self._folders:
                self._folders[folder] = [name]
                folder, _, name = folder.rpartition("/")
            self._folders[folder].append(name)

    def owns(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        return path in self._files or path in self._folders

    def is_file(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def names(self, folder: str) -> list[str] | None:
        """The names in a directory; None where there is none."""
        return self._folders.get(folder)

    def read(self, path: str) -> bytes:
        """A file's content; FileNotFoundError where there is none."""
        place = self._files.get(path)
        if place is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        number, offset, size = place
        return zlib.decompress(memoryview(self._blobs[number])[offset : offset + size])


class CarriedLoader(ShownLoader):
    """Loads a module from files in memory."""

    reads_again = True

    def __init__(self, fullname: str, path: str, shown_path: str, files: Files) -> None:
        super().__init__(fullname, path, shown_path)
        self._files = files

    def get_data(self, path: Any) -> bytes:
        return self._files.read(path)

    def path_stats(self, path: Any) -> Any:
        raise OSError  # nothing compiled lies beside it


class CarriedFinder:
    """Finds the modules of one directory in memory, for `importlib.machinery.PathFinder`."""

    def __init__(self, files: Files, folder: str, shown: str) -> None:
        self._files = files
        self._folder = folder
        self._shown = shown

    def find_spec(self, name: str, target: object = None) -> ModuleSpec | None:
        base = f"{self._folder}/{name.rpartition('.')[2]}"
        for path, is_package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
            if self._files.is_file(path):
                shown = f"{self._shown}{path[len(self._folder) :]}"
                spec = ModuleSpec(
                    name, CarriedLoader(name, path, shown, self._files), origin=path, is_package=is_package
                )
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations = [base]
                return spec
        if self._files.names(base) is None:
            return None
        spec = ModuleSpec(name, None, is_package=True)  # a part of a namespace package
        spec.submodule_search_locations = [base]
        return spec

    def invalidate_caches(self) -> None:
        """There are none."""

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """What `pkgutil.iter_modules` asks path entry finders for."""
        for name in sorted(self._files.names(self._folder) or ()):
            stem, _, suffix = name.partition(".")
            if suffix == "py" and stem != "__init__":
                yield prefix + stem, False
            elif not suffix and self._files.is_file(f"{self._folder}/{name}/__init__.py"):
                yield prefix + stem, True


class Carried:
    """All that one component carries. Installed before its author's module is imported."""

    def __init__(self) -> None:
        self._files = Files()

    def take_packages(self, folder: Path) -> None:
        """Take in what `holdfast_host.build.packages.bundle` wrote."""
        self._files.add(PACKAGES, json.loads((folder / "index.json").read_text()), (folder / "bytes").read_bytes())

    def install(self) -> None:
        """Let imports and files be found from now on."""
        for module in ("importlib.metadata", "importlib.readers", "importlib.resources", "pkgutil"):
            importlib.import_module(module)
        sys.path_hooks.insert(0, self._hook)
        sys.path.append(PACKAGES)
        _Door(self._files).open_up()

    def keep_library(self) -> None:
        """Take in Python's own modules, which packages import late: call it while a component is still being built."""
        room = memoryview(bytearray(_LIBRARY_FILE_BYTES_MAX))  # what is read and let go would be in the component
        for path in _library(Path(LIBRARY)):
            with path.open("rb", buffering=0) as file:
                size = 0
                while more := file.readinto(room[size:]):
                    size += more
            packed = zlib.compress(room[:size])
            self._files.add(LIBRARY, {str(path.relative_to(LIBRARY)): (0, len(packed))}, packed)
        room[:] = bytes(len(room))
        for path in (Path(_confinement.__file__).with_name(name) for name in _LATE):
            packed = zlib.compress(path.read_bytes())
            self._files.add(LIBRARY, {f"holdfast/_confinement/{path.name}": (0, len(packed))}, packed)
        _confinement.__path__.append(f"{LIBRARY}/holdfast/_confinement")

    def stay(self) -> None:
        """From now on only what is carried can be found."""
        sys.path_hooks[:] = [self._hook]
        sys.path[:] = [LIBRARY, PACKAGES]
        sys.path_importer_cache.clear()

    def _hook(self, folder: str) -> CarriedFinder:
        for root, shown in ((PACKAGES, "site-packages"), (LIBRARY, LIBRARY)):
            if (folder == root or folder.startswith(f"{root}/")) and self._files.names(folder) is not None:
                return CarriedFinder(self._files, folder, f"{shown}{folder[len(root) :]}")
        raise ImportError(f"{folder} is not carried")


def _library(folder: Path) -> Iterable[Path]:
    """The sources of Python's own modules."""
    waiting = [folder]
    while waiting:
        for entry in sorted(waiting.pop().iterdir()):
            if entry.name in _NO_LIBRARY:
                continue
            if entry.is_dir():
                waiting.append(entry)
            elif entry.suffix == ".py" and entry.stat().st_size < _LIBRARY_FILE_BYTES_MAX:
                yield entry


class _Door:
    """`open` and the functions of `os` that look at files, over files in memory and whatever they did before."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._open: Any = builtins.open
        self._of_os: dict[str, Any] = {
            name: getattr(os, name) for name in ("stat", "lstat", "listdir", "scandir", "access")
        }

    def open_up(self) -> None:
        """Put them in their places."""
        builtins.open = io.open = self._opened
        for name in self._of_os:
            setattr(os, name, getattr(self, f"_{name}"))

    def _own(self, path: Any) -> str | None:
        """The path of what is carried; None for all else."""
        if isinstance(path, int) or path is None:
            return None
        text = os.fspath(path)
        if not isinstance(text, str) or not text.startswith(PACKAGES):
            return None
        if text.endswith("/") or "/." in text or "//" in text:
            text = os.path.normpath(text)
        return text if self._files.owns(text) else None

    def _opened(self, file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
                newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip  # as io.open
        path = self._own(file)
        if path is None:
            return self._open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not self._files.is_file(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if set(mode) & set("wax+"):
            raise PermissionError(errno.EACCES, "a component's packages are read only", path)
        raw = io.BytesIO(self._files.read(path))
        raw.name = path  # as files have one
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)

    def _stat(self, path: Any, *arguments: Any, **further: Any) -> Any:
        own = self._own(path)
        if own is None:
            return self._of_os["stat"](path, *arguments, **further)
        mode, size = stat.S_IFDIR | 0o555, 0
        if self._files.is_file(own):
            mode, size = stat.S_IFREG | 0o444, len(self._files.read(own))
        return os.stat_result((mode, 0, 0, 1, 0, 0, size, 0, 0, 0))

    def _lstat(self, path: Any, *arguments: Any, **further: Any) -> Any:
        if self._own(path) is None:
            return self._of_os["lstat"](path, *arguments, **further)
        return self._stat(path)

    def _access(self, path: Any, mode: int, *arguments: Any, **further: Any) -> bool:
        if self._own(path) is None:
            return bool(self._of_os["access"](path, mode, *arguments, **further))
        return not mode & os.W_OK

    def _listdir(self, path: Any = ".") -> list[Any]:
        own = self._own(path)
        names = self._files.names(own) if own is not None else None
        if names is None:
            found: list[Any] = self._of_os["listdir"](path)
            return found
        return list(names)

    def _scandir(self, path: Any = ".") -> Any:
        own = self._own(path)
        if own is None or self._files.names(own) is None:
            return self._of_os["scandir"](path)
        return _Entries(_Entry(own, name, self._files) for name in self._files.names(own) or ())


class _Entries:
    """What `os.scandir` returns."""

    def __init__(self, entries: Iterable[_Entry]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[_Entry]:
        return self._entries

    def __next__(self) -> _Entry:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""


class _Entry:
    """One of them."""

    def __init__(self, folder: str, name: str, files: Files) -> None:
        self.name = name
        self.path = f"{folder}/{name}"
        self._files = files

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return not self._files.is_file(self.path)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._files.is_file(self.path)

    def is_symlink(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path)
