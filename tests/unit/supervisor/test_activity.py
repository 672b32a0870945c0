"""What is shown of workers that answer, that do not, and that are not there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast_host.supervisor.processes import activity
from holdfast_host.supervisor.processes.activity import collect_activity
from holdfast_host.supervisor.processes.child import ChildGoneError
from holdfast_host.supervisor.processes.supervision import Phase, SupervisedProcess
from holdfast_host.wire.control.protocol import ShowActivity, ShownActivity

NOTED = [{"type": "Account", "name": str(number), "function": None} for number in range(5)]


def process(phase: Phase, answer: Any = None) -> SupervisedProcess:
    """A worker; `answer` is what the worker says, an error, or None for one that hangs."""
    now = asyncio.get_running_loop().time()

    async def ask(question: ShowActivity, kind: type[ShownActivity]) -> ShownActivity:
        assert (question, kind) == (ShowActivity(3), ShownActivity)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return ShownActivity(1, answer)

    child = SimpleNamespace(pid=4711, started_at=now - 60, heard_at=now - 4, ask=ask)
    kept = SimpleNamespace(
        phase=phase, up=phase is Phase.UP, child=child, deaths=2, stalled=answer is None, shortage=None
    )
    return cast("SupervisedProcess", kept)


def test_a_worker_that_does_not_answer_is_shown_in_time_with_what_is_known_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activity, "ANSWER_S", 0.05)

    async def play() -> list[dict[str, Any]]:
        workers = [process(Phase.UP, {"turns": []}), process(Phase.UP), process(Phase.UP, ChildGoneError("gone"))]
        async with asyncio.timeout(5):
            return cast("list[dict[str, Any]]", (await collect_activity(workers, lambda _: NOTED, 3))["workers"])

    alive, hung, gone = asyncio.run(play())

    assert (alive["answers"], alive["activity"], alive["noted"]) == (True, {"turns": []}, [])
    for silent in (hung, gone):
        assert (silent["answers"], silent["activity"]) == (False, None)
        assert (silent["noted"], silent["noted_total"]) == (NOTED[:3], 5)
        assert (silent["pid"], silent["deaths"], silent["state"]) == (4711, 2, "up")
        assert silent["age_s"] == pytest.approx(60, abs=1)
        assert silent["heartbeat_s"] == pytest.approx(4, abs=1)
    assert [each["worker"] for each in (alive, hung, gone)] == [0, 1, 2]
    assert hung["commit_stalled"]


def test_a_worker_that_starts_or_is_gone_is_not_asked() -> None:
    async def play() -> list[dict[str, Any]]:
        starting, down = process(Phase.STARTING), process(Phase.DOWN)
        down.child = None
        return cast("list[dict[str, Any]]", (await collect_activity([starting, down], lambda _: NOTED, 3))["workers"])

    starting, down = asyncio.run(play())

    assert (starting["state"], starting["pid"], starting["answers"]) == ("starting", 4711, False)
    assert (down["state"], down["pid"], down["age_s"], down["heartbeat_s"]) == ("down", None, None, None)
