"""One component for the tests that look at what a build leaves in a sandbox: a build and a compile take 15 s of CPU.

Each of them brings a module, which becomes `src/FOLDER/app.py`, and asks for a sandbox of the actor that it exports.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from wasmtime.component import Component

from holdfast_host.build.project import build_project
from tests.harness import components
from tests.harness.wheels import write_wheel
from tests.packages.catalogue import PACKAGES, QUICK, trial
from tests.unit.build import test_anew, test_carried, test_confined, test_immortal
from tests.unit.build.test_build import MANIFEST, project
from tests.unit.guest.plain_host import PlainHost, PlainSandbox, quick_engine


def sandbox(actor_type: str, name: str = "t") -> PlainSandbox:
    """A new sandbox of one of the actors."""
    return _host().sandbox(actor_type, name)


def stages() -> list[str]:
    """What the build said."""
    said: list[str] = json.loads(_built()[1].read_text())
    return said


@functools.cache
def _host() -> PlainHost:
    component, _ = _built()
    engine = quick_engine()
    compiled = components.made_once(
        f"{component.stem}.cwasm", lambda path: path.write_bytes(Component(engine, component.read_bytes()).serialize())
    )
    return PlainHost(engine, Component.deserialize_file(engine, str(compiled)))


@functools.cache
def _built() -> tuple[Path, Path]:
    """The component, and what its build said."""
    name = f"joint-{components.digest_of(_texts())}"
    said = components.CACHE / f"{name}.json"

    def make(target: Path) -> None:
        stages: list[str] = []
        with tempfile.TemporaryDirectory() as scratch:
            target.write_bytes(build_project(_project(Path(scratch) / "p"), stages.append).path.read_bytes())
        said.write_text(json.dumps(stages))

    made = components.made_once(f"{name}.wasm", make)
    os.utime(said)  # it goes when the component goes
    return made, said


def _modules() -> dict[str, tuple[str, str]]:
    """By folder, the actor that a module exports and its text."""
    return {
        "anew": ("Anew", test_anew.APP),
        "handles": ("Handles", test_confined.HANDLES),
        "clients": ("Clients", test_confined.CLIENTS),
        "late_ones": ("Late", test_carried.APP),
        "inside": ("Inside", test_immortal.INSIDE),
        "popular": ("Popular", trial("Popular", [each for each in PACKAGES if each.name in QUICK])),
    }


def _needed() -> list[str]:
    return ["./dicebox-1.0-py3-none-any.whl", *test_carried.NEEDS, *test_confined.PACKAGES, *QUICK]


def _texts() -> Iterable[str]:
    for folder, (actor_type, text) in _modules().items():
        yield from (folder, actor_type, text)
    yield from (*_needed(), test_anew.DICEBOX, repr(test_carried.PACKAGE))


def _project(directory: Path) -> Path:
    lines = [f"from {folder}.app import {actor_type}" for folder, (actor_type, _) in _modules().items()]
    project(directory, "\n".join(lines) + "\n", f"{MANIFEST}dependencies = {json.dumps(_needed())}\n")
    write_wheel(directory, "dicebox", {"dicebox.py": test_anew.DICEBOX})
    test_carried.write_packages(directory)
    for folder, (_, text) in _modules().items():
        (directory / "src" / folder).mkdir()
        (directory / "src" / folder / "app.py").write_text(text)
    (directory / "src" / "handles" / "greeting.txt").write_text("hello")
    return directory
