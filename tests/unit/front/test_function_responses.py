"""What a function answers, on its way to the client: headers, bodies, pieces, and what cannot be sent."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.front.http.answers import status_line
from holdfast_host.wire.calls.function_bodies import FOLLOWS, pack_head, unpack_pull
from tests.unit.front.stage import request_bytes, staged
from tests.unit.front.test_function_hosts import HOST, asked, deploy


def test_a_response_keeps_its_headers_and_the_host_sets_lengths_and_connection() -> None:
    reply = {
        "status": 200,
        "headers": [
            ["Set-Cookie", "a=1"], ["set-cookie", "b=2"], ["Content-Length", "7"], ["Connection", "x-hop"],
            ["X-Hop", "1"], ["Transfer-Encoding", "chunked"], ["Server", "mine"],
        ],
        "body": "body",
    }  # fmt: skip

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("GET", "/", host=HOST))
            await stage.worker.reply(await stage.worker.next_call(), 200, json.dumps(reply).encode())
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            body = await reader.readexactly(4)
            writer.close()

            assert body == b"body"
            assert lines[:4] == ["HTTP/1.1 200 OK", "Set-Cookie: a=1", "set-cookie: b=2", "Server: mine"]
            assert "Content-Length: 4" in lines
            assert not any(line.lower().startswith(("x-hop", "transfer", "connection")) for line in lines)

    uvloop.run(play())


@pytest.mark.parametrize("pieces", [False, True])
def test_who_answers_by_path_rules_nothing_of_the_hosts_own_origin(pieces: bool) -> None:
    whole = ["Clear-Site-Data", "nel", "Report-To", "Strict-Transport-Security", "alt-svc"]
    text = json.dumps({"status": 200, "headers": [*([each, "x"] for each in whole), ["X-Own", "1"]]}).encode()

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            for host, target, kept in ((HOST, "/", True), ("127.0.0.1", "/fn/web/", False)):
                task = asyncio.create_task(stage.ask("GET", target, b"", host=host))
                reply, status = (pack_head(1, text), 200 | FOLLOWS) if pieces else (text, 200)
                await stage.worker.reply(await stage.worker.next_call(), status, reply)
                if pieces:
                    await stage.worker.reply(await stage.worker.next_call(), 200, b"")
                headers = (await task).headers
                assert [each.lower() in headers for each in whole] == [kept] * len(whole)
                assert headers["x-own"] == "1"

    uvloop.run(play())


def test_a_page_that_comes_by_path_is_no_page_of_the_hosts_own_origin() -> None:
    """A browser gives a document under this policy an origin of its own, whatever policy the function adds."""
    reply = {"status": 200, "headers": [["content-security-policy", "default-src *"]], "body": "<script>"}

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            policies = []
            for host, target in ((HOST, "/"), ("127.0.0.1", "/fn/web/"), ("127.0.0.1", f"http://{HOST}/")):
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
                writer.write(request_bytes("GET", target, host=host))
                await stage.worker.reply(await stage.worker.next_call(), 200, json.dumps(reply).encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                policies.append([line for line in head if line.lower().startswith("content-security-policy")])
                writer.close()

            own = "content-security-policy: default-src *"
            assert policies[0] == policies[2] == [own]
            assert policies[1][0] == own
            [ours] = policies[1][1:]
            assert ours.startswith("Content-Security-Policy: sandbox ")
            assert "allow-scripts" in ours
            assert "allow-same-origin" not in ours

            # What a browser says of a page without an origin.
            for answer in (
                await stage.ask("GET", "/v1/functions", origin="null"),
                await stage.ask("GET", "/v1/functions", sec_fetch_site="cross-site"),
            ):
                assert (answer.status, answer.error) == (403, "ForbiddenError")

    uvloop.run(play())


@pytest.mark.parametrize(
    ("method", "status", "reply_headers", "body", "length", "received"),
    [
        ("HEAD", 200, [], "body", "4", b""),
        ("HEAD", 200, [["Content-Length", "1234"]], "", "1234", b""),
        ("GET", 204, [], "dropped", None, b""),
        ("GET", 304, [["ETag", '"x"']], "dropped", None, b""),
        ("GET", 205, [], "", "0", b""),
        ("GET", 205, [["Content-Length", "7"]], "dropped", "0", b""),
        ("GET", 599, [], "odd", "3", b"odd"),
    ],
)
def test_responses_without_a_body_have_none(
    method: str, status: int, reply_headers: list[list[str]], body: str, length: str | None, received: bytes
) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            reply = json.dumps({"status": status, "headers": reply_headers, "body": body}).encode()
            _, _, response = await asked(stage, method, "/", reply=reply)

            assert (response.status, response.headers.get("content-length"), response.body) == (
                status,
                length,
                received,
            )

    uvloop.run(play())


@pytest.mark.parametrize(("method", "status", "length"), [("HEAD", 200, None), ("GET", 204, None), ("GET", 205, "0")])
def test_responses_in_pieces_without_a_body_say_so_and_let_go_of_it(
    method: str, status: int, length: str | None
) -> None:
    """A client that is told no length of a 205 would wait for the end of the connection."""

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            text = json.dumps({"status": status, "headers": [], "body_follows": True}).encode()
            _, _, response = await asked(stage, method, "/", reply=pack_head(9, text), status=200 | FOLLOWS)

            assert (response.status, response.headers.get("content-length"), response.body) == (status, length, b"")
            assert unpack_pull((await stage.worker.next_call()).body) == (9, True)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK"),
        (299, b"HTTP/1.1 299 Success"),
        (399, b"HTTP/1.1 399 Redirection"),
        (499, b"HTTP/1.1 499 Refused"),
        (599, b"HTTP/1.1 599 Failed"),
    ],
)
def test_a_status_without_a_phrase_has_that_of_its_hundred(status: int, line: bytes) -> None:
    assert status_line(status) == line + b"\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b'{"status":"200"}',
        b'{"status":101}',
        b'{"status":true}',
        b'{"status":200,"headers":{}}',
        b'{"status":200,"headers":[["X","a\\r\\nSet-Cookie: x=1"]]}',
        b'{"status":200,"headers":[["X: y\\r\\nZ","a"]]}',
        b'{"status":200,"headers":[["X","\\ud800"]]}',
        b'{"status":200,"headers":[["X",1]]}',
        b'{"status":200,"headers":[["",""]]}',
        b'{"status":200,"body":5}',
        b'{"status":200,"body_base64":"not base64!"}',
        b'{"status":200,"body_base64":"%b"}' % base64.b64encode(b"x" * 2_001),
        b'{"status":200,"headers":[["X","%b"]]}' % (b"x" * 70_000),
        b'{"body":"%b","status":200}' % (b"x" * 300_000),
        b'{"status":200,"headers":%b}' % (b"[" * 200_000),
        b'{"status":200,"body":"%b","x":"y"}' % (b"x" * 300_000),
    ],
)
def test_a_response_that_cannot_be_sent_is_500_and_its_reason_stays_in_the_log(
    reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with staged(limits=Limits().replace(fetch_body_bytes_max=2_000)) as stage:
            deploy(stage)
            _, _, response = await asked(stage, "GET", "/", reply=reply)

            assert (response.status, response.error) == (500, "ActorMethodError")
            assert response.json["error"]["message"] == "the function 'web' failed: its log says why"

    uvloop.run(play())
    assert "the function web answered what cannot be sent" in caplog.text


def test_errors_of_the_worker_are_answered_as_they_are() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            error = b'{"error":{"name":"MailboxFullError","message":"full","retryable":true}}'
            _, _, response = await asked(stage, "GET", "/", reply=error, status=429)

            assert (response.status, response.error, response.headers["retry-after"]) == (429, "MailboxFullError", "1")

    uvloop.run(play())
