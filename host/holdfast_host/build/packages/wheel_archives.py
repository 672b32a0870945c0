"""Wheels as archives: what is in them, and whether one does without its native parts. Nothing of them is run."""

from __future__ import annotations

import ast
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import parse_wheel_filename

from holdfast_host.build.errors import BuildError
from holdfast_host.core.limits import MIB

UNPACKED_BYTES_MAX: Final = 256 * MIB  # of all packages of a project
UNPACKED_FILES_MAX: Final = 50_000

_NATIVE_SUFFIXES: Final = (".so", ".pyd", ".dylib")
_CAUGHT: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def files_of(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Path below site-packages, and content, of every file that a wheel would put there.

    Raises:
        BuildError: It is no wheel, has native code, a path that leads elsewhere, or more than the limits allow.
    """
    with _opened(wheel) as (archive, entries):
        for each in entries:
            place = _place(each.filename)
            if place is None:
                continue
            parts = PurePosixPath(place).parts
            if place.startswith("/") or ".." in parts or "\\" in place or "\0" in place:
                raise BuildError(f"{wheel.name} has a file that leads out of its package: {place!r}")
            if place.endswith(_NATIVE_SUFFIXES):
                raise BuildError(f"the dependency file {place} is native code: a sandbox runs pure Python")
            yield place, archive.read(each)


def check_wheel(wheel: Path) -> None:
    """Return where a wheel can be opened and is within the limits; BuildError otherwise."""
    with _opened(wheel):
        pass


@contextmanager
def _opened(wheel: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A wheel, and its files: nothing is unpacked of one that would be too large.

    Raises:
        BuildError: It cannot be read, here or later, or has more than the limits allow.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir()]
            check_size(wheel.name, sum(each.file_size for each in entries), len(entries))
            yield archive, entries
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise BuildError(f"{wheel.name} is no wheel that can be read: {error}") from None


def check_size(what: str, unpacked_bytes: int, files: int) -> None:
    """BuildError where one or all packages of a project are more than a build takes."""
    if unpacked_bytes > UNPACKED_BYTES_MAX or files > UNPACKED_FILES_MAX:
        raise BuildError(f"{what} has more than {UNPACKED_BYTES_MAX // MIB} MiB or {UNPACKED_FILES_MAX} files")


def _place(name: str) -> str | None:
    """Where a file of a wheel goes below site-packages; None for scripts, headers and the like."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    scheme, _, below = rest.partition("/")
    return below if scheme in ("purelib", "platlib") else None


def without_native_parts(wheel: Path, target: Path) -> Path | None:
    """Write a wheel's pure part into a directory, as a wheel for any platform, where its package can do with that.

    A package can where it imports every native module of its own under `try: ... except ImportError:`, at least once,
    and what its importable top imports needs none of them.
    """
    with _opened(wheel) as (archive, entries):
        names = [each.filename for each in entries]
        native = [name for name in names if name.endswith(_NATIVE_SUFFIXES) or ".libs/" in name]
        sources = {name: archive.read(name) for name in names if name.endswith(".py") and ".dist-info/" not in name}
        if not _does_without(native, sources):
            return None
        _, version, _, _ = parse_wheel_filename(wheel.name)
        # Of all tags that fit, pip likes this one least: where the release has a pure wheel besides, that is taken.
        made = target / f"{wheel.name.partition('-')[0]}-{version}-py30-none-any.whl"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as pure:
            for each in sorted(set(names) - set(native)):
                pure.writestr(each, archive.read(each))
    return made


def _does_without(native: Iterable[str], sources: dict[str, bytes]) -> bool:
    modules = {_module(name): content for name, content in sources.items()}
    missing = {_module(name) for name in native if name.endswith(_NATIVE_SUFFIXES) and ".libs/" not in name}
    missing -= modules.keys()  # compiled from the source that lies beside it
    missing = {each for each in missing if not each.endswith("__mypyc")}
    needed: dict[str, set[str]] = {}
    guarded: set[str] = set()
    late: set[str] = set()
    known = missing | modules.keys()
    packages = {_module(name) for name in sources if name.endswith("__init__.py")}
    for name, content in modules.items():
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):  # written for a newer Python than this one
            return not missing
        needed[name] = set(_imports(tree.body, name, known, guarded, late, is_package=name in packages))
    broken = _all_that_need(missing, needed)
    waiting = [*guarded]
    while waiting:  # what is needed by something that is tried is tried as well
        fresh = needed.get(waiting.pop(), set()) - guarded
        guarded |= fresh
        waiting += fresh
    tops = {name for name in modules if "." not in name and not name.startswith("_")}
    public = {name for name in missing if not any(part.startswith("_") for part in name.split("."))}
    return (
        bool(tops)
        and not tops & broken
        and missing <= guarded
        and not missing & late
        and not any(names & public for names in needed.values())
    )


def _all_that_need(missing: Iterable[str], needed: Mapping[str, Iterable[str]]) -> set[str]:
    """Those that are missing, and what cannot be imported without one of them."""
    users: dict[str, list[str]] = {}
    for user, names in needed.items():
        for name in names:
            users.setdefault(name, []).append(user)
    waiting = [*missing]
    found = set(waiting)
    while waiting:
        fresh = set(users.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += fresh
    return found


def _module(path: str) -> str:
    """`a/b.cpython-314-x86_64-linux-gnu.so` and `a/b/__init__.py` are `a.b`."""
    place = PurePosixPath(_place(path) or path)
    parts = [*place.parent.parts, place.name.partition(".")[0]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(
    body: Iterable[ast.stmt], module: str, known: set[str], guarded: set[str], late: set[str], *, is_package: bool
) -> Iterator[str]:
    """The known modules that a module cannot be imported without.

    Those that it only tries to import are added to `guarded`, those that its functions need to `late`.
    """
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imported(node, module, known, is_package=is_package)
        elif isinstance(node, ast.Try) and any(map(_swallows, node.handlers)):
            guarded.update(_imports(node.body, module, known, guarded, late, is_package=is_package))
            for handler in node.handlers:
                yield from _imports(handler.body, module, known, guarded, late, is_package=is_package)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            late.update(_imports(node.body, module, known, guarded, late, is_package=is_package))
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not node.orelse):
            for inner in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(node, inner, ()), module, known, guarded, late, is_package=is_package)


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a failed import ends here."""
    if any(isinstance(each, ast.Raise) for each in ast.walk(handler)):
        return False
    names = {each.id for each in ast.walk(handler.type) if isinstance(each, ast.Name)} if handler.type else _CAUGHT
    return bool(names & _CAUGHT)


def _imported(node: ast.Import | ast.ImportFrom, module: str, known: set[str], *, is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [each.name for each in node.names]
    else:
        parts = module.split(".")
        base = parts[: len(parts) - node.level + is_package] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        names = [source, *(f"{source}.{each.name}" for each in node.names)]
    for name in names:
        while name:
            if name in known and not module.startswith(f"{name}.") and name != module:
                yield name
            name = name.rpartition(".")[0]
