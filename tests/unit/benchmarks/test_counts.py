"""Which way instructions are counted: by the processor where it does, else by valgrind, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.supervisor import host as supervisor
from holdfast_host.worker import housekeeping
from tests.benchmarks import counts, emulated
from tests.benchmarks.results import Section, machine
from tests.benchmarks.scale import QUICK
from tests.benchmarks.servers import MissingToolError


def section() -> Section:
    return Section("counts", "2026-11-30", True, machine())


def perf_that_prints(folder: Path, count: str) -> None:
    """A program `perf` that says that an event happened so often."""
    program = folder / "perf"
    program.write_text(f"#!/bin/sh\necho '{count},,instructions:u,1,100.00,,' >&2\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("count", "counts_here"), [("1234", True), ("<not supported>", False), ("", False)])
def test_the_processor_counts_only_where_perf_has_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: str, counts_here: bool
) -> None:
    perf_that_prints(tmp_path, count)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert counts._perf_counts() is counts_here


def test_where_perf_has_none_valgrind_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perf_that_prints(tmp_path, "<not supported>")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ran = []
    monkeypatch.setattr(emulated, "run", lambda *arguments: ran.append(arguments))
    measured = section()
    counts.run(measured, QUICK)

    assert ran == [(measured, QUICK)]


def test_where_neither_can_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError, match=r"valgrind: make apt$"):
        counts.run(section(), QUICK)


def test_what_is_changed_for_valgrind_is_there_by_that_name() -> None:
    """A renamed one would end the host before it is ready, or count what the clock drives."""
    assert "housekeeping.HOUSEKEEPING_S = " in emulated._CUSTOMIZE
    assert housekeeping.HOUSEKEEPING_S < 1
    assert '"ProbeTimes"' in emulated._HOST
    assert hasattr(supervisor, "ProbeTimes")
