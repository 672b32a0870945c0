"""What fronts are told of tokens, and when whoever changed one is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from holdfast_host.supervisor.processes.child import ChildGoneError
from holdfast_host.supervisor.tokens import telling
from holdfast_host.supervisor.tokens.telling import TokenNews
from holdfast_host.wire.control.protocol import Done
from holdfast_host.wire.control.tokens import KnownTokens


@dataclass
class Front:
    """One that answers when the test says so."""

    answer: asyncio.Future[Done] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    child: Any = None

    def __post_init__(self) -> None:
        self.child = self

    async def ask(self, _question: object, _kind: object) -> Done:
        """As a `Child`."""
        return await self.answer


def news_for(*fronts: Front) -> TokenNews:
    return TokenNews(cast("Any", fronts))


def test_all_fronts_are_waited_for_and_those_that_end_are_not() -> None:
    async def play() -> list[str]:
        first, gone, down = Front(), Front(), Front()
        down.child = None
        news, events = news_for(first, gone, down), []
        news.tell(KnownTokens())
        waiting = asyncio.create_task(news.until_known())
        waiting.add_done_callback(lambda _: events.append("known"))
        gone.answer.set_exception(ChildGoneError("it ended"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        events.append("first answers")
        first.answer.set_result(Done(1))
        await waiting
        await asyncio.sleep(0)
        return events

    assert asyncio.run(play()) == ["first answers", "known"]


def test_a_front_that_hangs_is_waited_for_no_longer_than_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "FRONTS_S", 0.01)

    async def play() -> None:
        news = news_for(Front())
        news.tell(KnownTokens())
        await news.until_known()

    asyncio.run(play())
