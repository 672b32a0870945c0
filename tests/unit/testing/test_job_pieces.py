"""The kit's answers that stream to a topic: what a failing turn and a dying host do to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast import Response, StatefulActor
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
