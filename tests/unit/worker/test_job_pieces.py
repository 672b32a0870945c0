"""The answer to a job's request that streams: each piece a turn, the next one asked for when that is durable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, OutboundUnreachableError
from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import FrameReader
from holdfast_host.wire.calls.outbound import OutboundKind, unpack_follow
from holdfast_host.worker.inspection.edits import _EDITS
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.job_stage import SECOND, JobStage, left_by_a_dead_worker
from tests.unit.worker.stage import Guest, add
from tests.unit.worker.test_job_outcomes import http_job, response

Given = tuple[int, bytes] | Exception | Callable[[], None]


class FollowedCourier:
    """Answers as a test says, one for each question; `asked`: what was committed, and whether a request came along."""

    def __init__(self, host: JobStage, *answers: Given) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, bool]] = []
        self.forgotten: list[str] = []
        self.waiting: list[Any] = []
        link = host.stage.worker.courier
        link.send = self.send  # type: ignore[method-assign]
        link.forget = lambda job: self.forgotten.append(job.hex())  # type: ignore[method-assign]
        link.cancel = lambda request: self.waiting.remove(request)  # type: ignore[method-assign]

    def send(self, request: Any, frame: bytes) -> None:
        ((kind, payload),) = FrameReader().feed(frame)
        assert kind == OutboundKind.FOLLOW
        ask = unpack_follow(payload)
        self.asked.append((ask.after, bool(ask.request)))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            request.fail(answer)
        elif isinstance(answer, tuple):
            request.answered(*answer)
        else:
            self.waiting.append(request)


def piece(text: str) -> tuple[int, bytes]:
    return 200, json.dumps({"form": "events", "text": text}, separators=(",", ":")).encode()


def told(host: JobStage) -> list[Any]:
    """What each turn was told: of a piece its text, and `again` where it says so; of `then` whether it is ok."""
    found: list[Any] = []
    for each in host.runs:
        if each["kind"] == "piece":
            found += [*(["again"] if each["again"] else []), each["piece"]["text"]]
        else:
            found.append(each["outcome"]["ok"])
    return found


def test_each_piece_is_a_turn_and_the_next_is_asked_for_by_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    courier = FollowedCourier(host, piece("one"), piece("two"), response(200, "onetwo"))
    id_ = host.put("a", http_job(stream_to="words", then="_told"))
    host.settle()

    assert courier.asked == [(0, True), (1, False), (2, False)]
    assert told(host) == ["one", "two", True]
    assert host.runs[0] == {
        "instance": "a", "id": id_, "kind": "piece", "method": "publish", "topic": "words", "again": False, "tries": 0,
        "scheduled_us": host.clock.wall_us(), "retry_count": 0, "piece": {"form": "events", "text": "one"},
    }  # fmt: skip
    assert (host.total("a"), host.rows("a"), courier.forgotten) == (3, [], [id_])


def test_a_second_try_says_again_before_its_first_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    broke = OutboundUnreachableError("broke off")
    courier = FollowedCourier(host, broke, piece("one"), broke, piece("uno"), piece("due"), response(200))
    id_ = host.put("a", http_job(stream_to="words", then="_told"))
    host.settle()
    host.advance(1)
    assert told(host) == ["one"]
    host.advance(4)

    assert told(host) == ["one", "again", "uno", "due", True]
    assert courier.asked == [(0, True), (0, True), (1, False), (0, True), (1, False), (2, False)]
    assert courier.forgotten == [id_, id_, id_]


def test_a_successor_asks_for_what_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    FollowedCourier(host, piece("one"), piece("two"))
    host.put("a", http_job(stream_to="words", then="_told"))
    host.stage.do(lambda: None)
    while len(host.runs) < 2 or host.stage.do(lambda: host.stage.worker.gate.flight):
        pass
    successor = JobStage(monkeypatch, store=left_by_a_dead_worker(host.store), clock=host.clock)
    courier = FollowedCourier(successor, piece("three"), response(200))
    successor.settle()

    assert courier.asked == [(2, False), (3, False)]
    assert told(successor) == ["three", True]


def test_a_piece_whose_turn_fails_is_kept_and_its_turn_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [HoldfastError("not today")]

    def handler(turn: Turn, info: dict[str, Any]) -> Any:
        if failures and info["piece"]["text"] == "two":
            raise failures.pop()
        return add(turn, 1)

    host = JobStage(monkeypatch, handler)
    courier = FollowedCourier(host, piece("one"), piece("two"), piece("two"), response(204))
    id_ = host.put("a", http_job(stream_to="words"))
    host.settle()
    [(_, row)] = host.rows("a")
    assert (row.state, row.pieces, row.retry_count, row.due_us - host.clock.wall_us()) == ("retrying", 1, 1, SECOND)
    assert courier.forgotten == []
    host.advance(1)

    assert courier.asked == [(0, True), (1, False), (1, False), (2, False)]
    assert (told(host), host.rows("a"), courier.forgotten) == (["one", "two", "two"], [], [id_])


def test_to_cancel_the_job_ends_what_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    courier = FollowedCourier(host, piece("one"))
    id_ = host.put("a", http_job(stream_to="words", then="_told"))
    while not courier.waiting:
        host.stage.do(lambda: None)
    host.stage.call("a", "cancel", {"id": id_})
    host.settle()

    assert (told(host), host.rows("a"), courier.waiting, courier.forgotten) == (["one"], [], [], [id_])


def test_a_retry_by_an_operator_begins_the_answer_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(turn: Turn, info: dict[str, Any]) -> Any:
        if info["piece"]["text"] == "bad":
            raise HoldfastError("not today")
        return add(turn, 1)

    guests: dict[bytes, Guest] = {b"retry": lambda turn, _: _EDITS[b"retry_job"](turn).decode()}
    host = JobStage(monkeypatch, handler, guests=guests)
    courier = FollowedCourier(host, piece("one"), *[piece("bad")] * 7, piece("uno"), response(204))
    id_ = host.put("a", http_job(stream_to="words"))
    host.settle()
    for _ in range(6):
        host.advance(64)
    [(_, row)] = host.rows("a")
    assert (row.state, row.pieces) == ("abandoned", 1)
    host.stage.call("a", "retry", [id_])
    host.settle()

    assert courier.asked[-2:] == [(0, True), (1, False)]
    assert told(host)[-2:] == ["again", "uno"]
    assert host.rows("a") == []


def test_a_piece_is_published_whole_however_little_of_an_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(job_outcome_bytes_max=1_000)
    host = JobStage(monkeypatch, limits=limits)
    event = "data: " + "\ufffd" * 30_000 + "\n\n"
    FollowedCourier(host, piece(event), response(204))
    host.put("a", http_job(stream_to="words"))
    host.settle()

    assert len(piece(event)[1]) > limits.fetch_headers_bytes_max + 1_500
    assert (told(host), host.rows("a")) == ([event], [])


def streaming(host: JobStage, courier: FollowedCourier) -> str:
    """A job whose first piece is published, and whose second one is awaited."""
    id_ = host.put("a", http_job(stream_to="words", then="_told"))
    while not courier.waiting:
        host.stage.do(lambda: None)
    return id_


def test_to_erase_the_instance_ends_what_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch, guests={b"erase": lambda turn, _: _EDITS[b"delete_instance"](turn).decode()})
    courier = FollowedCourier(host, piece("one"))
    id_ = streaming(host, courier)
    host.stage.call("a", "erase")
    host.settle()

    assert (told(host), host.rows("a"), courier.waiting, courier.forgotten) == (["one"], [], [], [id_])


def test_a_cancel_whose_commit_is_lost_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    courier = FollowedCourier(host, piece("one"))
    streaming(host, courier)
    host.store.lose_next([b"a"])
    assert host.stage.call("a", "cancel", {"id": host.runs[0]["id"]})[0] == 507
    assert len(courier.waiting) == 1
    courier.answers = [response(204)]
    host.stage.do(lambda: courier.waiting.pop().answered(*piece("two")))
    host.settle()

    assert told(host) == ["one", "two", True]


def test_a_piece_whose_own_turn_cancels_its_job_and_syncs_is_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(turn: Turn, info: dict[str, Any]) -> Any:
        turn.jobs.cancel(json.dumps({"id": info["id"]}).encode())
        turn.sync()
        return add(turn, 1)

    host = JobStage(monkeypatch, handler)
    courier = FollowedCourier(host, piece("one"), piece("two"))
    id_ = host.put("a", http_job(stream_to="words", then="_told"))
    host.settle()

    assert (told(host), host.rows("a"), courier.forgotten) == (["one"], [], [id_])


def test_an_answer_that_goes_on_keeps_nobody_in_the_line_of_what_has_killed_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = JobStage(monkeypatch)
    for name in ("a", "b"):
        first.put(name, {**http_job(stream_to="words"), "due_us": first.clock.wall_us() + SECOND})
    store = left_by_a_dead_worker(first.store)
    for row in store._rows.values():
        ((id_, job),) = row.jobs.items()
        row.jobs[id_] = replace(job, killed=True, retry_count=1, state="retrying")
    first.clock.advance(1)
    host = JobStage(monkeypatch, store=store, clock=first.clock)
    courier = FollowedCourier(host, piece("one"), piece("one"))
    while len(courier.waiting) < 2:
        host.stage.do(lambda: None)

    assert sorted(each["instance"] for each in host.runs) == ["a", "b"]
    assert host.stage.do(lambda: host.stage.worker.timers.jobs[0].killed._alone) is None


@pytest.mark.parametrize("topic", ["", "x" * 201, 7, None])
def test_a_topic_is_a_text_of_1_to_200_characters(monkeypatch: pytest.MonkeyPatch, topic: object) -> None:
    host = JobStage(monkeypatch)

    assert "stream_to of a job is " in host.refused("a", http_job(stream_to=topic))
    assert "must be a text of 1 to 200 characters" in host.refused("a", http_job(stream_to=topic))


def test_only_a_request_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    host = JobStage(monkeypatch)
    run = {"kind": "run", "method": "_x", "arguments": {"$hf": "arguments", "v": [[], {}]}, "stream_to": "words"}

    assert "a job of kind run has no member 'stream_to'" in host.refused("a", run)
