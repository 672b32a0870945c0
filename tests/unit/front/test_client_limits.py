"""What web pages, slow clients and crowds get, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop

from holdfast_host.front.http.client_timeouts import ClientTimeouts
from holdfast_host.front.http.connection_limits import ConnectionLimits
from holdfast_host.front.http.server import HttpServer
from tests.unit.front.stage import Stage, read_response, request_bytes, staged, until

READY = "/health/readiness"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8787", "LOCALHOST.", "127.0.0.1:8787", "[::1]:8787", "10.1.2.3"],
)
def test_requests_for_a_name_of_this_host_pass(host: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            assert (await stage.ask("GET", "/v1/actors", host=host)).status == 200

    uvloop.run(play())


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "localhost.evil.example", "notlocalhost"])
def test_requests_for_another_hosts_name_are_refused_everywhere_but_for_health(host: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            for method, target in [
                ("GET", "/v1/actors"),
                ("POST", "/v1/actors/Account/alice/deposit"),
                ("GET", "/fn/account/"),
                ("GET", "/metrics"),
            ]:
                response = await stage.ask(method, target, host=host)
                assert (response.status, response.error) == (403, "ForbiddenError"), target
            assert (await stage.ask("GET", "/health/liveness", host=host)).status == 200

    uvloop.run(play())


@pytest.mark.parametrize("host", ["", "a b", "user@localhost", "localhost:99999999", "http://localhost"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            assert (await stage.ask("GET", "/v1/actors", host=host)).status == 400

    uvloop.run(play())


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://app.localhost"},
        {"origin": "file://"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_cannot_use_the_api(headers: dict[str, Any]) -> None:
    async def play() -> None:
        async with staged() as stage:
            for method, target in [("POST", "/v1/actors/Account/alice/deposit"), ("PUT", "/v1/functions/account")]:
                response = await stage.ask(method, target, b"{}", **headers)
                assert (response.status, response.error) == (403, "ForbiddenError"), target
            assert stage.worker.calls.empty()

    uvloop.run(play())


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://localhost", "sec_fetch_site": "same-origin"}, {"sec_fetch_site": "none"}, {}],
)
def test_our_own_pages_the_address_bar_and_programs_can(headers: dict[str, Any]) -> None:
    async def play() -> None:
        async with staged() as stage:
            _, response = await stage.answered("POST", "/v1/actors/Account/alice/deposit", b"{}", **headers)
            assert response.status == 200

    uvloop.run(play())


def test_a_body_that_stalls_is_refused_and_others_are_answered_meanwhile() -> None:
    async def play() -> None:
        async with staged() as stage:
            patient(stage, body_s=0.2)
            stage.worker.answer = b"1"
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(b"POST /v1/call HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")

            assert (await stage.deposit()).status == 200
            response = await read_response(reader)
            assert (response.status, response.error) == (408, "BadRequestError")
            writer.close()

    uvloop.run(play())


def test_a_body_that_trickles_is_refused_though_it_never_pauses_for_long() -> None:
    async def play() -> None:
        async with staged() as stage:
            patient(stage, body_s=0.3)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(b"POST /v1/call HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{")
            response = asyncio.create_task(read_response(reader))
            while not response.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)

            assert response.result().status == 408
            writer.close()

    uvloop.run(play())


@pytest.mark.parametrize("content_type", ["application/wasm", "multipart/form-data; boundary=b"])
def test_an_upload_that_stalls_holds_no_drain(content_type: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            patient(stage, drain_s=0.1)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            head = f"PUT /v1/functions/account HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n"
            part = '--b\r\nContent-Disposition: form-data; name="component"\r\n\r\n\0asm'
            writer.write(f"{head}content-length: 5000\r\n\r\n{part if 'multi' in content_type else ''}".encode())
            await until(lambda: stage.uploads)
            stage.supervisor.send("drain")

            response = await read_response(reader)
            assert (response.status, response.error) == (503, "HostUnavailableError")
            writer.close()
            await stage.supervisor.next("drained")
            assert stage.uploads == []

    uvloop.run(play())


def test_bodies_that_are_coming_in_may_not_fill_the_memory() -> None:
    async def play() -> None:
        async with staged() as stage:
            patience = patient(stage, coming_bytes_max=100_000)
            head = b"POST /v1/call HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90000\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(head + b" " * 60_000)
            await until(lambda: patience.coming_bytes == 60_000)
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", stage.port)
            late_writer.write(head + b" " * 60_000)

            refused = await read_response(late_reader)
            assert (refused.status, refused.error) == (503, "HostUnavailableError")
            writer.write(b" " * 30_000)
            assert (await read_response(reader)).status == 400  # all of it came: it is no JSON
            assert patience.coming_bytes == 0
            writer.close()
            late_writer.close()

    uvloop.run(play())


@pytest.mark.parametrize("sent", [b"", b"GET /health/", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: "])
def test_a_client_that_sends_no_head_in_time_is_cut(sent: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            api_server(stage)._kept = ConnectionLimits(100, head_s=0.1)
            api_server(stage)._busy = api_server(stage)._kept.busy
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(sent)

            assert await asyncio.wait_for(reader.read(), 10) == b""
            assert (await stage.ask("GET", READY)).status == 200
            writer.close()

    uvloop.run(play())


def test_a_head_that_dribbles_on_a_kept_connection_is_cut_like_the_first_one_and_idleness_is_not() -> None:
    async def play() -> None:
        async with staged() as stage:
            api_server(stage)._kept = ConnectionLimits(100, head_s=0.2)
            api_server(stage)._busy = api_server(stage)._kept.busy
            (reader, writer), (idle_reader, idle_writer) = [
                await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(2)
            ]
            for each_reader, each_writer in ((reader, writer), (idle_reader, idle_writer)):
                each_writer.write(request_bytes("GET", READY))
                assert (await read_response(each_reader)).status == 200

            cut = asyncio.create_task(reader.read())
            head = iter(b"GET /health/readiness HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 4_000)
            while not cut.done():
                writer.write(bytes([next(head)]))
                await asyncio.sleep(0.02)

            assert cut.result() == b""
            idle_writer.write(request_bytes("GET", READY))
            assert (await read_response(idle_reader)).status == 200
            writer.close()
            idle_writer.close()

    uvloop.run(play())


def test_where_there_is_no_room_a_connection_that_waits_goes_and_one_that_is_served_stays() -> None:
    async def play() -> None:
        async with staged() as stage:
            api_server(stage)._kept = ConnectionLimits(20)
            api_server(stage)._busy = api_server(stage)._kept.busy
            served = asyncio.create_task(stage.deposit())
            call = await stage.worker.next_call()
            idle = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(100)]

            assert (await stage.ask("GET", READY)).status == 200
            await stage.worker.reply(call)
            assert (await served).status == 200
            assert await asyncio.wait_for(idle[0][0].read(), 10) == b""
            for _, writer in idle:
                writer.close()

    uvloop.run(play())


@pytest.mark.slow
def test_five_thousand_idle_and_slow_connections_leave_others_answered() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            loop = asyncio.get_running_loop()
            crowd: list[socket.socket] = []
            for number in range(5_000):
                each = socket.socket()
                each.setblocking(False)
                await loop.sock_connect(each, ("127.0.0.1", stage.port))
                if number % 2:
                    await loop.sock_sendall(
                        each, b"POST /v1/call HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
                    )
                crowd.append(each)

            took = []
            for _ in range(50):
                began = loop.time()
                assert (await stage.deposit()).status == 200
                took.append(loop.time() - began)
            assert sorted(took)[25] < 0.5
            for each in crowd:
                each.close()

    uvloop.run(play())


@pytest.mark.parametrize("lines", [b"x: " + b"y" * 10_000, b"\r\n".join(b"x%d: y" % n for n in range(200))])
def test_a_head_past_the_limits_is_refused(lines: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(b"GET /v1/actors HTTP/1.1\r\nhost: localhost\r\n" + lines + b"\r\n\r\n")
            response = await read_response(reader)

            assert (response.status, response.error) == (400, "BadRequestError")
            assert response.headers["server"] == "holdfast"
            writer.close()

    uvloop.run(play())


def test_no_answer_names_a_version_or_shows_a_trace() -> None:
    async def play() -> None:
        async with staged() as stage:
            for raw in (request_bytes("GET", "/nothing"), b"rubbish\r\n\r\n", request_bytes("POST", "/v1/call", b"[")):
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
                writer.write(raw)
                response = await read_response(reader)
                said = (str(response.headers) + response.body.decode()).lower()

                assert response.headers["server"] == "holdfast"
                assert not any(word in said for word in ("aiohttp", "python", "uvloop", "traceback", ".py"))
                writer.close()

    uvloop.run(play())


def api_server(stage: Stage) -> HttpServer:
    _, server = stage.front._servers[0]
    return server


def patient(stage: Stage, **settings: Any) -> ClientTimeouts:
    """Give the front another patience."""
    api_server(stage).timeouts = ClientTimeouts(**settings)
    return api_server(stage).timeouts
