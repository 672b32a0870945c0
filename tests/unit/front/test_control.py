"""A front does what its supervisor says."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.wire.control import protocol as control
from holdfast_host.wire.control.edge import Edge, NewEdge
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import FrontStart
from holdfast_host.wire.control.tokens import KnownTokens, NewTokens
from tests.unit.front.stage import CATALOG, PATIENCE_S, staged

NEWS: list[control.FrontNews] = [
    NewEdge(Edge(("10.0.0.0/8",))),
    control.NewCatalog(CATALOG),
    control.NewRouting(Routing.over(1, ["w0"]).given({0: 0})),
    NewTokens(KnownTokens()),
    control.NewLogLevel("info"),
    control.NewLimits(Limits()),
    control.HostHealth([True]),
    control.Measure(id=7),
    control.Drain(),
]


@pytest.mark.parametrize("message", NEWS, ids=[type(each).__name__ for each in NEWS])
def test_it_obeys_all_that_it_is_told_and_goes_on(message: control.FrontNews) -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.supervisor.write(control.pack_message(message))
            stage.supervisor.send("ping", id=99)
            heard: set[str] = set()
            async with asyncio.timeout(PATIENCE_S):
                expected = {"measured", "pong"} if isinstance(message, control.Measure) else {"pong"}
                expected |= {"done"} if isinstance(message, NewTokens) else set()
                expected |= {"drained"} if isinstance(message, control.Drain) else set()
                while heard != expected:
                    heard.add((await stage.supervisor.messages.get())["kind"])

    uvloop.run(play())


def test_the_news_above_are_all_that_a_running_front_is_told_beside_its_own_requests() -> None:
    assert {type(each) for each in NEWS} == set(get_args(control.FrontNews))
    ends_in_the_channel = {control.Ping, control.Progress, control.Answer}
    of_its_life = {FrontStart, control.Stop}
    assert set(get_args(control.ToFront)) == set(get_args(control.FrontNews)) | ends_in_the_channel | of_its_life
