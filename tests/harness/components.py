"""Components of test projects, built by `holdfast build` itself and kept until their sources change.

A build takes eight seconds of CPU and the first compile of a code seven: both are kept in pytest's cache folder, what
was built under a hash of everything that goes in, what a host compiled from it under the host's own key and a hash of
its sandbox, and checked by it again each time. Processes that test at the same time share both. What nobody used for
two days goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from holdfast_host.core.limits import Limits
from holdfast_host.core.project_manifest import read_manifest
from holdfast_host.sandbox.components.compile_client import compile_component
from holdfast_host.sandbox.components.compiled_store import KeptComponent, sha256_of

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "examples"
ACCOUNT = EXAMPLES / "account"
GUESTS = PROJECT / "tests" / "harness" / "guests"
PROBE = GUESTS / "probe"
HALL = GUESTS / "hall"
JOINT = (
    *(each.parent for each in sorted(GUESTS.glob("*/holdfast.toml"))),
    EXAMPLES / "reminders",
    EXAMPLES / "session",
)
MEASURED = PROJECT / "tests" / "benchmarks" / "peers" / "account"
CACHE = PROJECT / ".pytest_cache" / "holdfast-components"

_UNUSED_MAX_S = 2 * 24 * 3600.0
_HOLDFAST = str(Path(sys.executable).parent / "holdfast")
_INGREDIENTS = (
    PROJECT / "wit",
    PROJECT / "guest_sdk",
    PROJECT / "host" / "holdfast_host" / "build",
)
_COMPILED_BY = PROJECT / "host" / "holdfast_host" / "sandbox"
_MANIFEST = 'name = "guests"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n'
_FETCH = """
def fetch(request, env):
    app = web.app if hasattr(env, "DESK") else chat.app if hasattr(env, "ROOM") else chain.app
    return app.fetch(request, env)
"""


@dataclass(frozen=True, slots=True)
class TestComponent:
    """A built project: its function's name, manifest and component."""

    __test__ = False

    function: str
    project: Path
    manifest: Path
    component: Path


def built(project: Path) -> TestComponent:
    """The project's component, built now if its sources have changed since the last time.

    The projects that are joint have one component between them, and each the manifest that is its own.
    """
    if project in JOINT:
        return jointly_built(project)
    kept = made_once(_name_of(project), lambda path: _build(project, path))
    return TestComponent(project.name, project, project / "holdfast.toml", kept)


def jointly_built(project: Path) -> TestComponent:
    """The same as the joint component has it: also the project that is measured, which has one of its own for that."""
    kept = made_once(f"guests-{_digest(*JOINT, MEASURED, *_INGREDIENTS)}.wasm", _build_joint)
    return TestComponent(project.name, project, project / "holdfast.toml", kept)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A file of the cache; the first who asks for it writes it with `make`, to another path, while the others wait."""
    kept = CACHE / name
    with _one_at_a_time(name):
        if not kept.exists():
            fresh = kept.with_suffix(f".{os.getpid()}")
            make(fresh)
            fresh.replace(kept)
            _forget_what_is_unused()
        os.utime(kept)
    return kept


def compiled(component: Path) -> Path:
    """A good component, compiled as a host does it, or found where one has been compiled already."""
    with _one_at_a_time(sha256_of(component)):
        return asyncio.run(compile_component(component, _compiled_folder(), Limits(), lambda stage: None)).path


@contextlib.contextmanager
def compiled_once(component: Path, data: Path) -> Iterator[None]:
    """Around a deploy: the host with this data finds what an earlier one compiled, and leaves what it compiles.

    The host's own cache is what it finds; a `component` that no host has compiled yet, it compiles, or makes from the
    machine code of another.
    """
    sha256 = sha256_of(component)
    kept, own = (KeptComponent.at(folder, sha256) for folder in (_compiled_folder(), data / "compiled"))
    with _one_at_a_time(sha256):
        if _is_whole(kept) and not _is_whole(own):
            _copy(kept, own)
        with contextlib.nullcontext() if _is_whole(own) else _codes_lent(data / "compiled"):
            yield
        if _is_whole(own) and not _is_whole(kept):
            _copy(own, kept)


@contextlib.contextmanager
def _codes_lent(own: Path) -> Iterator[None]:
    """Meanwhile a host finds one compiled file of each code that the Python SDK's components have."""
    lent: dict[str, Path] = {}
    for record in _compiled_folder().glob("*.json"):
        facts = json.loads(record.read_bytes())
        if "image" in facts and not (own / record.name).exists():
            lent[facts["image"]["code"]] = record
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    links = [own / kept.name for record in lent.values() for kept in (record.with_suffix(".cwasm"), record)]
    with contextlib.ExitStack() as stack:
        for link in links:
            with contextlib.suppress(FileExistsError):  # lent by another deploy to the same host
                link.symlink_to(_compiled_folder() / link.name)
                stack.callback(link.unlink, missing_ok=True)
        yield


@contextlib.contextmanager
def shared_compiles(data: Path) -> Iterator[None]:
    """Around commands that build and deploy: the running host finds what others compiled, and leaves what it compiles.

    Like `compiled_once` for components that are not known before. Not for tests that damage files.
    """
    own = data / "compiled"
    for record in _compiled_folder().glob("*.json"):
        for kept in (record.with_suffix(".cwasm"), record):
            with contextlib.suppress(FileExistsError):
                (own / kept.name).symlink_to(kept)
    yield
    for record in own.glob("*.json"):
        made = KeptComponent(record.with_suffix(".cwasm"), record)
        shared = KeptComponent(_compiled_folder() / made.compiled.name, _compiled_folder() / record.name)
        if _is_whole(made) and not _is_whole(shared):
            _copy(made, shared)


def _build(project: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / project.name
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
        done = subprocess.run([_HOLDFAST, "build", str(copy)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"holdfast build {project.name}: {done.stdout}{done.stderr}"
        [made] = (copy / "build").glob("*.wasm")
        shutil.copyfile(made, target)


def _build_joint(target: Path) -> None:
    """One project of all that are joint: each is a package with its module `app`; its other modules are top-level."""
    with tempfile.TemporaryDirectory() as scratch:
        joint = Path(scratch) / "guests"
        lines: list[str] = []
        shipped: set[str] = set()
        for guest in (*JOINT, MEASURED):
            for module in (guest / "src").glob("*.py"):
                place = joint / "src" / (guest.name if module.name == "app.py" else "") / module.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(module, place)
            types = [each.type for each in read_manifest(guest, Limits()).actors]
            assert not shipped & {*types}, f"the joint component has types of {guest.name} already: {shipped}"
            shipped |= {*types}
            lines += [f"import {guest.name}.app", f"from {guest.name}.app import {', '.join(types)}"]
        (joint / "src" / "app.py").write_text("\n".join(lines) + _FETCH)
        (joint / "holdfast.toml").write_text(_MANIFEST)
        _build(joint, target)


def _is_whole(kept: KeptComponent) -> bool:
    return kept.compiled.exists() and kept.looks_unchanged()


def _copy(source: KeptComponent, target: KeptComponent) -> None:
    """With its time, which the record vouches for; the record last."""
    target.record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, place in ((source.compiled, target.compiled), (source.record, target.record)):
        fresh = place.with_suffix(f".{os.getpid()}")
        shutil.copy2(path, fresh)
        fresh.replace(place)


@contextlib.contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    """Of all processes that test, the others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest_of(texts: Iterable[str]) -> str:
    """A name for what is built from these texts by what builds, SDK and contract as they are now."""
    return hashlib.sha256("\0".join([_digest(*_INGREDIENTS), *texts]).encode()).hexdigest()[:16]


def _name_of(project: Path) -> str:
    """The file of the cache that a project's component is, which tells all that goes in."""
    return f"{project.name}-{_digest(project, *_INGREDIENTS)}.wasm"


@functools.cache
def _compiled_folder() -> Path:
    """The cache of what was compiled, checked and tried by the sandbox as it is now."""
    folder = CACHE / f"compiled-{_digest(_COMPILED_BY)}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(folder)
    return folder


def _forget_what_is_unused() -> None:
    for entry in list(CACHE.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # another process that tests was faster
            if time.time() - entry.stat().st_mtime < _UNUSED_MAX_S:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _digest(*roots: Path) -> str:
    digest = hashlib.sha256(version("componentize-py").encode())
    for root in roots:
        for path in _files(root):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not {"build", "__pycache__", "testing", "client"} & set(
            path.relative_to(root).parts[:-1]
        ):
            yield path
