"""`GET /v1/debug/workers`: asked of the supervisor, as it answers, and of nobody who may not."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from holdfast_host.front.routes.debug import ROWS
from tests.unit.front.stage import staged

TARGET = "/v1/debug/workers"
ANSWER = {"workers": [{"worker": 0, "answers": False, "noted": [{"name": "ü\ud800"}]}]}


@pytest.mark.parametrize(("query", "limit"), [("", ROWS), ("?limit=1", 1), ("?limit=1000", 1000)])
def test_what_the_workers_do_is_asked_of_the_supervisor_also_while_no_worker_answers(query: str, limit: int) -> None:
    async def play() -> None:
        async with staged(connected=False) as stage:
            asking = asyncio.create_task(stage.ask("GET", TARGET + query))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("answer", id=request["id"], result=ANSWER)
            response = await asking

            assert request["operation"] == {"operation": "activity", "limit": limit}
            assert (response.status, response.json) == (200, ANSWER)

    uvloop.run(play())


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "colour=red"])
def test_a_query_that_means_nothing_is_refused(query: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("GET", f"{TARGET}?{query}")

            assert (response.status, response.error) == (400, "BadRequestError")

    uvloop.run(play())


def test_it_is_for_those_who_have_the_token() -> None:
    async def play() -> None:
        async with staged(token="secret") as stage:
            response = await stage.ask("GET", TARGET)

            assert response.status == 401

    uvloop.run(play())
