"""Components of test projects, built by `holdfast build` itself and kept until their sources change.

A build takes seconds, so what was built is kept in pytest's cache folder under a hash of everything that goes in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ACCOUNT = PROJECT / "examples" / "account"
PROBE = PROJECT / "tests" / "harness" / "guests" / "probe"
CACHE = PROJECT / ".pytest_cache" / "holdfast-components"

_HOLDFAST = str(Path(sys.executable).parent / "holdfast")
_INGREDIENTS = (
    PROJECT / "wit",
    PROJECT / "guest_sdk",
    PROJECT / "host" / "holdfast_host" / "build",
)


@dataclass(frozen=True, slots=True)
class TestComponent:
    """A built project: its function's name, manifest and component."""

    __test__ = False

    function: str
    project: Path
    manifest: Path
    component: Path


def built(project: Path) -> TestComponent:
    """The project's component, built now if its sources have changed since the last time."""
    digest = _digest(project)
    kept = CACHE / f"{project.name}-{digest}.wasm"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / project.name
            shutil.copytree(project, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
            done = subprocess.run([_HOLDFAST, "build", str(copy)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"holdfast build {project.name}: {done.stdout}{done.stderr}"
            [made] = (copy / "build").glob("*.wasm")
            fresh = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(made, fresh)
            fresh.replace(kept)
    return TestComponent(project.name, project, project / "holdfast.toml", kept)


def _digest(project: Path) -> str:
    digest = hashlib.sha256(version("componentize-py").encode())
    for root in (project, *_INGREDIENTS):
        for path in _files(root):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not {"build", "__pycache__", "testing"} & set(path.relative_to(root).parts[:-1]):
            yield path
