"""HTTP streams as no client would send them, to a front that serves known heads unparsed, and to one that parses all.

Both must answer with the same bytes and make the same calls of a worker, whatever comes, in whatever pieces. Each is
made from a number of its own: the one that a row names is played again by `python -m tests.hostile.streams NUMBER`.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.front.http.connection import CLOSE_LINE, CONTINUE
from holdfast_host.front.http.server import HttpServer
from holdfast_host.front.known.connection import KnowingConnection
from holdfast_host.front.known.direct import DirectCalls
from tests.hostile.stage import Row
from tests.unit.front.both_ways import END, SETTLED_LOOPS, play_pieces
from tests.unit.front.stage import Stage, request_bytes, staged

_TOKEN: Final = "correct horse"
_TYPED: Final = "application/vnd.holdfast+json"
_LIMITS: Final = Limits(arguments_bytes_max=1000)
Pieces = list[tuple[bytes, int]]

_NAMES: Final = ("a", "a", "known", "b%2Fc", "..", "x" * 256, "x" * 257, "", "%zz", "a?x=1", "a#b", "名")
_BODIES: Final = (b"", b"[1]", b"[1]", b'{"a":1}', b"[", b"5", b'["\xff"]', b"[" * 101 + b"]" * 101, b'"' + b"x" * 1200)
_FURTHER: Final[tuple[dict[str, str], ...]] = (
    {}, {}, {}, {}, {}, {}, {"accept": _TYPED}, {"content_type": _TYPED}, {"connection": "keep-alive"},
    {"connection": "close"}, {"expect": "100-continue"}, {"content_encoding": "gzip"}, {"upgrade": "h2c"},
    {"upgrade": "websocket", "connection": "upgrade"}, {"host": "evil.example"}, {"host": "account.localhost"},
    {"origin": "http://evil.example"}, {"sec_fetch_site": "cross-site"}, {"authorization": "Bearer wrong"},
    {"x_folded": "1\r\n 2"}, {"x_long": "x" * 3000}, {"content_length": "3"}, {"content_length": "+3"},
    {"content_length": "3, 3"}, {"transfer_encoding": "chunked"}, {"transfer_encoding": "identity"}, {"te": "trailers"},
    {"x_empty": ""}, {"x_line": "a\rb"},
)  # fmt: skip
_TARGETS: Final = ("/v1/actors/Account/%s/deposit", "/v1/actors/Ledger/%s/add", "/v1/actors/Account/%s/deposit/more")


def run(seconds: float, seed: int) -> Row:
    """A row for as many streams as fit into that time; the first that differs ends it."""
    began = time.monotonic()
    played = direct = 0
    fault = ""

    async def play() -> None:
        nonlocal played, direct, fault
        async with staged(token=_TOKEN, limits=_LIMITS) as stage:
            while not fault and time.monotonic() - began < seconds:
                fault, unparsed = await _play(stage, seed + played)
                played, direct = played + 1, direct + unparsed

    uvloop.run(play())
    if not fault and direct < played // 2:
        fault = f"only {direct} calls of {played} streams went past the parser"
    seen = fault or f"alike in {played} streams, {direct} calls unparsed"
    return Row(
        "HTTP streams, known heads on and off", f"alike (seed {seed})", seen, not fault, None, time.monotonic() - began
    )


async def _play(stage: Stage, number: int) -> tuple[str, int]:
    """What differs in that stream, if anything does, and how many of its calls were not parsed."""
    direct = DirectCalls(stage.front._calls)
    handle = stage.server._handle
    knowing = HttpServer(handle, new_connection=partial(KnowingConnection, direct, stage.front._known_functions))
    parsing = HttpServer(handle)
    for pieces in _connections(random.Random(number)):
        answers, calls = await play_pieces(stage, knowing, pieces)
        usual_answers, usual_calls = await play_pieces(stage, parsing, pieces)
        ends = pieces[-1][0] == END
        if (_timeless(answers, ends=ends), calls) != (_timeless(usual_answers, ends=ends), usual_calls):
            what = "answers" if calls == usual_calls else "calls"
            return f"other {what}: python -m tests.hostile.streams {number}", direct.count
    return "", direct.count


def _connections(draw: random.Random) -> list[Pieces]:
    """Two, one after the other: what the front learned from the first it knows in the second."""
    known, odd = [_request(draw) for _ in range(3)], _odd(draw)
    return [[(odd, SETTLED_LOOPS)], [*((each, SETTLED_LOOPS) for each in known), *_pieces(draw, known, odd)]]


def _timeless(answers: bytes, *, ends: bool) -> bytes:
    """Without what a moment decides: whether a body is there already, whether a client has ended before its answer."""
    answers = answers.replace(CONTINUE, b"")
    return answers.replace(CLOSE_LINE, b"") if ends else answers


def _request(draw: random.Random) -> bytes:
    """One that is good, and so known from then on."""
    name, body = draw.choice(["a", "known", "b.c"]), draw.choice([b"[1]", b'{"a":1}', b""])
    further = draw.choice([{}, {"accept": _TYPED}, {"content_type": _TYPED}, {"connection": "keep-alive"}])
    return _post(_TARGETS[0] % name, body, **further)


def _post(target: str, body: bytes, **headers: str) -> bytes:
    return request_bytes("POST", target, body, **{"authorization": f"Bearer {_TOKEN}", **headers})


def _pieces(draw: random.Random, known: list[bytes], odd: bytes) -> Pieces:
    """A stream, cut anywhere.

    Half of them come without pauses, and consist of good requests: what the library does where it answers before all of
    a request is there is a matter of moments, and so not compared. The others have anything in them, and pauses.
    """
    hurried = draw.random() < 0.5
    if not hurried:
        known = [*known, odd]
    found: Pieces = []
    for _ in range(draw.randrange(1, 12)):
        parts = [_good(draw, known) if hurried else _part(draw, known) for _ in range(draw.choice([1] * 6 + [2, 3]))]
        for piece in _cut(draw, b"".join(parts)):
            found.append((piece, draw.choice([0, 0, 1, 2, 3, 5]) if hurried else SETTLED_LOOPS))
    if draw.random() < 0.3:
        found.append((END, 0))
    return found


def _good(draw: random.Random, known: list[bytes]) -> bytes:
    """A request that is in order."""
    if draw.random() < 0.75:
        return draw.choice(known)
    return draw.choice([_request(draw), request_bytes("GET", "/health/liveness"), _post(_TARGETS[1] % "a", b"[1]")])


def _part(draw: random.Random, known: list[bytes]) -> bytes:
    """A request, or what is almost one, or what hides one."""
    kind = draw.random()
    if kind < 0.65:
        return draw.choice(known)
    if kind < 0.80:
        return _odd(draw)
    if kind < 0.88:
        return _spoiled(draw, draw.choice(known))
    if kind < 0.95:
        return _hiding(draw, draw.choice(known))
    return draw.choice([
        b"\r\n", b"\n", b"\0", request_bytes("GET", "/health/liveness"), request_bytes("HEAD", "/health/liveness"),
        request_bytes("OPTIONS", "*"), b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", draw.randbytes(draw.randrange(1, 40)),
    ])  # fmt: skip


def _odd(draw: random.Random) -> bytes:
    """A whole request with something that is seldom seen."""
    target, body = draw.choice(_TARGETS) % draw.choice(_NAMES), draw.choice(_BODIES)
    headers = {**draw.choice(_FURTHER), **draw.choice(_FURTHER)}
    if headers.get("transfer_encoding") == "chunked":
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    raw = _post(target, body, **headers)
    version = draw.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2", b"http/1.1"])
    return raw.replace(b"HTTP/1.1", version, 1)


def _spoiled(draw: random.Random, raw: bytes) -> bytes:
    """A good one with a few bytes changed, lost, doubled or put in."""
    data = bytearray(raw)
    for _ in range(draw.choice([1, 1, 2, 3])):
        at = draw.randrange(len(data))
        change = draw.randrange(5)
        if change == 0:
            data[at] = draw.randrange(256)
        elif change == 1:
            del data[at]
        elif change == 2:
            data[at:at] = draw.choice(
                [b" ", b"\r", b"\n", b"\r\n", b"\t", b":", b"\0", b"host: b\r\n", b"content-length: 1\r\n"]
            )
        elif change == 3:
            data[at:at] = data[at : at + draw.randrange(1, 30)]
        else:
            del data[at : at + draw.randrange(1, 30)]
        if not data:
            break
    return bytes(data)


def _hiding(draw: random.Random, raw: bytes) -> bytes:
    """One whose body, header or rest is another one."""
    length = len(raw) + draw.choice([0, 0, -1, 1])
    outer = _post(_TARGETS[0] % "outer", b"").removesuffix(b"\r\n")
    return draw.choice([
        outer + b"content-length: %d\r\n\r\n%b" % (length, raw),
        outer + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (length, raw),
        outer + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n%b" % (length, raw),
        outer + b"x: " + raw,
        raw[: raw.index(b"\r\n") + 2] + raw,
        raw[: raw.index(b"\r\n\r\n") + 2] + raw,
    ])  # fmt: skip


def _cut(draw: random.Random, data: bytes) -> Iterator[bytes]:
    """In pieces, mostly at once or in two, now and then byte by byte around the end of the head."""
    if not data:
        return
    how = draw.random()
    if how < 0.75:
        yield data
        return
    places = {draw.randrange(1, len(data) + 1) for _ in range(draw.choice([1, 1, 2, 5]))}
    if how > 0.9:
        end = data.find(b"\r\n\r\n")
        places |= {each for each in range(end - 1, end + 7) if 0 < each < len(data)}
    before = 0
    for place in sorted(places | {len(data)}):
        if place > before:
            yield data[before:place]
        before = place


def main() -> int:
    """Play one stream, and show it where it differs; `python -m tests.hostile.streams NUMBER`."""
    number = int(sys.argv[1])

    async def play() -> str:
        async with staged(token=_TOKEN, limits=_LIMITS) as stage:
            return (await _play(stage, number))[0]

    fault = uvloop.run(play())
    for connection, pieces in enumerate(_connections(random.Random(number))):
        for piece, loops in pieces:
            print(connection, loops, piece)
    print(fault or "alike")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
