"""Calls and requests of jobs: sent, tried again, over; and what their instance is told."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

import pytest

from holdfast_host.core.errors import (
    ActorError,
    HostUnavailableError,
    OutboundBusyError,
    OutboundDeniedError,
    OutboundUnreachableError,
)
from holdfast_host.core.limits import Limits
from holdfast_host.storage.jobs import Job
from holdfast_host.wire.calls.frames import FrameReader
from holdfast_host.wire.calls.outbound import unpack_ask
from holdfast_host.worker.deliveries.stages import Delivery
from holdfast_host.worker.jobs.deliveries import Jobs
from holdfast_host.worker.jobs.outcomes import Answer, is_success, judge
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.job_stage import SECOND, JobStage, arguments, fail
from tests.unit.worker.stage import Guest, add

HOUR_S = 3600
LIMITS = Limits()


class Courier:
    """Answers requests as the test says; `asked` lists them."""

    def __init__(self, host: JobStage, *answers: tuple[int, bytes] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.functions: list[str] = []
        host.stage.worker.courier.send = self.send  # type: ignore[method-assign]

    def send(self, request: Any, frame: bytes) -> None:
        ((_, payload),) = FrameReader().feed(frame)
        ask = unpack_ask(payload)
        self.asked.append(json.loads(ask.request))
        self.functions.append(ask.function)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            request.fail(answer)
        else:
            request.answered(*answer)


def response(status: int, body: str = "", **headers: str) -> tuple[int, bytes]:
    named = [[name.replace("_", "-"), value] for name, value in headers.items()]
    return 200, json.dumps({"status": status, "headers": named, "body": body}, separators=(",", ":")).encode()


def call_job(name: str, method: str = "receive", *given: Any, **members: Any) -> dict[str, Any]:
    job = {"kind": "call", "binding": "T", "name": name, "method": method, "arguments": arguments(*given)}
    return {**job, **members}


def http_job(**members: Any) -> dict[str, Any]:
    return {"kind": "http", "request": {"method": "POST", "url": "https://api.test/x", "body": "hello"}, **members}


def receiving(times: list[str], fails: list[Exception] | None = None) -> dict[bytes, Guest]:
    """A callee that adds one, where it does not fail."""

    def receive(turn: Turn, given: Any) -> int:
        times.append(turn.key().decode())
        if fails:
            raise fails.pop(0)
        return add(turn, given["v"][0][0] if given["v"][0] else 1)

    return {b"receive": receive}


def test_a_call_of_a_job_takes_effect_and_its_instance_is_told_under_the_id_as_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    host = JobStage(monkeypatch, guests=receiving(keys))
    id_ = host.put("a", call_job("b", "receive", 5, then="_sent"))
    host.settle()

    assert keys == [id_]
    assert host.total("b") == 5
    assert host.runs == [
        {
            "instance": "a", "id": id_, "kind": "then", "method": "_sent", "scheduled_us": host.clock.wall_us(),
            "retry_count": 0, "outcome": {"ok": True, "unknown": False, "tries": 1, "result": 5},
        }
    ]  # fmt: skip
    assert host.total("a") == 1
    assert host.rows("a") == []


def test_a_call_without_then_that_returned_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests=receiving([]))
    host.put("a", call_job("b"))
    host.settle()

    assert (host.total("b"), host.rows("a"), host.runs) == (1, [], [])


def test_a_refusal_is_the_outcome_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests=receiving([], [ActorError("closed", code="closed", status=409)]))
    host.put("a", call_job("b", then="_sent"))
    host.put("a", call_job("b", "nothing", then="_sent"))
    host.settle()

    outcomes = [each["outcome"] for each in host.runs]
    assert [(each["ok"], each["unknown"], each["tries"]) for each in outcomes] == [(False, False, 1)] * 2
    found = {each["error"]["name"]: each["error"] for each in outcomes}
    assert found.keys() == {"ActorError", "ActorUnknownMethodError"}
    assert (found["ActorError"]["code"], found["ActorError"]["message"]) == ("closed", "closed")


def test_a_refused_call_without_then_is_abandoned_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests=receiving([], [ActorError("closed", code="closed", status=409)]))
    host.put("a", call_job("b"))
    host.settle()

    (row,) = host.jobs("a")
    assert (row["state"], row["last_error"]) == ("abandoned", "ActorError: closed")
    assert host.stage.worker.job_calls.abandoned == 1


@pytest.mark.limit("job_tries_max")
def test_what_fails_is_tried_again_a_dozen_times_ever_further_apart_and_then_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = JobStage(monkeypatch)
    courier = Courier(host, OutboundUnreachableError("nobody there"))
    host.put("a", http_job(then="_told"))
    host.settle()
    waits: list[float] = []
    while host.rows("a"):
        waits.append((host.rows("a")[0][1].due_us - host.clock.wall_us()) / 1e6)
        host.advance(waits[-1])

    assert waits == [1, 4, 16, 64, 256, *[HOUR_S] * 6]
    assert len(courier.asked) == 12
    (told,) = host.runs
    assert {**told["outcome"], "error": told["outcome"]["error"]["name"]} == {
        "ok": False, "unknown": True, "tries": 12, "error": "OutboundUnreachableError",
    }  # fmt: skip


def test_a_request_carries_the_id_as_its_key_unless_it_has_one_and_follows_no_redirect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = JobStage(monkeypatch)
    courier = Courier(host, response(302, location="https://elsewhere.test/"))
    own = {"method": "GET", "url": "https://api.test/y", "headers": [["idempotency-key", "mine"], ["A", "b"]]}
    id_ = host.put("a", http_job(then="_told"))
    host.settle()
    host.put("a", {**http_job(then="_told"), "request": own})
    host.settle()

    assert courier.asked[0] == {
        "method": "POST", "url": "https://api.test/x", "body": "hello", "redirects": False,
        "headers": [["Idempotency-Key", id_]],
    }  # fmt: skip
    assert courier.asked[1]["headers"] == own["headers"]
    assert courier.functions == ["f", "f"]
    assert host.runs[0]["outcome"]["response"] == {
        "status": 302, "headers": [["location", "https://elsewhere.test/"]], "body": "",
    }  # fmt: skip
    assert [each["outcome"]["ok"] for each in host.runs] == [False, False]


def test_a_busy_courier_is_asked_again_and_no_try_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    courier = Courier(host, OutboundBusyError("full"), response(200))
    host.put("a", http_job(then="_told"))
    host.settle()

    assert len(courier.asked) == 2
    assert host.runs[0]["outcome"]["tries"] == 1


def test_a_call_whose_callee_speaks_of_a_busy_courier_has_been_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests=receiving([], [ActorError('{"error":{"name":"OutboundBusyError"}}')]))
    host.put("a", call_job("b", then="_sent"))
    host.settle()

    assert [each["outcome"]["error"]["name"] for each in host.runs] == ["ActorError"]


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (200, [], None), (204, [], None), (301, [], None), (404, [], None), (501, [], None), (505, [], None),
        (408, [], 1), (425, [], 1), (500, [], 1), (503, [["Retry-After", "70"]], 70), (429, [["retry-after", "0"]], 1),
        (429, [["Retry-After", "9999999"]], 86_400), (429, [["Retry-After", "soon"]], 1),
        (429, [["Retry-After", "Tue, 14 Nov 2023 22:14:20 GMT"]], 60),
    ],
)  # fmt: skip
def test_what_a_status_says_of_a_request(status: int, headers: list[list[str]], wait_s: float | None) -> None:
    now_us = 1_700_000_000_000_000  # 2023-11-14 22:13:20
    body = json.dumps({"status": status, "headers": headers, "body": ""}, separators=(",", ":")).encode()
    after = judge(Job("http", 1), Answer(200, body), now_us, LIMITS)

    if wait_s is None:
        assert after.state == "waiting"
        assert is_success(after) == (200 <= status < 300)
        assert json.loads(after.outcome)["response"]["status"] == status
    else:
        assert (after.state, after.due_us - now_us, after.tries) == ("retrying", wait_s * 1_000_000, 1)
        assert after.last_error == f"it was answered with status {status}"


@pytest.mark.limit("job_outcome_bytes_max")
def test_an_answer_that_is_too_large_to_be_kept_is_told_as_that() -> None:
    body = b'{"status":200,"headers":[],"body":"%b"}' % (b"x" * 2_000_000)
    answer = Answer(200, body).cut(LIMITS)
    outcome = json.loads(judge(Job("http", 1), answer, 0, LIMITS).outcome)

    assert len(answer.body) < 100
    assert (outcome["ok"], outcome["response"]["status"], outcome["error"]["name"]) == (False, 200, "LimitError")
    assert f"an answer of {len(body)} bytes" in outcome["error"]["message"]


def test_what_may_not_be_asked_is_the_outcome_at_once() -> None:
    error = OutboundDeniedError("not listed")
    after = judge(Job("http", 1), Answer(error.status, error.to_json()), 0, LIMITS)

    assert json.loads(after.outcome)["error"]["name"] == "OutboundDeniedError"


def test_where_then_fails_the_outcome_is_kept_and_then_alone_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    host = JobStage(monkeypatch, guests=receiving(keys))

    def told(turn: Turn, info: dict[str, Any]) -> None:
        add(turn, 1)
        if info["retry_count"] < 2:
            raise HostUnavailableError("not yet")

    host.handler = told
    host.put("a", call_job("b", "receive", 5, then="_sent"))
    host.settle()
    (row,) = host.jobs("a")
    assert (row["state"], row["last_error"]) == ("waiting", "ActorMethodError: not yet")
    host.advance(1.0)
    host.advance(2.0)

    assert host.told == [("a", 0), ("a", 1), ("a", 2)]
    assert [each["outcome"]["result"] for each in host.runs] == [5, 5, 5]
    assert len(keys) == 1
    assert host.rows("a") == []
    assert host.total("a") == 1


def test_a_then_that_fails_for_good_is_abandoned_with_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, fail, guests=receiving([]))
    host.put("a", call_job("b", then="_sent"))
    host.settle()
    for seconds in (1, 2, 4, 8, 16, 32, 600):
        host.advance(seconds)

    ((_, row),) = host.rows("a")
    assert (row.state, row.retry_count) == ("abandoned", 6)
    assert json.loads(row.outcome)["result"] == 1


def test_an_answer_to_a_job_that_was_cancelled_meanwhile_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    waiting: list[Any] = []
    host.stage.worker.courier.send = lambda request, frame: waiting.append(request)  # type: ignore[method-assign]
    id_ = host.put("a", http_job(then="_told"))
    while not waiting:
        host.stage.do(lambda: None)
    assert host.stage.call("a", "cancel", {"id": id_}) == (200, True)
    host.stage.do(lambda: waiting[0].answered(*response(200)))
    host.settle()

    assert host.runs == []
    assert host.rows("a") == []


def test_a_call_that_was_on_its_way_to_be_parked_when_its_type_was_deployed_again_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = JobStage(monkeypatch, guests=receiving([]))
    host.put("a", {**call_job("b"), "due_us": host.clock.wall_us() + SECOND})
    host.stage.do(lambda: host.stage.worker.deployments.remove("f"))
    host.store.hold()
    host.clock.advance(1.0)
    host.stage.do(lambda: None)
    host.store.wait_held()
    host.stage.do(host.stage.deploy)
    taken_up: list[str] = []
    parked = Jobs._parked

    def noted(pool: Jobs, type_id: int, but: Container[bytes]) -> list[Delivery]:
        taken_up.append(pool.pool)
        return parked(pool, type_id, but)

    monkeypatch.setattr(Jobs, "_parked", noted)
    host.store.let_go()
    host.settle()

    assert (host.total("b"), host.rows("a")) == (1, [])
    assert set(taken_up) == {"run"}, "one pool takes up what is parked of all"
