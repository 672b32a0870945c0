"""The access log of a front: a line for each request, without a secret, that no request waits for."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from holdfast_host.front.access_log import file as access_file
from holdfast_host.front.access_log.connection import LoggedConnection, shown_target
from holdfast_host.front.access_log.file import AccessFile
from holdfast_host.front.http.connection import Connection
from holdfast_host.front.known.connection import KnowingConnection
from tests.unit.front.sockets.sockets_stage import socket_staged
from tests.unit.front.stage import PATIENCE_S, request_bytes, staged, until
from tests.unit.front.test_tokens import BOOTSTRAP, known, made


def lines(path: Path) -> list[dict[str, Any]]:
    """All but those of the stage itself, which waits for the front to be ready."""
    text = path.read_text("ascii") if path.exists() else ""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [each for each in found if each["target"] != "/health/readiness"]


def wait_until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


async def logged(path: Path, count: int) -> list[dict[str, Any]]:
    await until(lambda: len(lines(path)) >= count)
    return lines(path)


def test_a_request_has_one_line_with_who_asked_what_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    text, facts = made()

    async def body() -> None:
        async with staged(access_log=str(path), token=BOOTSTRAP, tokens=known(facts)) as stage:
            stage.worker.answer = b'{"balance":5}'
            before = time.time()
            for _ in range(3):
                await stage.deposit(authorization=f"Bearer {text}", user_agent="curl/8")
            refused = await stage.ask("GET", "/v1/nothing?key=s3cret&s3cret", authorization=f"Bearer {BOOTSTRAP}")
            stranger = await stage.ask("GET", "/v1/actors", authorization="Bearer wr0ng")
            head = await stage.ask("HEAD", "/health/liveness")
            *calls, nothing, nobody, alive = await logged(path, 6)

            assert [call["status"] for call in calls] == [200] * 3
            assert {"client": "127.0.0.1", "method": "POST", "target": "/v1/actors/Account/alice/deposit"}.items() <= (
                calls[0].items()
            )
            assert (calls[0]["bytes"], calls[0]["agent"], calls[0]["token"]) == (13, "curl/8", facts.id)
            assert calls[0]["request"] is None
            assert before - 0.01 <= calls[0]["time"] <= time.time() + 0.01
            assert 0 < calls[0]["ms"] < PATIENCE_S * 1e3
            assert (nothing["status"], nothing["target"], nothing["token"]) == (404, "/v1/nothing?key=*&*", "bootstrap")
            assert (nothing["request"], nothing["bytes"]) == (
                refused.headers["holdfast-request-id"],
                len(refused.body),
            )
            assert (nobody["status"], nobody["token"], nobody["agent"]) == (401, "anonymous", None)
            assert nobody["request"] == stranger.headers["holdfast-request-id"]
            assert (alive["method"], alive["status"], alive["bytes"]) == ("HEAD", head.status, 0)
        written = path.read_text()
        assert [secret for secret in ("s3cret", "wr0ng", BOOTSTRAP, text) if secret in written] == []
        assert oct(path.stat().st_mode & 0o007) == "0o0"

    asyncio.run(body())


def test_calls_in_a_row_on_one_connection_have_a_line_each_though_their_heads_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        async with staged(access_log=str(path)) as stage:
            stage.worker.answer = b"1"
            call = request_bytes("POST", "/v1/actors/Account/alice/deposit", b"[1]")
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            for _ in range(4):
                writer.write(call)
                await reader.readuntil(b"\r\n\r\n1")
            writer.write(call * 3)
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n1")
            found = [each["status"] for each in await logged(path, 7)]
            writer.close()

            assert (found, stage.direct_calls) == ([200] * 7, 0)

    asyncio.run(body())


def test_a_front_without_the_log_has_connections_that_know_nothing_of_it(tmp_path: Path) -> None:
    """What a call costs is what it cost: the kind of connection is chosen once, when the front starts."""

    async def kind(**options: Any) -> type:
        async with staged(**options) as stage:
            return type(stage.server())

    async def body() -> None:
        assert await kind() is KnowingConnection
        assert await kind(known_heads=False) is Connection
        assert await kind(access_log=str(tmp_path / "access.log")) is LoggedConnection
        assert Connection.log_access is web.RequestHandler.log_access

    asyncio.run(body())


def test_a_client_that_goes_before_its_answer_has_a_line_without_a_status(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        async with staged(access_log=str(path)) as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("POST", "/v1/actors/Account/alice/deposit", b"[1]"))
            await stage.worker.next_call()
            writer.transport.abort()
            [found] = await logged(path, 1)

            assert (found["status"], found["bytes"]) == (None, 0)

    asyncio.run(body())


def test_a_socket_has_a_line_when_its_handshake_has_ended_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        async with socket_staged(access_log=str(path)) as stage:
            joined = await stage.join()
            await joined.client.send("hello")
            await stage.event()
            [found] = await logged(path, 1)

            assert (found["method"], found["status"]) == ("GET", 101)

    asyncio.run(body())
    assert len(lines(path)) == 1  # with all that was left, for the front has stopped


@pytest.mark.parametrize("stays", [True, False])
def test_an_answer_in_pieces_has_its_line_when_it_has_ended_or_its_client_went(tmp_path: Path, stays: bool) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        async with staged(access_log=str(path)) as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            headers = {"content_type": "application/wasm", "accept": "application/x-ndjson"}
            writer.write(request_bytes("PUT", "/v1/functions/account", b"\0asm", **headers))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("progress", id=request["id"], stage="compiling")
            received = await reader.readuntil(b"}\n")
            assert lines(path) == []
            if stays:
                result = {"version": 1, "created": True, "status": "deploy_ok"}
                stage.supervisor.send("answer", id=request["id"], result=result)
                received += await reader.readuntil(b"0\r\n\r\n")
            else:
                writer.transport.abort()
            [found] = await logged(path, 1)
            writer.close()

            assert (found["status"], found["bytes"]) == ((200, len(received)) if stays else (None, 0))

    asyncio.run(body())


def test_what_is_no_http_has_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def body() -> None:
        async with staged(access_log=str(path)) as stage:
            answer = await stage.exchange(b"nonsense\r\n\r\n")
            [found] = await logged(path, 1)

            assert (found["status"], found["request"]) == (400, answer.headers["holdfast-request-id"])

    asyncio.run(body())


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/a/b", "/a/b"),
        ("/a?x=1&y=2", "/a?x=*&y=*"),
        ("/a?s3cret", "/a?*"),
        ("/a?x=1&s3cret&z=a=b", "/a?x=*&*&z=*"),
        ("/a?x=&&y", "/a?x=*&&*"),
        ("/a?b#s3cret", "/a?*"),
        ("http://user:s3cret@host/a?x=1", "/a?x=*"),
        ("*", "*"),
        (f"/v1/tokens/hft_{'a' * 10}_{'b' * 43}", f"/v1/tokens/hft_{'a' * 10}_..."),
        (f"/v1/tokens/hft%5F{'a' * 10}%5f{'b' * 43}?key=s", f"/v1/tokens/hft_{'a' * 10}_...?key=*"),
        ("/" + "x" * 900, "/" + "x" * 499),
    ],
)
def test_a_target_is_shown_without_values_and_secrets(target: str, shown: str) -> None:
    assert shown_target(target) == shown


@pytest.mark.parametrize("made", ["by the host", "by whoever moved it"])
def test_a_file_that_is_moved_away_is_followed_by_another_of_its_name(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_file, "LOOK_S", 0.0)
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    file = AccessFile(str(path))
    file.write(b"1\n")
    wait_until(lambda: path.exists() and path.read_bytes())
    path.rename(moved)
    if made != "by the host":
        path.touch()
    file.write(b"2\n")
    wait_until(lambda: path.exists() and path.read_bytes())
    file.close()

    assert (moved.read_bytes(), path.read_bytes()) == (b"1\n", b"2\n")


def test_several_fronts_write_whole_lines_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    files = [AccessFile(str(path)) for _ in range(3)]
    for number in range(300):
        files[number % 3].write(b"%d" % (number % 3) * 200 + b"\n")
    for file in files:
        file.close()

    assert {len(set(line)) for line in path.read_bytes().splitlines()} == {1}
    assert len(path.read_bytes().splitlines()) == 300


def test_a_full_disk_ends_no_request_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with staged(access_log="/dev/full") as stage:
            stage.worker.answer = b"1"
            statuses = [(await stage.deposit()).status for _ in range(5)]
            file = stage.front._access_file
            assert file is not None
            await until(lambda: file.dropped >= 5)

            assert statuses == [200] * 5

    asyncio.run(body())
    said = [each.getMessage() for each in caplog.records if "access log" in each.getMessage()]
    assert said == ["lines of the access log /dev/full are dropped, 1 so far: No space left on device"]


def test_a_reader_that_takes_nothing_holds_no_request_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_file, "LINES_MAX", 10)
    monkeypatch.setattr(access_file, "CLOSE_S", 0.0)
    ours, theirs = os.pipe()
    file = AccessFile("-", theirs)
    line = b"x" * 8192 + b"\n"
    for _ in range(100):
        file.write(line)
    dropped = file.dropped
    file.close()
    os.close(ours)  # and the thread ends

    assert dropped >= 70  # a pipe holds 64 KiB
