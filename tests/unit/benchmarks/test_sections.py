"""`make bench` does not rot: its sections run, at the smallest size, and yield the figures that others look for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks import __main__ as bench
from tests.benchmarks import sandbox, socket_rows, stored
from tests.benchmarks.results import Section
from tests.benchmarks.scale import QUICK
from tests.benchmarks.servers import hand_rolled
from tests.harness.components import jointly_built

TINY = replace(QUICK, rounds=1, seconds=0.2, sandbox_calls=20)


def section() -> Section:
    return Section("s", "2026-11-21", True, {})


@pytest.mark.slow
def test_the_sandbox_is_measured_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "built", jointly_built)
    found = section()
    sandbox.run(found, TINY)

    for name in ("without_imports", "deposit", "instantiate"):
        assert (
            0 < found.figures[f"sandbox/{name}/ours_us"].median < found.figures[f"sandbox/{name}/public_us"].median * 2
        )


@pytest.mark.slow
def test_instances_that_are_written_to_a_stopped_host_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "built", jointly_built)
    with stored.Stored(tmp_path).host("many", instances=300, keys=20) as server:
        assert server.host is not None
        with server.host.caller() as caller:
            balances = [caller.value("Account", name, "balance") for name in ("a1", "a300", "a301")]
            listed = caller.value("Account", "a300", "list_all")

    assert balances == [{"balance": 5}, {"balance": 5}, {"balance": 0}]
    assert listed == 19


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_hand_rolled_server_is_stopped_by_its_block() -> None:
    with hand_rolled() as server:
        pid = server.pid

    assert not Path(f"/proc/{pid}").exists()


def test_a_section_that_fails_leaves_the_others_and_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_section: Section, _scale: object) -> None:
        raise ValueError("no luck")

    def whole(section: Section, _scale: object) -> None:
        section.figure("memory/5000/active", [5000.0])

    monkeypatch.setattr(bench, "SECTIONS", {"flat": broken, "disk": whole})
    monkeypatch.setattr(bench, "OUT", tmp_path)
    done = CliRunner().invoke(bench.main, [])

    assert done.exit_code == 1
    assert "not measured: flat" in done.output
    assert "ValueError: no luck" in (tmp_path / "results.md").read_text()
    assert "5,000" in (tmp_path / "results.json").read_text() + (tmp_path / "results.md").read_text()


def test_the_rows_of_sockets_are_read_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_rows, "_ROOMS", 3)
    monkeypatch.setattr(socket_rows, "_OF_ROOM", 300)
    found = section()
    socket_rows.measure(found, TINY)

    assert set(found.figures) == {"sockets/rows/start_ms", "sockets/rows/room_ms"}
