"""What a worker counts, and that a commit which hangs is told."""

from __future__ import annotations

import queue

import pytest

from holdfast_host.worker import health
from holdfast_host.worker.measures import Histogram
from tests.unit.worker.stage import Stage


def test_a_histogram_counts_a_value_at_its_bound_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.add(value)

    assert histogram.report() == {"bounds": (1.0, 2.0), "counts": [2, 2, 1], "sum": 14.0}


def test_a_commit_that_hangs_is_told_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STALL_S", 0.1)
    stage = Stage(monkeypatch)
    told: queue.Queue[bool] = queue.Queue()
    stage.do(lambda: setattr(stage.worker.health, "on_stall", told.put))
    stage.store.hold()
    slot = stage.client.send("a", "add", 1)
    stage.store.wait_held()

    assert stage.call("b", "read") == (200, 0)  # anything that waits has another leader appointed
    assert told.get(timeout=10) is True
    stage.store.let_go()
    assert told.get(timeout=10) is False
    assert stage.client.wait(slot)[0] == 200
    report = stage.do(lambda: stage.worker.report.read())
    assert report["group_turns"]["sum"] == 1
    assert report["commit_seconds"]["sum"] > 0.1


def test_a_want_of_room_is_told_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    told: queue.Queue[str | None] = queue.Queue()
    stage.do(lambda: setattr(stage.worker.health, "on_shortage", told.put))
    stage.store.fill()

    assert told.get(timeout=10) == "the test wants it full"
    assert stage.do(lambda: stage.worker.report.read())["short_of_room"] is True
    stage.store.fill(False)
    assert told.get(timeout=10) is None
    assert told.empty()
