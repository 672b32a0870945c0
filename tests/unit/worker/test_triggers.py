"""The times at which a function runs: made equal to its manifest, run without storage, and nobody's to call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, UnsupportedError
from holdfast_host.storage.jobs import Job
from holdfast_host.wire.control.catalog import ActorType, Deployment
from holdfast_host.worker.jobs.triggers import NAME
from holdfast_host.worker.turns.job_texts import read_facts
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.job_stage import JobStage, arguments, put
from tests.unit.worker.stage import GuestSandbox

CRONS = 7  # the number of the hidden type
MINUTE_S = 60


class TriggerStage:
    """A worker with one function that runs at times; `told` is what it was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[dict[str, Any]] = []
        self.fails = 0
        self.jobs = JobStage(monkeypatch, guests={b"scheduled": self._scheduled})
        self.worker = self.jobs.stage.worker

    def _scheduled(self, turn: Turn, event: Any) -> None:
        self.told.append(event)
        job = {"kind": "run", "method": "m", "arguments": arguments()}
        for touch in (lambda: turn.storage.put(b"a", b"1"), lambda: put(turn, job), turn.sync):
            with pytest.raises(UnsupportedError, match="a function has no storage"):
                touch()
        if self.fails:
            self.fails -= 1
            raise HoldfastError("not now")

    def switch(self, *crons: str) -> None:
        """A version with these in its manifest runs from now on."""
        trigger = ActorType("Crons_f", CRONS, (), handlers=(), crons=crons)
        deployment = Deployment("f", "fn_1", 1, "", "", (trigger,))
        loaded = replace(self.jobs.stage.loaded(), type="Crons_f", type_id=CRONS, methods=frozenset(), is_triggers=True)

        def run() -> None:
            self.worker.deployments._by_type[CRONS] = loaded
            self.worker.triggers.apply(deployment)

        self.jobs.stage.do(run)
        self.jobs.settle()

    def rows(self) -> dict[str, Job]:
        page, _ = self.jobs.store.jobs.page(self.jobs.store.locate(CRONS, NAME), b"", b"", 1000)
        return {read_facts(job).head["cron"]: job for _, job in page}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> TriggerStage:
    return TriggerStage(monkeypatch)


def test_a_function_runs_at_the_times_of_its_manifest(stage: TriggerStage) -> None:
    stage.switch("* * * * *")
    for _ in range(3):
        stage.jobs.advance(MINUTE_S)

    assert [each["cron"] for each in stage.told] == ["* * * * *"] * 3
    assert [each["missed"] for each in stage.told] == [0] * 3
    assert len({each["scheduled_us"] for each in stage.told}) == 3


def test_its_times_are_made_equal_to_the_manifest_at_each_switch(stage: TriggerStage) -> None:
    stage.switch("* * * * *", "@daily")
    kept = stage.rows()["@daily"]
    stage.switch("@daily", "0 3 * * *")

    assert stage.rows().keys() == {"@daily", "0 3 * * *"}
    assert stage.rows()["@daily"] == kept
    stage.switch()
    assert stage.rows() == {}


def test_what_fails_is_run_again(stage: TriggerStage) -> None:
    stage.switch("* * * * *")
    stage.fails = 2
    for seconds in (MINUTE_S, 1, 2):
        stage.jobs.advance(seconds)

    assert [each["retry_count"] for each in stage.told] == [0, 1, 2]
    assert len({each["scheduled_us"] for each in stage.told}) == 1


def test_a_function_that_was_asleep_runs_once_and_is_told_how_much_it_has_missed(stage: TriggerStage) -> None:
    stage.switch("* * * * *")
    stage.jobs.advance(60 * MINUTE_S)

    assert [each["missed"] for each in stage.told] == [59]


def test_what_could_not_be_set_is_set_later(stage: TriggerStage) -> None:
    """Its mailbox was full, say, or the disk."""
    stage.switch("@daily")
    stage.jobs.stage.do(lambda: stage.jobs.store._rows.clear())
    wanted = stage.worker.triggers._wanted[CRONS]
    refused = HoldfastError("no room").to_json()
    stage.jobs.stage.do(lambda: stage.worker.triggers.failed(wanted, refused))
    stage.jobs.stage.do(stage.worker.triggers.try_again)
    stage.jobs.settle()

    assert stage.rows().keys() == {"@daily"}


def test_what_an_earlier_version_could_not_set_is_not_set_over_what_runs_now(stage: TriggerStage) -> None:
    """Its edit waited behind a long run and was refused when the next version had set its own."""
    stage.switch("@daily")
    earlier = stage.worker.triggers._wanted[CRONS]
    stage.switch("@hourly")
    refused = HoldfastError("waited 30 s for its turn and did not run").to_json()
    stage.jobs.stage.do(lambda: stage.worker.triggers.failed(earlier, refused))
    stage.jobs.stage.do(stage.worker.triggers.try_again)
    stage.jobs.settle()

    assert stage.rows().keys() == {"@hourly"}


def test_what_makes_the_functions_sandbox_ready_has_no_storage_either(
    stage: TriggerStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its component may run code of its own then, whatever it was written in."""
    tried: list[str] = []

    def activate(sandbox: GuestSandbox, turn: Turn, actor_type: str, name: bytes, environment: bytes) -> Any:
        job = {"kind": "run", "method": "m", "arguments": arguments()}
        for touch in (lambda: turn.storage.put(b"a", b"1"), lambda: put(turn, job), turn.sync):
            with pytest.raises(UnsupportedError, match="a function has no storage"):
                touch()
            tried.append(actor_type)
        return True, b""

    monkeypatch.setattr(GuestSandbox, "activate", activate)
    stage.switch("* * * * *")
    stage.jobs.advance(MINUTE_S)

    assert tried == [""] * 3
    assert len(stage.told) == 1
    assert stage.rows().keys() == {"* * * * *"}


def test_a_job_that_is_none_of_a_manifests_times_is_taken_away(stage: TriggerStage) -> None:
    stage.switch("@daily")
    due_us = stage.jobs.clock.wall_us() + 1_000_000_000
    stray = Job("run", due_us, facts=b'{"method":"m"}\n[]')
    rows = stage.jobs.store._rows[CRONS, NAME].jobs
    stage.jobs.stage.do(lambda: rows.update({b"\xff" * 16: stray}))
    stage.switch("@hourly")

    assert stage.rows().keys() == {"@hourly"}


def test_nobody_calls_the_type_that_keeps_them(stage: TriggerStage) -> None:
    stage.switch("@daily")
    client = stage.jobs.stage.client
    slot = client.send(NAME.decode(), "scheduled", arguments(), type_id=CRONS)

    assert client.wait(slot)[0] == 404
