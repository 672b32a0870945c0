"""No bytes are taken for a request but those that begin where the one before has ended."""

from __future__ import annotations

import random

import pytest
import uvloop

from holdfast_host.front.http.server import HttpServer
from tests.unit.front.both_ways import SETTLED_LOOPS, play_pieces
from tests.unit.front.stage import Stage, request_bytes, staged


def call_of(name: str, body: bytes = b"[1]", **headers: str) -> bytes:
    return request_bytes("POST", f"/v1/actors/Account/{name}/deposit", body, **headers)


CALL = call_of("known")


async def play_both_ways(stage: Stage, pieces: list[tuple[bytes, int]]) -> tuple[list[tuple[bytes, bytes, int]], int]:
    """The calls that these pieces make, and how many of them were not parsed; everything is as without a direct way."""
    before = stage.direct_calls
    answers, calls = await play_pieces(stage, stage.server, pieces)
    direct = stage.direct_calls - before
    usual_answers, usual_calls = await play_pieces(stage, HttpServer(stage.server._handle), pieces)

    assert (calls, answers) == (usual_calls, usual_answers), pieces
    return calls, direct


def settled(*pieces: bytes) -> list[tuple[bytes, int]]:
    return [(piece, SETTLED_LOOPS) for piece in pieces]


KNOWN = (b"known", b"[1]", 0)
HEAD = b"POST /v1/actors/Account/outer/deposit HTTP/1.1\r\nhost: localhost\r\n"
LENGTH = b"content-length: %d\r\n" % len(CALL)


@pytest.mark.parametrize(
    ("pieces", "calls", "direct"),
    [
        ([CALL, CALL], [KNOWN, KNOWN], 2),
        ([CALL[:-1], CALL[-1:], CALL], [KNOWN, KNOWN], 1),
        ([request_bytes("GET", "/health/liveness"), CALL], [KNOWN], 1),
        ([CALL + CALL, CALL], [KNOWN] * 3, 0),
        ([CALL + b"POST /v1/ac", CALL], [KNOWN], 0),
        ([CALL + b"\r\n", CALL], [KNOWN, KNOWN], 0),
        ([b"\r\n", CALL, CALL], [KNOWN, KNOWN], 0),
        ([b"\r\n" + CALL, CALL[: CALL.index(b"host")] + CALL], [KNOWN], 0),
        ([b"\r\n" + CALL[:-3], b"[1]", CALL, CALL[: CALL.index(b"host")] + CALL], [KNOWN, KNOWN], 0),
        ([HEAD + b"x: ", CALL, CALL], [], 0),  # that has two hosts
        ([HEAD[: HEAD.index(b"host")] + b"x: ", CALL, CALL], [(b"outer", b"[1]", 0), KNOWN], 0),
        ([HEAD, CALL, CALL], [], 0),
        ([HEAD + LENGTH + b"\r\n", CALL, CALL], [KNOWN], 1),
        ([HEAD + LENGTH + b"\r\n" + CALL[:9], CALL[9:], CALL], [KNOWN], 1),
        ([HEAD + LENGTH + b"\r\n" + CALL[:9], CALL, CALL], [], 0),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(CALL), CALL, b"\r\n0\r\n\r\n", CALL], [KNOWN], 0),
        ([HEAD + b"expect: 100-continue\r\n" + LENGTH + b"\r\n", CALL, CALL], [KNOWN], 1),
        ([HEAD + b"upgrade: h2c\r\nconnection: upgrade\r\n\r\n", CALL, CALL], [(b"outer", b"", 0), KNOWN, KNOWN], 0),
        ([b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", CALL, CALL], [KNOWN, KNOWN], 0),
    ],
)
def test_what_looks_like_a_known_request_is_one_only_where_a_request_begins(
    pieces: list[bytes], calls: list[tuple[bytes, bytes, int]], direct: int
) -> None:
    async def play() -> None:
        async with staged() as stage:
            await stage.teach(CALL)

            assert await play_both_ways(stage, settled(*pieces)) == (calls, direct)

    uvloop.run(play())


def _some_request(draw: random.Random) -> list[bytes]:
    """The pieces of a request, or of what is none, as some client might send them."""
    name = draw.choice(["known", "a", "b%2Fc"])
    call, length = call_of(name, draw.choice([b"", b"[1]", b"{}", b"["])), draw.choice([len(CALL), len(CALL) - 1])
    head = HEAD + b"content-length: %d\r\n\r\n" % length
    cut = draw.randrange(len(call))
    return draw.choice(
        [
            *[[CALL]] * 10,
            *[[call]] * 5,
            [call_of(name, accept="application/vnd.holdfast+json")],
            [request_bytes("GET", "/health/liveness")],
            [call[:cut], call[cut:]],
            [call + CALL],
            [call + CALL[:cut], CALL[cut:]],
            [head, CALL],
            [head + CALL],
            [HEAD[: HEAD.index(b"host")] + b"x: ", CALL],
            [HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(CALL), CALL, b"\r\n0\r\n\r\n"],
            [call_of(name, expect="100-continue")],
            [call_of(name).replace(b"\r\n", b"\n", 1)],
            [b"\r\n"],
            [call_of(name, connection="close")] if draw.random() < 0.1 else [CALL],
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_in_any_pieces_are_answered_as_they_are_where_all_are_parsed(seed: int) -> None:
    draw = random.Random(seed)

    async def play() -> None:
        async with staged() as stage:
            await stage.teach(CALL)
            direct = 0
            for _ in range(25):
                pieces = [piece for _ in range(draw.randrange(1, 9)) for piece in _some_request(draw) if piece]
                pauses = [draw.choice([0, 0, 1, 2, 3, 5, SETTLED_LOOPS]) for _ in pieces]
                direct += (await play_both_ways(stage, list(zip(pieces, pauses, strict=True))))[1]

            assert direct > 10

    uvloop.run(play())
