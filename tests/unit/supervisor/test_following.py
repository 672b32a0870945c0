"""What other hosts of a store change is followed here, whatever fails."""

from __future__ import annotations

import asyncio
import io

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.following import Following, follow_others


class Bench:
    """A store whose documents move when the test says so."""

    def __init__(self) -> None:
        self.moved: list[str] = []
        self.events: list[str] = []
        self.failing = ""  # what cannot be read: a document, or the store
        self.log = io.StringIO()
        follow = {"registry": self.follow_registry, "secrets": self.follow_secrets}
        self.following = Following(self.ask, follow, EventLog("debug", self.log))

    def ask(self) -> list[str]:
        if self.failing == "store":
            raise HostUnavailableError("the store cannot be read")
        return list(self.moved)

    async def follow_registry(self) -> None:
        self._note("registry")

    async def follow_secrets(self) -> None:
        self._note("secrets")

    def _note(self, document: str) -> None:
        if self.failing == document:
            raise HostUnavailableError(f"no {document}")
        self.events.append(document)
        self.moved.remove(document)


def test_each_document_that_has_moved_is_read_by_whoever_keeps_it() -> None:
    bench = Bench()
    bench.moved = ["secrets", "registry"]
    asyncio.run(bench.following.look())
    asyncio.run(bench.following.look())

    assert bench.events == ["secrets", "registry"]


def test_one_that_cannot_be_followed_is_said_and_tried_again_and_keeps_nobody_else() -> None:
    bench = Bench()
    bench.moved, bench.failing = ["secrets", "registry"], "secrets"
    asyncio.run(bench.following.look())
    first = list(bench.events)
    bench.failing = ""
    asyncio.run(bench.following.look())

    assert (first, bench.events) == (["registry"], ["registry", "secrets"])
    assert "what another host changed cannot be followed: secrets" in bench.log.getvalue()


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    bench = Bench()
    bench.moved, bench.failing = ["registry"], "store"
    asyncio.run(bench.following.look())
    before = list(bench.events)
    bench.failing = ""
    asyncio.run(bench.following.look())

    assert (before, bench.events) == ([], ["registry"])


def test_where_there_is_no_store_there_is_nothing_to_follow() -> None:
    asyncio.run(asyncio.wait_for(follow_others(None, {}, EventLog("debug", io.StringIO())), 1))
