"""Guests' lines on disk: bounded, in order, and gone through in steps."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.limits import KIB, MIB
from holdfast_host.worker.logs.ring import LANES, LogRing, lane_of, read_step

ALL = list(range(LANES))


def line(number: int, text: str = "x", at: float | None = None) -> str:
    return json.dumps({"time": float(number) if at is None else at, "message": text, "n": number})


def numbers(folder: Path, lanes: list[int] | None = None) -> tuple[list[int], int]:
    """What a reader finds from the start to the end, and in how many steps."""
    found: list[int] = []
    positions: dict[str, Any] = {}
    for steps in range(1, 10_000):
        lines, positions, known_to = read_step(folder, ALL if lanes is None else lanes, positions, lambda _: True)
        found += [facts["n"] for facts in lines]
        if known_to is None:
            return found, steps
    raise AssertionError("the reader does not come to an end")


def test_lines_of_all_lanes_come_in_order_of_time_over_many_steps(tmp_path: Path) -> None:
    ring = LogRing(tmp_path, 64 * MIB)
    for number in range(5_000):
        ring.append(f"T/{number % 50}", line(number, "x" * 200))
    ring.flush()

    found, steps = numbers(tmp_path)
    assert found == list(range(5_000))
    assert steps > 2


def test_a_lane_that_overflows_loses_its_oldest_lines_and_no_other_lanes(tmp_path: Path) -> None:
    by_lane: dict[int, str] = defaultdict(str)
    for number in range(1_000):
        by_lane[lane_of(f"T/{number}")] = f"T/{number}"
    loud, quiet = by_lane[0], by_lane[1]
    ring = LogRing(tmp_path, 512 * KIB)
    ring.append(quiet, line(0))
    for number in range(1, 20_000):
        ring.append(loud, line(number, "x" * 100))
        if number % 100 == 0:
            ring.flush()
    ring.flush()

    kept = sum(path.stat().st_size for path in tmp_path.iterdir())
    found, _ = numbers(tmp_path)
    assert kept < 512 * KIB
    assert found[0] == 0
    assert found[1:] == list(range(found[1], 20_000))
    assert len(found) > 300


def test_a_reader_goes_on_where_it_stopped_also_over_a_new_process(tmp_path: Path) -> None:
    first = LogRing(tmp_path, MIB)
    first.append("T/a", line(1))
    first.flush()
    lines, positions, known_to = read_step(tmp_path, ALL, {}, lambda _: True)
    assert ([facts["n"] for facts in lines], known_to) == ([1], None)

    second = LogRing(tmp_path, MIB)
    second.append("T/a", line(2))
    second.flush()
    lines, positions, _ = read_step(tmp_path, ALL, positions, lambda _: True)
    assert [facts["n"] for facts in lines] == [2]
    assert read_step(tmp_path, ALL, positions, lambda _: True)[0] == []


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    ring = LogRing(tmp_path, MIB)
    ring.append("T/a", line(1))
    ring.flush()
    [segment] = tmp_path.iterdir()
    with segment.open("ab") as file:
        file.write(b'{"time": 2.0, "mess')
    again = LogRing(tmp_path, MIB)
    again.append("T/a", line(3))
    again.flush()

    assert numbers(tmp_path)[0] == [1, 3]


@pytest.mark.parametrize("jump", [-1_000.0, 1_000.0])
def test_a_clock_that_jumps_loses_no_line(tmp_path: Path, jump: float) -> None:
    ring = LogRing(tmp_path, 64 * MIB)
    for number in range(4_000):
        at = number + (jump if number > 2_000 else 0.0)
        ring.append(f"T/{number % 20}", line(number, "x" * 300, at))
    ring.flush()

    found, _ = numbers(tmp_path)
    assert sorted(found) == list(range(4_000))


def test_a_folder_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert read_step(tmp_path / "none", ALL, {}, lambda _: True) == ([], {str(n): [0, 0] for n in ALL}, None)


def test_a_disk_that_takes_nothing_loses_lines_and_holds_nobody_up(tmp_path: Path) -> None:
    ring = LogRing(tmp_path / "logs", MIB)
    ring.append("T/a", line(1))
    (tmp_path / "logs").rmdir()
    ring.flush()
    (tmp_path / "logs").mkdir()
    ring.append("T/a", line(2))
    ring.flush()

    assert numbers(tmp_path / "logs")[0] == [2]


def test_what_is_none_of_ours_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    for lane in ALL:
        (tmp_path / f"{lane}-notes.log").write_text("a stranger's")
        (tmp_path / f"{lane}-000000000009.log").mkdir()
    ring = LogRing(tmp_path, 64 * MIB)
    for number in range(50):
        ring.append(f"T/{number}", line(number))
    ring.flush()

    assert numbers(tmp_path)[0] == list(range(50))
