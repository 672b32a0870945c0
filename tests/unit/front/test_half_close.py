"""A client that sends no more still gets its answer; one that is gone altogether has hung up."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from holdfast_host.front.http import connection
from tests.unit.front.stage import PATIENCE_S, Stage, read_response, request_bytes, staged, until
from tests.unit.front.test_function_hosts import HOST, OK, deploy

CALL = request_bytes("POST", "/v1/actors/Account/alice/deposit", b'{"amount":5}')
either_way = pytest.mark.usefixtures("either_way")


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    if stage.taught:
        await stage.teach(CALL)
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@either_way
def test_a_client_that_sends_no_more_after_its_request_gets_the_answer_and_then_the_end() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(CALL)
            writer.write_eof()
            call = await stage.worker.next_call()
            await stage.worker.reply(call, 200, b"5")
            response = await read_response(reader)

            assert (response.status, response.body) == (200, b"5")
            assert response.headers["connection"] == "close"
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
            assert stage.worker.cancelled.empty()

    uvloop.run(play())


@either_way
def test_requests_that_came_before_the_end_are_all_answered_in_order() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(CALL * 3)
            writer.write_eof()
            answers = []
            for number in range(3):
                await stage.worker.reply(await stage.worker.next_call(), 200, b"%d" % number)
                answers.append((await read_response(reader)).body)

            assert answers == [b"0", b"1", b"2"]
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""

    uvloop.run(play())


@either_way
def test_a_client_that_is_still_there_gets_its_answer_however_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PARTING_S", 0.01)

    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(CALL)
            writer.write_eof()
            call = await stage.worker.next_call()
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S) == b"HTTP/1.1 100 Continue\r\n\r\n"
            await stage.worker.reply(call, 200, b"5")

            assert (await read_response(reader)).body == b"5"
            assert stage.worker.cancelled.empty()

    uvloop.run(play())


@either_way
def test_a_client_that_is_gone_has_hung_up() -> None:
    async def play() -> None:
        async with staged() as stage:
            async with connected(stage) as (_, writer):
                writer.write(CALL)
                call = await stage.worker.next_call()

            assert await asyncio.wait_for(stage.worker.cancelled.get(), PATIENCE_S) == call.slot

    uvloop.run(play())


@pytest.mark.parametrize("part", [b"", CALL[:10], CALL[:-3], CALL + CALL[:-3], CALL + b"\r\n"])
@either_way
def test_a_request_that_is_cut_short_ends_the_connection(part: bytes) -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            stage.worker.answer = b"5"
            writer.write(part)
            writer.write_eof()
            left = await asyncio.wait_for(reader.read(), PATIENCE_S)

            assert left.count(b"HTTP/1.1 200") <= part.count(b"}")

    uvloop.run(play())


@pytest.mark.parametrize("cut", [CALL[:-3], CALL[:10]])
@either_way
def test_whole_requests_before_one_that_is_cut_short_are_answered(cut: bytes) -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(CALL + CALL + cut)
            writer.write_eof()
            answers = []
            for number in range(2):
                await stage.worker.reply(await stage.worker.next_call(), 200, b"%d" % number)
                answers.append((await read_response(reader)).body)

            assert answers == [b"0", b"1"]
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""

    uvloop.run(play())


def test_a_functions_caller_that_sends_no_more_gets_its_answer() -> None:
    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            deploy(stage)
            writer.write(request_bytes("POST", "/", b"body", host=HOST))
            writer.write_eof()
            await stage.worker.reply(await stage.worker.next_call(), 200, OK)

            assert (await read_response(reader)).status == 200
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""

    uvloop.run(play())


def test_a_client_of_http_1_0_is_sent_nothing_before_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PARTING_S", 0.001)

    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(CALL.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            writer.write_eof()
            call = await stage.worker.next_call()
            served: Any = next(iter(stage.server._busy))
            await until(lambda: served._looks >= 3)
            await stage.worker.reply(call, 200, b"5")

            assert (await asyncio.wait_for(reader.read(), PATIENCE_S)).startswith(b"HTTP/1.1 200 OK")

    uvloop.run(play())


def test_nothing_comes_between_the_bytes_of_a_backup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is sent to find out whether a client is still there would be taken for a part of it."""
    monkeypatch.setattr(connection, "PARTING_S", 0.001)
    (tmp_path / "a").write_bytes(b"x" * 600)

    async def play() -> None:
        async with staged() as stage, connected(stage) as (reader, writer):
            writer.write(request_bytes("POST", "/v1/backup"))
            writer.write_eof()
            asked = (await stage.supervisor.next("request"))["id"]
            file = {"name": "format.json", "path": str(tmp_path / "a"), "size": 600}
            stage.supervisor.send("progress", id=asked, stage=json.dumps(file))
            await asyncio.wait_for(reader.readuntil(b"x" * 600), PATIENCE_S)
            await asyncio.sleep(0.1)  # some looks after it
            stage.supervisor.send("answer", id=asked, result={})
            rest = await asyncio.wait_for(reader.read(), PATIENCE_S)

            assert b"checksums.json" in rest
            assert b"HTTP/1.1" not in rest

    uvloop.run(play())
