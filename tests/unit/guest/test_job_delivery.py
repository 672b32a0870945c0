"""What a method is told when the host runs a job, or what became of one; what `scheduled` of a function is told."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from holdfast import ActorCallError, Env, StatefulActor
from holdfast._describe import Component, RuleError
from holdfast._exports import Guest
from holdfast._host_imports import Err
from holdfast._jobs import delivery
from holdfast._jobs.delivery import JobInfo, Outcome, ScheduledEvent, _wants_info, wants_info
from holdfast._log_capture import Output
from holdfast._values.annotations import signature_of
from holdfast.http import OutboundUnreachableError
from tests.unit.guest.memory_host import Hosted

seen: list[Any] = []


class Worker(StatefulActor):
    def _expire(self, order: str, after: Decimal, info: JobInfo) -> None:
        seen.append((order, after, info))

    def note(self, info: dict[str, int]) -> None:
        seen.append(info)

    async def _later(self) -> None:
        seen.append("later")

    def _sent(self, outcome: Outcome) -> None:
        seen.append(outcome)


@pytest.fixture
def worker() -> Hosted:
    seen.clear()
    return Hosted(Worker)


def info(method: str, *args: Any, **more: Any) -> str:
    arguments = {"$hf": "arguments", "v": [list(args), more.pop("kwargs", {})]}
    facts = {"id": "a5", "kind": "run", "method": method, "arguments": arguments, "scheduled_us": 5_000_000}
    return json.dumps({**facts, "retry_count": 1, "missed": 0, **more})


def then(method: str, **outcome: Any) -> str:
    facts = {"id": "a5", "kind": "then", "method": method, "scheduled_us": 5, "retry_count": 0}
    return json.dumps({**facts, "outcome": {"ok": False, "unknown": False, "tries": 3, **outcome}})


def test_a_run_gets_its_typed_arguments_and_info_where_it_has_that_parameter(worker: Hosted) -> None:
    given = {"after": {"$hf": "decimal", "v": "1.50"}}
    worker.guest.job(info("_expire", "17", kwargs=given, missed=2, cron="@daily"))

    due = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert seen == [("17", Decimal("1.50"), JobInfo("a5", 1, due, 2, "@daily"))]
    assert seen[0][2].is_retry


def test_a_parameter_info_that_is_given_is_left_alone(worker: Hosted) -> None:
    worker.guest.job(info("note", {"a": 1}))
    worker.guest.job(info("note", kwargs={"info": {"a": 2}}))

    assert seen == [{"a": 1}, {"a": 2}]


def wrapped(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return call


class Shapes:
    def plain(self, a: int, b: int = 2) -> None: ...
    def second(self, a: int, info: Any = None) -> None: ...
    def only_by_name(self, *items: int, info: Any) -> None: ...
    def only_by_place(self, info: Any, /) -> None: ...
    def all_names(self, **info: Any) -> None: ...
    def local(self, a: int) -> None:
        info = a
        assert info

    @wrapped
    def decorated(self, a: int, info: Any) -> None: ...
    @staticmethod
    def static(info: Any) -> None: ...
    @classmethod
    def of_class(cls, info: Any) -> None: ...

    partial = functools.partial(len)


@pytest.mark.parametrize("name", [name for name in vars(Shapes) if not name.startswith("__")])
@pytest.mark.parametrize("args", [[], [1], [1, 2]], ids=len)
@pytest.mark.parametrize("kwargs", [{}, {"info": 3}], ids=["", "info"])
def test_what_gets_info_is_the_same_by_a_methods_code_as_by_its_signature(
    name: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    method = getattr(Shapes(), name)

    assert _wants_info(method, args, kwargs) == wants_info(signature_of(method), args, kwargs)


def test_no_signature_is_made_for_the_run_of_a_method(worker: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox that takes longer than the run itself."""
    made: list[Any] = []
    monkeypatch.setattr(delivery, "signature_of", made.append)

    worker.guest.job(info("_later"))
    worker.guest.job(info("_expire", "17", 1))
    assert len(seen) == 2
    assert made == []


def test_a_run_may_be_a_coroutine(worker: Hosted) -> None:
    worker.guest.job(info("_later"))

    assert seen == ["later"]


def test_a_then_gets_the_result_of_a_call_with_its_types(worker: Hosted) -> None:
    worker.guest.job(then("_sent", ok=True, result={"left": {"$hf": "decimal", "v": "3"}}))

    assert seen == [Outcome(True, False, {"left": Decimal(3)}, None, None, "a5", 3)]


def test_a_then_gets_the_refusal_of_a_call(worker: Hosted) -> None:
    worker.guest.job(
        then("_sent", error={"name": "ActorError", "message": "no such wallet", "code": "gone", "status": 410})
    )

    [outcome] = seen
    assert isinstance(outcome.error, ActorCallError)
    assert (outcome.error.name, outcome.error.code, outcome.error.status) == ("ActorError", "gone", 410)


def test_a_then_gets_the_answer_to_a_request_or_why_there_is_none(worker: Hosted) -> None:
    worker.guest.job(then("_sent", ok=True, response={"status": 201, "headers": [["X-A", "b"]], "body": '{"id":7}'}))
    worker.guest.job(then("_sent", unknown=True, error={"name": "OutboundUnreachableError", "message": "it broke"}))

    answered, lost = seen
    assert (answered.response.status, answered.response.headers["x-a"], answered.response.json()) == (
        201,
        "b",
        {"id": 7},
    )
    assert isinstance(lost.error, OutboundUnreachableError)
    assert lost.unknown


@pytest.mark.parametrize("method", ["missing", "__init__", "alarm", "fetch", "ctx"])
def test_what_no_job_can_run_is_an_unknown_method(worker: Hosted, method: str) -> None:
    with pytest.raises(Err) as refused:
        worker.guest.job(info(method))

    assert json.loads(refused.value.value)["name"] == "ActorUnknownMethodError"


def test_what_a_job_raises_is_its_failure(worker: Hosted) -> None:
    with pytest.raises(Err) as failed:
        worker.guest.job(info("_expire", "17"))

    assert "_expire() missing 1 required positional argument: 'after'" in json.loads(failed.value.value)["message"]


def function_of(**handlers: Any) -> Component:
    module = ModuleType("app")
    vars(module).update(handlers)
    return Component.of_module(module)


def test_a_function_gets_the_time_that_it_runs_for() -> None:
    seen.clear()

    def scheduled(event: ScheduledEvent, env: Env) -> None:
        seen.append((event, env.GREETING))

    guest = Guest(function_of(scheduled=scheduled), Hosted(Worker).guest._host, Output())
    guest.activate("", "", '{"variables":{"GREETING":"hello"}}')
    guest.scheduled('{"cron":"@daily","scheduled_us":5000000,"missed":1}')

    due = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert seen == [(ScheduledEvent("@daily", due, 1), "hello")]
    assert json.loads(guest.describe())["handlers"] == ["scheduled"]


def test_a_scheduled_that_cannot_be_called_so_is_refused_where_it_stands() -> None:
    def scheduled(event: ScheduledEvent) -> None:
        raise AssertionError(event)

    with pytest.raises(RuleError, match=r"scheduled\(event: .*must be callable with \(event, env\)"):
        function_of(scheduled=scheduled)
    with pytest.raises(RuleError, match="scheduled is not a function"):
        function_of(scheduled=5)


def test_an_instance_has_no_scheduled_and_a_function_no_jobs(worker: Hosted) -> None:
    with pytest.raises(Err, match="has no scheduled"):
        worker.guest.scheduled('{"cron":"@daily","scheduled_us":5}')
    function = Guest(function_of(scheduled=lambda event, env: None), worker.guest._host, Output())
    function.activate("", "", "{}")
    with pytest.raises(Err, match="the function has no method"):
        function.job(info("note"))
