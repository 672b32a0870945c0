"""What a request's body is encoded with, and when that is taken off."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from typing import Any

import pytest
import uvloop

from holdfast_host.core.limits import KIB, MIB, Limits
from holdfast_host.front.http.content_encoding import PIECE_BYTES, Inflater
from tests.unit.front.stage import Stage, read_response, request_bytes, staged
from tests.unit.front.test_function_hosts import HOST, asked, deploy

CALL = "/v1/actors/Account/alice/deposit"
BODY = b'{"amount":5}'
GZIPPED = gzip.compress(BODY, mtime=0)


def _bare_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (CALL, {}),
        (CALL, {"authorization": "Bearer wrong"}),
        ("/v1/call", {}),
        ("/v1/nothing", {"authorization": "Bearer t"}),
        ("/nothing", {}),
        ("/v1/actors/Account/alice/deposit", {"host": "elsewhere.example.com"}),
        ("/v1/actors/Nobody/alice/deposit", {"authorization": "Bearer t"}),
        ("/fn/nobody/", {}),
        ("/", {"host": "nobody.localhost"}),
    ],
)
def test_no_body_is_inflated_before_its_request_is_let_in(
    monkeypatch: pytest.MonkeyPatch, target: str, headers: dict[str, str]
) -> None:
    begun: list[Any] = []
    make = zlib.decompressobj

    def begin(*arguments: Any, **named: Any) -> Any:
        begun.append(arguments)
        return make(*arguments, **named)

    monkeypatch.setattr(zlib, "decompressobj", begin)

    async def play() -> None:
        async with staged(token="t") as stage:
            body = gzip.compress(bytes(900 * KIB))
            response = await stage.ask("POST", target, body, content_encoding="gzip", **headers)

            assert response.status in {401, 403, 404}
            assert begun == []

    uvloop.run(play())


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked", "identity, chunked", "x, CHUNKED"])
def test_a_transfer_coding_besides_chunked_is_refused_and_not_taken_for_none(coding: str) -> None:
    """RFC 9112, 6.1. The parser took the body for what it said it was not."""

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED)
            for target, host in ((CALL, None), ("/v1/call", None), ("/", HOST)):
                named = {} if host is None else {"host": host}
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
                writer.write(request_bytes("POST", target, body, transfer_encoding=coding, **named))
                response = await read_response(reader)
                writer.close()

                assert (response.status, response.error) == (501, "BadRequestError"), target
                assert "this takes chunked alone" in response.json["error"]["message"]

    uvloop.run(play())


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, deflate", "deflate,br"])
def test_a_coding_that_nobody_takes_off_is_415_and_says_which_are(coding: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            answers = [
                await stage.ask("POST", CALL, BODY, content_encoding=coding),
                await stage.ask("POST", "/v1/call", BODY, content_encoding=coding),
                await stage.ask("POST", "/", BODY, content_encoding=coding, host=HOST),
                await stage.ask("PUT", "/v1/instances/Account/alice/storage/k", BODY, content_encoding=coding),
            ]

            for answer in answers:
                assert (answer.status, answer.error) == (415, "BadRequestError")
                assert answer.headers["accept-encoding"] == "gzip, deflate"
                assert "gzip, deflate" in answer.json["error"]["message"]

    uvloop.run(play())


def test_a_coding_in_two_headers_is_415() -> None:
    async def play() -> None:
        async with staged() as stage:
            request = request_bytes("POST", CALL, BODY, content_encoding="gzip")
            answer = await stage.exchange(request.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))

            assert answer.status == 415

    uvloop.run(play())


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_deploy_comes_without_a_coding(coding: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            headers = {"content_type": "application/wasm", "content_encoding": coding}
            answer = await stage.ask("PUT", "/v1/functions/a", b"\0asm", **headers)

            assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")
            assert stage.uploads == []

    uvloop.run(play())


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", GZIPPED),
        ("GZIP", GZIPPED),
        ("x-gzip", GZIPPED),
        ("identity, gzip", GZIPPED),
        ("deflate", zlib.compress(BODY)),
        ("deflate", _bare_deflate(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
def test_a_body_of_a_known_coding_reaches_the_worker_without_it(coding: str, encoded: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            call, answer = await stage.answered("POST", CALL, encoded, content_encoding=coding)

            assert (answer.status, call.body) == (200, BODY)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (GZIPPED[:-4], "too early"),
        (GZIPPED * 2, "after its end"),
        (GZIPPED + b"\0", "after its end"),
        (b"no gzip at all", "no gzip"),
        (b"\0", "no gzip"),
    ],
)
def test_a_body_that_is_not_of_its_coding_is_refused(encoded: bytes, words: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            answer = await stage.ask("POST", CALL, encoded, content_encoding="gzip")

            assert (answer.status, answer.error) == (400, "BadRequestError")
            assert words in answer.json["error"]["message"]

    uvloop.run(play())


@pytest.mark.limit("arguments_bytes_max")
@pytest.mark.parametrize("beyond", [1, 2, 257, 258, 259, 600])
def test_a_body_comes_whole_that_has_nothing_behind_what_a_piece_had_no_room_for(beyond: int) -> None:
    body = b"a" * (PIECE_BYTES + beyond)
    inflater = Inflater("deflate")

    came = b"".join(inflater.feed(_bare_deflate(body)))
    inflater.finish()

    assert came == body


def test_a_body_may_not_be_longer_than_the_limit_once_it_is_inflated() -> None:
    async def play() -> None:
        async with staged(limits=Limits(arguments_bytes_max=1000)) as stage:
            call, _ = await stage.answered(
                "POST", CALL, gzip.compress(b'["' + b"x" * 996 + b'"]'), content_encoding="gzip"
            )
            answer = await stage.ask("POST", CALL, gzip.compress(b'["' + b"x" * 997 + b'"]'), content_encoding="gzip")

            assert len(call.body) == 1000
            assert (answer.status, answer.error) == (413, "PayloadTooLargeError")

    uvloop.run(play())


def test_what_a_byte_can_become_is_bounded_and_others_are_served_meanwhile() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            bomb = gzip.compress(bytes(9 * MIB))
            noise = b"".join(b"%d" % number for number in range(MIB // 3))
            refused = await stage.ask("POST", "/", bomb, content_encoding="gzip", host=HOST)
            _, request, response = await asked(stage, "POST", "/", gzip.compress(noise), content_encoding="gzip")

            assert (refused.status, refused.error) == (413, "PayloadTooLargeError")
            assert "100 times" in refused.json["error"]["message"]
            assert response.status == 200
            assert len(request["body_base64"]) > len(noise)
            assert stage.server.timeouts.coming_bytes == 0

    uvloop.run(play())


def test_a_flood_of_bombs_without_a_token_takes_no_longer_than_one_of_noise() -> None:
    async def flood(stage: Stage, body: bytes) -> float:
        request = request_bytes("POST", CALL, body, content_encoding="gzip")
        took = []
        for _ in range(3):
            began = time.thread_time()
            await asyncio.gather(*(stage.exchange(request) for _ in range(50)))
            took.append(time.thread_time() - began)
        return min(took)

    async def play() -> None:
        async with staged(token="t") as stage:
            bomb = gzip.compress(bytes(MIB))
            bombs_s, noise_s = await flood(stage, bomb), await flood(stage, b"\xff" * len(bomb))

            assert bombs_s < 3 * noise_s

    uvloop.run(play())
