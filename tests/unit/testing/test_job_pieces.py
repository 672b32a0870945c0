"""The kit's answers that stream to a topic: what a failing turn and a dying host do to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Outcome, Response, StatefulActor
from holdfast.testing import LocalHost

URL = "https://model.example/"
SSE = {"Content-Type": "text/event-stream"}


class Listener(StatefulActor):
    """Publishes an answer; its constructor fails as long as the class says so."""

    broken = False

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        if Listener.broken:
            raise ValueError("not today")

    def ask(self) -> str:
        return self.ctx.outbox.http("GET", URL, stream_to="words")

    def tell(self, streams: bool) -> None:
        self.ctx.outbox.http("GET", URL, stream_to="words" if streams else None, then="_told")

    def _told(self, outcome: Outcome) -> None:
        assert outcome.response is not None
        self.ctx.storage.put("told", [outcome.response.status, outcome.response.text()])


def words(host: LocalHost) -> list[list[str | None]]:
    storage = host.instance(Listener, "a").storage
    return [value for key, value in storage.items() if key.startswith("~topic/words/")]


def test_a_piece_whose_turn_fails_is_published_when_that_is_tried_again() -> None:
    host = LocalHost({"LISTENER": Listener})

    def pieces() -> Iterator[str]:
        yield "data: one\n\n"
        host.instance(Listener, "a").evict()
        Listener.broken = True
        yield "data: two\n\n"

    host.outbound.answer(URL, Response(pieces(), headers=SSE))
    host.env.LISTENER.id_from_name("a").ask()
    host.clock.advance()
    [job] = host.jobs()
    assert (job.state, job.tries, job.stream_to) == ("retrying", 1, "words")
    assert "not today" in (job.last_error or "")
    Listener.broken = False
    host.clock.advance(1)

    assert words(host) == [[None, "one"], [None, "two"]]
    assert (len(host.outbound.requests), host.jobs()) == (1, [])


def test_a_host_that_dies_before_a_piece_is_committed_asks_again_and_one_that_dies_after_says_so() -> None:
    host = LocalHost({"LISTENER": Listener})
    host.outbound.answer(URL, lambda _: Response(iter(["data: one\n\n", "data: two\n\n"]), headers=SSE))
    id_ = host.env.LISTENER.id_from_name("a").ask()
    host.crash_after_writes(1)
    host.clock.advance()
    assert words(host) == [[None, "one"], [None, "two"]]
    host.env.LISTENER.id_from_name("a").ask()
    host.crash_after_commits(1)
    host.clock.advance(1)

    assert [event for event, _ in words(host)[2:]] == [None, "again", None, None]
    assert len(host.outbound.requests) == 4
    assert {request.headers["Idempotency-Key"] for request in host.outbound.requests[:2]} == {id_}


def test_the_death_of_a_worker_costs_no_piece() -> None:
    host = LocalHost({"LISTENER": Listener})

    def pieces() -> Iterator[str]:
        for word in ("one", "two", "three"):
            yield f"data: {word}\n\n"
            host.crash_worker()

    host.outbound.answer(URL, Response(pieces(), headers=SSE))
    host.env.LISTENER.id_from_name("a").ask()
    host.clock.advance()

    assert words(host) == [[None, "one"], [None, "two"], [None, "three"]]
    assert (len(host.outbound.requests), host.jobs()) == (1, [])


@pytest.mark.parametrize("name", ["a\0b", "n" * 1_025, "again", "reset", "message"])
def test_a_name_that_no_event_may_have_from_outside_is_left_out(name: str) -> None:
    host = LocalHost({"LISTENER": Listener})
    host.outbound.answer(URL, Response(iter([f"event: {name}\ndata: one\n\nevent: it\ndata: two\n\n"]), headers=SSE))
    host.env.LISTENER.id_from_name("a").ask()
    host.clock.advance()

    assert (words(host), host.jobs()) == ([[None, "one"], ["it", "two"]], [])


def test_a_flood_of_small_events_is_published_whole() -> None:
    host = LocalHost({"LISTENER": Listener})
    lines = "".join(f"{number}\n" for number in range(12_000))
    host.outbound.answer(URL, Response(iter([lines]), headers={"Content-Type": "application/jsonl"}))
    host.env.LISTENER.id_from_name("a").ask()
    host.clock.advance()

    assert (words(host), host.jobs()) == ([[None, str(number)] for number in range(7_000, 12_000)], [])


@pytest.mark.parametrize(
    ("data", "said"),
    [("x" * 300_000, "longer than the limit of 262144 bytes"), ("\x01" * 200_000, "has 1200012 bytes as JSON")],
)
def test_an_event_that_no_topic_can_keep_is_the_outcome(data: str, said: str) -> None:
    host = LocalHost({"LISTENER": Listener})
    host.outbound.answer(URL, Response(iter(["data: one\n\n", f"data: {data}\n\n"]), headers=SSE))
    host.env.LISTENER.id_from_name("a").ask()
    host.clock.advance()

    [job] = host.jobs()
    assert (words(host), job.state, job.tries) == ([[None, "one"]], "abandoned", 1)
    assert said in (job.last_error or "")


@pytest.mark.parametrize("streams", [True, False])
def test_what_is_not_published_is_the_outcome_however_it_comes(streams: bool) -> None:
    host = LocalHost({"LISTENER": Listener})
    host.outbound.answer(URL, Response(iter(["no ", "such ", "model"]), 404))
    host.env.LISTENER.id_from_name("a").tell(streams)
    host.clock.advance()

    assert host.instance(Listener, "a").storage["told"] == [404, "no such model"]
