"""The end of an import is a turn that is over when it is durable; exports and imports that nobody goes on with end."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.limits import Limits
from holdfast_host.worker.inspection import imports, transfers
from holdfast_host.worker.inspection.transfers import Transfers
from holdfast_host.worker.turns.turn import Turn
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.stage import TYPE, Guest, Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """One whose guests do what edits do."""
    edits: dict[bytes, Guest] = {
        b"stage": lambda turn, _: imports.stage(turn).decode(),
        b"adopt": lambda turn, _: imports.adopt(turn).decode(),
    }
    return Stage(monkeypatch, guests=edits)


def begin(stage: Stage, name: str) -> str:
    return stage.store.begin_import(stage.store.locate(TYPE, name.encode()))


def test_no_turn_behind_an_adoption_reads_what_was_there_before_or_nothing(stage: Stage) -> None:
    assert stage.call("a", "add", 1) == (200, 1)
    import_id = begin(stage, "a")
    assert stage.call("a", "stage", [import_id, [["total", "70"]]])[0] == 200
    assert stage.call("a", "read") == (200, 1)
    stage.store.hold()

    adopting = stage.client.send("a", "adopt", [import_id, 1, True, None, []])
    stage.store.wait_held()
    reading = stage.client.send("a", "read")
    assert stage.call("b", "read") == (200, 0), "others go on"
    assert not stage.client.answered(reading)
    stage.store.let_go()

    assert stage.client.wait(adopting)[0] == 200
    assert stage.client.wait(reading) == (200, 70)


def test_an_adoption_whose_commit_is_lost_leaves_the_instance_as_it_was(stage: Stage) -> None:
    assert stage.call("a", "add", 1) == (200, 1)
    import_id = begin(stage, "a")
    stage.call("a", "stage", [import_id, [["total", "70"]]])
    stage.store.lose_next([b"a"])

    status, _ = stage.call("a", "adopt", [import_id, 1, True, None, []])

    assert status >= 500
    assert stage.call("a", "read") == (200, 1)


def run_of(key: str, text: str = "") -> dict[str, Any]:
    """A job as fronts hand it on."""
    job = {"kind": "run", "method": "m", "key": key, "arguments": {"$hf": "arguments", "v": [[text], {}]}}
    return {"text": job, "state": "armed", "retry_count": 0, "last_error": ""}


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([run_of("k", "x" * (256 << 10))], "exceeds the limit of 262144 bytes"),
        ([run_of("k"), run_of("k", "other")], "two jobs for T/a have the key 'k'"),
    ],
    ids=["too large", "twice"],
)
def test_no_job_is_imported_that_the_instance_could_not_have_made(
    monkeypatch: pytest.MonkeyPatch, jobs: list[dict[str, Any]], said: str
) -> None:
    def adopt(turn: Turn, _: Any) -> str:
        return imports.adopt(turn).decode()

    stage = Stage(monkeypatch, guests={b"adopt": adopt, b"job": adopt})
    assert stage.call("a", "add", 1) == (200, 1)

    _, answer = stage.call("a", "adopt", [begin(stage, "a"), 0, True, None, jobs])

    assert said in answer["error"]["message"]
    assert stage.call("a", "read") == (200, 1)
    assert stage.store.jobs.count(stage.store.locate(TYPE, b"a")) == 0


@pytest.mark.limit("transfer_idle_s")
def test_what_nobody_goes_on_with_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    now = 0.0
    monkeypatch.setattr(transfers, "monotonic", lambda: now)
    kept = Transfers(store, Limits(transfer_idle_s=60.0))
    assert kept.end_idle() is None, "nothing is looked for"
    asked: dict[str, Any] = {"type_id": TYPE, "name": None, "prefix": ""}
    first, second = (kept.readers["begin_export"](asked)["export"] for _ in range(2))
    now = 50.0
    assert kept.readers["export"]({"export": second}) == {"rows": []}
    assert kept.end_idle() == 15.0

    now = 70.0
    kept.end_idle()

    assert kept.readers["export"]({"export": second}) == {"rows": []}
    with pytest.raises(HostUnavailableError, match="begin again"):
        kept.readers["export"]({"export": first})
