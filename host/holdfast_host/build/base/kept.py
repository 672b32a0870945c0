"""Bases: what builds of the same SDK and packages have in common, kept, so that a change of sources takes a second.

A base is a component without an author's modules, and the machine code of it. A build that finds one activates it with
the sources in a sandbox, and takes what is then in its memory for that of the component; its code is that of the base.
Nothing is lost where there is none, or where sources want what it lacks: then a build is as it is without.

Bases lie in `bases` beside the kept builds, of this user alone. Their hash seed follows from a secret that lies there
too: the sources of one author do not say what it is, and neither does a component of another user.
"""

from __future__ import annotations

import ast
import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast_host.build.base.memory_snapshot import with_memory
from holdfast_host.build.build_cache import cache_directory, tools_digest
from holdfast_host.build.errors import BuildError
from holdfast_host.build.immortal_objects import OtherPythonError, make_immortal
from holdfast_host.build.process.runs import run_confined
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.compile_client import compile_component
from holdfast_host.sandbox.components.compiled_store import DamagedError, KeptComponent, sha256_of

BASES_MAX: Final = 4  # some 80 MB each; the one that was not used for the longest time goes first
SECRET_BYTES: Final = 32

_ENTRY: Final = '''"""The entry of a base."""

from holdfast._component.base import load_base

Instance = load_base("/0/plan.json")
'''
# What the lines of a base begin with, see `holdfast._component.base`.
_REPORT, _OBJECTS = "holdfast build report:", "holdfast build objects:"
# Names of modules that an author's may not have here: in a build without a base the others would be found first.
_TAKEN: Final = frozenset(sys.stdlib_module_names) | {"holdfast", "holdfast_entry", "packages", "wit_world"}

Componentize = Callable[[Path, str], str]


@dataclass(frozen=True, slots=True)
class Base:
    """The place of one base: that of an SDK, of packages, and of modules of Python's library."""

    folder: Path
    modules: tuple[str, ...]
    seed: str

    @property
    def component(self) -> Path:
        """The component, without an author's modules."""
        return self.folder / "base.wasm"

    @property
    def compiled(self) -> Path:
        """The folder of its machine code."""
        return self.folder / "compiled"


def base_of(work: Path) -> Base | None:
    """The base that the build in a throwaway directory, laid out, can go on from; None where it can from none."""
    files = _sources(work)
    if files is None:
        return None
    secret = _secret()
    if secret is None:
        return None
    modules = tuple(sorted(set(_library_modules(files.values()))))
    digest = hashlib.sha256(f"{tools_digest()} {json.dumps(modules)}".encode())
    for part in ("holdfast", "packages"):
        for path in sorted((work / "entry" / part).rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(work).as_posix()}\0{len(content)}\0".encode() + content)
    digest.update(secret)
    seed = digest.hexdigest()
    return Base(_bases() / hashlib.sha256(f"base {seed}".encode()).hexdigest()[:32], modules, seed)


def make_base(work: Path, base: Base, plan: dict[str, Any], componentize: Componentize, limits: Limits) -> None:
    """Build and compile a base, some twenty seconds of processor time each; it is kept, whole or not at all.

    Args:
        work: a throwaway directory of its own, laid out as for a build.
        base: the place, that `base_of` gave for the same.
        plan: what the build is told.
        componentize: makes the component of that directory.
        limits: the operator's.

    Raises:
        BuildError: it cannot be built or compiled here.
    """
    shutil.rmtree(work / "source")
    (work / "source").mkdir()
    plan = {**plan, "shown": {}, "modules": base.modules}
    (work / "entry" / "plan.json").write_text(json.dumps(plan))
    (work / "entry" / "holdfast_entry.py").write_text(_ENTRY)
    said = componentize(work, base.seed)
    if not (work / "out.wasm").is_file():
        raise BuildError("what builds of changed sources go on from cannot be made", said)
    with suppress(OtherPythonError):
        make_immortal(work / "out.wasm", work / "entry" / "objects")
    cache = base.folder.parent
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        shutil.copyfile(work / "out.wasm", fresh / base.component.name)
        compiling = compile_component(fresh / base.component.name, fresh / base.compiled.name, limits, lambda _: None)
        asyncio.run(compiling)
        with suppress(OSError):  # another one of the same was faster
            fresh.rename(base.folder)
    except HoldfastError as error:
        raise BuildError(f"what builds of changed sources go on from does not compile: {error.message}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _forget_the_oldest(cache)


@contextmanager
def turn_to_make(base: Base) -> Iterator[None]:
    """Wait for whoever makes a base of this user now: two deploys, one soon after the other, want the same one."""
    cache = base.folder.parent
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (cache / "turn").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_kept(base: Base) -> bool:
    """Whether it has been made."""
    return base.component.is_file()


def build_from(base: Base, work: Path, plan: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Leave in a throwaway directory what a whole build leaves there; False where that cannot be, and nothing is left.

    Args:
        base: one that is kept.
        work: the throwaway directory, laid out.
        plan: what the build is told.
        facts: the limits and inputs of the process.
    """
    files = _sources(work)
    try:
        kept = KeptComponent.at(base.compiled, sha256_of(base.component))
        if files is None or kept.read() is None:
            return False
    except (OSError, DamagedError):
        shutil.rmtree(base.folder, ignore_errors=True)  # it is made anew
        return False
    with suppress(OSError):
        os.utime(base.folder)
    environment, memory, said = work / "home" / "environment", work / "home" / "memory", work / "home" / "said"
    environment.write_text(json.dumps({"build": {**plan, "files": files}}))
    added_bytes = kept.memory_added_bytes()
    facts = {**facts, "compiled": os.path.realpath(kept.compiled), "added_bytes": added_bytes}
    facts |= {"environment": str(environment), "out": str(memory), "said": str(said)}
    facts["readable"] = [*facts["readable"], str(base.folder), "/dev/urandom", "/sys/devices/system/cpu"]
    try:
        done = run_confined("activate", facts, [], work)
        if done.returncode:
            return False
        report, objects = _read(said.read_text())
        (work / "entry" / "report.json").write_text(report)
        (work / "entry" / "objects").write_bytes(objects)
        (work / "out.wasm").write_bytes(with_memory(base.component.read_bytes(), memory.read_bytes(), added_bytes))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    finally:
        for each in (environment, memory, said):
            each.unlink(missing_ok=True)
    return True


def _sources(work: Path) -> dict[str, str] | None:
    """The texts of the author's modules, by path; None where a base could find others than a whole build does."""
    root, files = work / "source", dict[str, str]()
    for path in sorted(root.rglob("*.py")):
        try:
            files[path.relative_to(root).as_posix()] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return None  # it may say in its first lines what it is
    names = {path.partition("/")[0].removesuffix(".py") for path in files}
    return None if names & _TAKEN else files


def _library_modules(texts: Iterator[str] | Any) -> Iterator[str]:
    """What of Python's library these import anywhere."""
    for text in texts:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue  # the build says so
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names if each.name != "*")]
            yield from (each for each in names if each.partition(".")[0] in sys.stdlib_module_names)


def _read(said: str) -> tuple[str, bytes]:
    """The report, and where its objects lie; ValueError where they are not there."""
    report, objects = "", ""
    for line in said.splitlines():
        if line.startswith(_REPORT):
            report, objects = line.removeprefix(_REPORT), ""  # what came before was the author's
        elif line.startswith(_OBJECTS):
            objects += line.removeprefix(_OBJECTS)
    if not report:
        raise ValueError("the base says nothing of a component")
    return report, bytes.fromhex(objects)


def _bases() -> Path:
    return cache_directory() / "bases"


def _secret() -> bytes | None:
    """What only this user knows, made when it is wanted first; None where nothing can be kept."""
    place = _bases() / "secret"
    with suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            descriptor, name = tempfile.mkstemp(prefix="new-", dir=place.parent)
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
            with suppress(FileExistsError):
                os.link(name, place)
            os.unlink(name)
        found = place.read_bytes()
        return found if len(found) == SECRET_BYTES else None
    return None


def _forget_the_oldest(cache: Path) -> None:
    folders = [each for each in cache.iterdir() if each.is_dir()]
    for entry in sorted(folders, key=lambda each: each.stat().st_mtime, reverse=True)[BASES_MAX:]:
        shutil.rmtree(entry, ignore_errors=True)
