"""Builds that are kept: what has not changed is not built again, and the cache never decides what comes out.

componentize-py is a stand-in here, which counts; that the same inputs give the same bytes is `test_reproducible`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_host.build import build_cache
from holdfast_host.build.build_cache import KEPT_MAX
from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import build_project, describe_project
from tests.harness.wheels import write_wheel
from tests.unit.build.test_build import ACTOR, MANIFEST, project

DESCRIPTION: dict[str, object] = {"actors": [], "warnings": ["a doubt"]}


class Componentize:
    """Counts its runs, and gives other bytes each time."""

    def __init__(self) -> None:
        self.runs = 0
        self.report: dict[str, object] = DESCRIPTION

    def __call__(self, work: Path, seed: str) -> str:
        self.runs += 1
        (work / "refused").write_text("this kernel offers nothing")
        (work / "entry" / "report.json").write_text(json.dumps(self.report))
        (work / "entry" / "objects").write_bytes(b"{}\n")
        (work / "out.wasm").write_bytes(f"component {self.runs}".encode())
        return ""


@pytest.fixture
def componentize(monkeypatch: pytest.MonkeyPatch) -> Componentize:
    stand_in = Componentize()
    monkeypatch.setattr("holdfast_host.build.project._componentize", stand_in)
    return stand_in


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "holdfast" / "builds"


def test_what_has_not_changed_is_not_built_again_wherever_it_lies(componentize: Componentize, tmp_path: Path) -> None:
    said: list[list[str]] = [[], []]
    first = build_project(project(tmp_path / "one"), said[0].append)
    second = build_project(project(tmp_path / "two"), said[1].append)

    assert componentize.runs == 1
    assert first.path.read_bytes() == second.path.read_bytes() == b"component 1"
    assert first.description == second.description == describe_project(tmp_path / "one")
    assert said[0] == said[1], "what a build warns of is said again"
    assert [line for line in said[1] if "a doubt" in line or "offers nothing" in line] != []
    assert componentize.runs == 1


def _variable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "holdfast.toml").write_text(f'{MANIFEST}[vars]\nGREETING = "hello"\n')


def _binding(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "holdfast.toml").write_text(f'{MANIFEST}[[actors]]\nbinding = "TRIAL"\ntype = "Trial"\n')


def _package(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(directory, "tiny", {"tiny.py": "X = 1\n"})
    (directory / "holdfast.toml").write_text(f'{MANIFEST}dependencies = ["./tiny-1.0-py3-none-any.whl"]\n')


def _contract(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory.parent / "wit").mkdir()
    (directory.parent / "wit" / "world.wit").write_text("package holdfast:actor@9.0.0;\n")
    monkeypatch.setattr(build_cache, "wit_directory", lambda: directory.parent / "wit")


def _runner(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory.parent / "process").mkdir()
    monkeypatch.setattr(build_cache, "_RUNNER", directory.parent / "process")


def _environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "holdfast.toml").write_text(f'{MANIFEST}[env.staging]\nname = "p-staging"\nlimits.method_s = 2\n')


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (lambda directory, _: (directory / "src" / "app.py").write_text(f"{ACTOR}\n"), 2),
        (lambda directory, _: (directory / "src" / "prices.txt").write_text("1"), 2),
        (_binding, 2),
        (_package, 2),
        (_contract, 2),
        (_runner, 2),
        (lambda _, monkeypatch: monkeypatch.setattr(build_cache, "version", lambda name: "9.9"), 2),
        (_variable, 1),  # it is told to an activation
        (_environment, 1),  # all have the same component
        (lambda directory, _: (directory / "README.md").write_text("read me"), 1),
    ],
    ids=[
        *("a source", "a file beside it", "a binding", "a package", "the contract", "what runs it", "componentize-py"),
        *("a variable", "an environment", "what is no source"),
    ],
)
def test_whatever_goes_into_a_component_takes_a_build_when_it_changes_and_nothing_else_does(
    componentize: Componentize,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, pytest.MonkeyPatch], object],
    runs: int,
) -> None:
    directory = project(tmp_path / "p")
    build_project(directory)
    change(directory, monkeypatch)
    build_project(directory)

    assert componentize.runs == runs


@pytest.mark.parametrize("part", ["out.wasm", "objects", "report.json", "refused", "record.json"])
@pytest.mark.parametrize("damage", [b"", b"other", None], ids=["empty", "other", "gone"])
def test_a_kept_build_that_was_damaged_is_built_again_and_kept_again(
    componentize: Componentize, tmp_path: Path, cache: Path, part: str, damage: bytes | None
) -> None:
    directory = project(tmp_path / "p")
    build_project(directory)
    [kept] = cache.iterdir()
    if damage is None:
        (kept / part).unlink()
    else:
        (kept / part).write_bytes(damage)

    assert [build_project(directory).path.read_bytes() for _ in range(2)] == [b"component 2"] * 2


def test_a_build_that_failed_is_not_kept(componentize: Componentize, tmp_path: Path, cache: Path) -> None:
    componentize.report = {"kind": "raised", "message": "no"}
    for _ in range(2):
        with pytest.raises(BuildError, match="cannot be imported: no"):
            build_project(project(tmp_path / "p"))

    assert componentize.runs == 2
    assert not cache.exists()


@pytest.mark.parametrize("home", ["a file", "nothing"])
def test_without_a_place_to_keep_it_a_build_is_as_ever(
    componentize: Componentize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if home == "a file" else "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # of a user without a home

    assert [build_project(project(tmp_path / "p")).path.read_bytes() for _ in range(2)] == [
        b"component 1",
        b"component 2",
    ]


def test_those_that_were_not_used_for_the_longest_time_go(
    componentize: Componentize, tmp_path: Path, cache: Path
) -> None:
    projects = [project(tmp_path / f"p{number}", f"{ACTOR}# {number}\n") for number in range(KEPT_MAX + 1)]
    for number, each in enumerate(projects[:-1]):
        build_project(each)
        [made] = [entry for entry in cache.iterdir() if entry.stat().st_mtime > 1e9]
        os.utime(made, (number, number))
    build_project(projects[0])  # used, so not the oldest any more
    build_project(projects[-1])

    assert len(list(cache.iterdir())) == KEPT_MAX
    assert componentize.runs == KEPT_MAX + 1
    build_project(projects[0])
    assert componentize.runs == KEPT_MAX + 1
    build_project(projects[1])
    assert componentize.runs == KEPT_MAX + 2
