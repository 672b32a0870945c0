from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop

from tests.unit.front.stage import read_response, request_bytes, staged

TOKEN = "correct horse"


@pytest.mark.parametrize(
    ("method", "target", "status", "error"),
    [
        ("GET", "/", 404, "UnknownRouteError"),
        ("GET", "/v1", 404, "UnknownRouteError"),
        ("GET", "/v1/actors/", 404, "UnknownRouteError"),
        ("POST", "/v1/actors/Account/a/b/deposit", 404, "UnknownRouteError"),
        ("POST", "/v1/actors/Account/alice", 404, "UnknownRouteError"),
        ("GET", "/v1/../health/liveness", 404, "UnknownRouteError"),
        ("GET", "/v1/actors/Account/alice/deposit", 405, "WrongMethodError"),
        ("GET", "/v1/call", 405, "WrongMethodError"),
        ("POST", "/v1/functions", 405, "WrongMethodError"),
        ("PATCH", "/v1/functions/account", 405, "WrongMethodError"),
        ("POST", "/health/liveness", 405, "WrongMethodError"),
    ],
)
def test_what_is_not_served_is_a_json_error(method: str, target: str, status: int, error: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask(method, target)

            assert (response.status, response.error) == (status, error)
            assert ("allow" in response.headers) == (status == 405)

    uvloop.run(play())


def test_options_and_head_are_answered_sensibly() -> None:
    async def play() -> None:
        async with staged() as stage:
            options = await stage.ask("OPTIONS", "/v1/functions/account")
            head = await stage.ask("HEAD", "/health/liveness")
            refused = await stage.ask("HEAD", "/v1/call")

            assert (options.status, options.headers["allow"]) == (200, "GET, PUT, DELETE, HEAD, OPTIONS")
            assert (head.status, head.headers["content-length"], head.body) == (200, "2", b"")
            assert (refused.status, refused.headers["allow"]) == (405, "POST, OPTIONS")

    uvloop.run(play())


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_without_the_token_everything_under_v1_is_401(authorization: str | None) -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            headers: dict[str, Any] = {} if authorization is None else {"authorization": authorization}
            targets = [
                ("POST", "/v1/actors/Account/a/deposit"),
                ("POST", "/v1/call"),
                ("GET", "/v1/nothing"),
                ("GET", "/v1"),
            ]
            for method, target in [*targets, ("PUT", "/v1/functions/account"), ("GET", "/v1/openapi.json")]:
                response = await stage.ask(method, target, **headers)

                assert (response.status, response.error) == (401, "UnauthorizedError"), target
                assert response.headers["www-authenticate"].startswith("Bearer")
            assert (await stage.ask("GET", "/health/liveness")).body == b"ok"

    uvloop.run(play())


def test_with_the_token_calls_pass() -> None:
    async def play() -> None:
        async with staged(token=TOKEN) as stage:
            _, response = await stage.answered(
                "POST", "/v1/actors/Account/a/deposit", authorization=f"bearer  {TOKEN} "
            )

            assert response.status == 200

    uvloop.run(play())


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v1/call HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_json_error_without_a_version_or_a_trace(raw: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(raw)
            response = await read_response(reader)
            rest = await reader.read()
            writer.close()

            assert (response.status, response.error, rest) == (400, "BadRequestError", b"")
            assert response.headers["server"] == "holdfast"
            assert b"Traceback" not in response.body

    uvloop.run(play())


def test_a_broken_chunked_body_is_400() -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("POST", "/v1/call", b"zz\r\n", transfer_encoding="chunked")

            assert (response.status, response.error) == (400, "BadRequestError")

    uvloop.run(play())


def test_a_bug_is_an_internal_error_whose_trace_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.front._calls.view = None  # type: ignore[assignment]
            response = await stage.deposit()

            assert (response.status, response.error) == (500, "InternalError")
            assert b"NoneType" not in response.body
            assert "NoneType" in caplog.text

    uvloop.run(play())


def test_a_connection_is_kept_unless_the_client_asks_otherwise() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("GET", "/health/liveness") * 2)
            kept = [await read_response(reader) for _ in range(2)]
            writer.write(request_bytes("GET", "/health/liveness", connection="close"))
            closed = await read_response(reader)
            end = await reader.read()
            writer.close()

            assert ["connection" in each.headers for each in kept] == [False, False]
            assert (closed.headers["connection"], end) == ("close", b"")

    uvloop.run(play())


def test_http_1_0_is_served() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(b"GET http://somewhere/health/liveness?x HTTP/1.0\r\n\r\n")
            response = await read_response(reader)
            end = await reader.read()
            writer.close()

            assert (response.body, response.headers["connection"], end) == (b"ok", "close", b"")

    uvloop.run(play())


def test_the_types_are_listed_with_their_methods() -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("GET", "/v1/actors")

            [row] = response.json["actors"]
            assert (row["type"], row["function"], row["version"], row["doc"]) == ("Account", "account", 3, "Money.")
            assert row["methods"] == [{"name": "deposit", "signature": "(amount: int) -> dict", "doc": "Add funds."}]

    uvloop.run(play())


def test_the_api_describes_exactly_what_is_served() -> None:
    async def play() -> None:
        async with staged() as stage:
            described = (await stage.ask("GET", "/v1/openapi.json")).json
            functions = described["paths"].pop("/fn/{function}/{path}")  # takes any method, and answers OPTIONS itself
            assert {"get", "put", "options"} <= set(functions)
            for path, operations in described["paths"].items():
                target = path.replace("{type}", "Account").replace("{function}", "account")
                allowed = (await stage.ask("OPTIONS", target)).headers["allow"].lower().split(", ")

                verbs = {name for name in operations if name != "parameters"}
                assert verbs == set(allowed) - {"head", "options"}, path

    uvloop.run(play())


def test_readiness_says_why_it_is_not() -> None:
    async def play() -> None:
        async with staged(connected=False) as stage:
            down = await stage.ask("GET", "/health/readiness")
            await stage.worker.accept()
            while (ready := await stage.ask("GET", "/health/readiness")).status != 200:
                pass
            stage.supervisor.send("health", workers=[True], stopping=True)
            stage.supervisor.send("ping", id=1)
            await stage.supervisor.next("pong")
            stopping = await stage.ask("GET", "/health/readiness")

            assert (down.status, ready.body, stopping.status) == (503, b"ok", 503)
            assert "worker 0" in down.json["error"]["message"]
            assert "stopping" in stopping.json["error"]["message"]
            assert (await stage.ask("GET", "/health/liveness")).body == b"ok"

    uvloop.run(play())


def test_a_drain_finishes_open_requests_closes_idle_connections_and_takes_no_new_ones() -> None:
    async def play() -> None:
        async with staged() as stage:
            idle_reader, idle = await asyncio.open_connection("127.0.0.1", stage.port)
            idle.write(request_bytes("GET", "/health/liveness"))
            await read_response(idle_reader)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("POST", "/v1/actors/Account/alice/deposit"))
            call = await stage.worker.next_call()
            stage.supervisor.send("drain")
            ended = await idle_reader.read()
            with pytest.raises(OSError):  # noqa: PT011 # refused or reset, as the kernel likes
                await stage.ask("GET", "/health/liveness")
            undrained = stage.supervisor.messages.empty()
            await stage.worker.reply(call, 200, b"70")
            response = await read_response(reader)
            rest = await reader.read()
            await stage.supervisor.next("drained")
            idle.close()
            writer.close()

            assert (ended, undrained) == (b"", True)
            assert (response.body, response.headers["connection"], rest) == (b"70", "close", b"")

    uvloop.run(play())
