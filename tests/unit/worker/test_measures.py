"""What a worker counts, and that a commit which hangs is told."""

from __future__ import annotations

import queue
from dataclasses import replace

import pytest

from holdfast_host.worker import health
from holdfast_host.worker.measures import Histogram, TypeMeasures
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


def test_types_of_one_name_and_functions_are_counted_each_under_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two series of one name and equal labels are none."""
    stage = Stage(monkeypatch)
    deployments, loaded = stage.worker.deployments, stage.loaded()
    handlers = [replace(loaded, type="", type_id=0, function=each) for each in ("f", "f.acme", "g")]

    def count() -> list[str]:
        for each in (loaded, replace(loaded, type_id=2, tenant="acme", function="f.acme"), *handlers):
            deployments._install(each)
        numbers = [1, 2, 3, *map(deployments.function_number, ("f", "f.acme", "g"))]
        stage.worker.measures.types.update({number: TypeMeasures() for number in numbers})
        return [each["type"] for each in stage.worker.report.read()["types"]]

    assert stage.do(count) == ["T", "T.acme", "#3", "fn f", "fn f.acme", "fn g"]
