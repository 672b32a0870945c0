"""Attacks by sockets and jobs: of guests that flood, lie and end badly, and of clients that keep to no protocol."""

from __future__ import annotations

import base64
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.harness.caller import Answer, Caller
from tests.hostile.cases import LATE, OK, RAISED, TRAP, Case

PATIENCE_S: Final = 20.0
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
_KEY: Final = base64.b64encode(bytes(16)).decode()
_HEAD: Final = (
    f"GET /v1/actors/HostileRoom/frames/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def connecting_cases() -> list[Case]:
    """Each hurts its own instance, or its own connection, and no other."""
    return [*_flood_cases(), *_lying_cases(), *_handler_cases(), *_handshake_cases(), *_frame_cases(), *_client_cases()]


def _flood_cases() -> list[Case]:
    said = {
        "sends": "LimitError.*10000", "bytes": "LimitError.*16777216", "a message": "LimitError.*1048577 bytes",
        "jobs": "LimitError.*1000", "a job": "LimitError.*bytes", "topics": "LimitError", "events": "LimitError",
        "attachments": "LimitError.*16384", "auto responses": "LimitError.*2048", "gather": "65.*64|64.*65",
    }  # fmt: skip
    return [
        *(
            Case(f"a flood of {what}", RAISED + LATE, _flooding(what), f"{pattern}|over its budget")
            for what, pattern in said.items()
        ),
        Case(
            "a flood that catches its refusals", LATE + TRAP, _calling("flood_for_ever"), "over its budget|host calls"
        ),
        Case("10,800 jobs", RAISED, _leaving("noop", 900, 3600, again=12), "LimitError.*10000", quick=False),
        *(
            Case(f"10 jobs that {what}", (OK,), _leaving(method, 10, 0, until="retrying"), "^10$")
            for what, method in {"trap": "_trap", "take all memory": "_lose_memory"}.items()
        ),
        Case("3 jobs that loop", (OK,), _leaving("_loop", 3, 0, until="retrying"), "^3$", quick=False),
    ]


def _lying_cases() -> list[Case]:
    return [
        Case("lies to sockets, jobs and requests", (OK,), _calling("lies", "f" * 16), r"^\[\]$"),
        Case("a socket of another instance", (OK,), _reach, "^still here$"),
    ]


def _handler_cases() -> list[Case]:
    accepting = {"twice": RAISED, "unsaid": ("BadRequestError",), "trap": TRAP, "raise": RAISED, "long": RAISED}
    attacks = ("raise", "loop", "trap", "hoard", "send for ever", "send much", "attach itself")
    return [
        *(Case(f"accepts and: {kind}", named, _accepting(kind)) for kind, named in accepting.items()),
        Case("accepts and: rubbish", RAISED, _accepting("rubbish"), "names no instance"),
        Case("accepts and: anothers", RAISED, _accepting("anothers"), "Account/good-0.*did not do", quick=False),
        *(Case(f"a message: {attack}", (OK,), _saying(attack), "^still here$") for attack in attacks),
        *(Case(f"a close: {attack}", (OK,), _closing(attack), "^null$") for attack in ("raise", "trap", "loop")),
    ]


def _handshake_cases() -> list[Case]:
    bad = {
        "no key": _HEAD.replace(f"Sec-WebSocket-Key: {_KEY}\r\n", ""),
        "two keys": _HEAD.replace("Upgrade: websocket\r\n", f"Upgrade: websocket\r\nSec-WebSocket-Key: {_KEY}\r\n"),
        "a short key": _HEAD.replace(_KEY, "eA=="),
        "a key that is no base64": _HEAD.replace(_KEY, "\xe9" * 24),
        "version 12": _HEAD.replace("Version: 13", "Version: 12"),
        "HTTP/1.0": _HEAD.replace("HTTP/1.1", "HTTP/1.0"),
        "POST": _HEAD.replace("GET", "POST"),
        "a protocol that is none": _HEAD.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a b\r\n\r\n"),
        "a name of 300 bytes": _HEAD.replace("frames", "x" * 300),
    }
    named = ("BadRequestError", "InvalidNameError")
    return [Case(f"a handshake with {what}", named, _shaking(head)) for what, head in bad.items()]


def _frame_cases() -> list[Case]:
    bad = {
        "not masked": (frame(TEXT, b"x", mask=False), 1002),
        "with a reserved bit": (frame(TEXT, b"x", reserved=4), 1002),
        "of an unknown kind": (frame(3, b"x"), 1002),
        "of an unknown control": (frame(11, b"x"), 1002),
        "ping of 126 bytes": (frame(PING, bytes(126)), 1002),
        "ping in pieces": (frame(PING, b"x", final=False), 1002),
        "of a message that never began": (frame(0, b"x"), 1002),
        "of a message inside another": (frame(TEXT, b"x", final=False) + frame(TEXT, b"x"), 1002),
        "of 2**63 bytes": (b"\x82\xff" + struct.pack(">Q", 1 << 63) + bytes(4), 1002),
        "of a terabyte": (b"\x82\xff" + struct.pack(">Q", 1 << 40) + bytes(4), 1009),
        "with a length that is too long": (b"\x81\xfe" + struct.pack(">H", 1) + bytes(4) + b"x", 1002),
        "that is no UTF-8": (frame(TEXT, b"\xff"), 1007),
        "whose surrogate comes in two": (frame(TEXT, b"\xed", final=False) + frame(0, b"\xa0\x80"), 1007),
        "close of one byte": (frame(CLOSE, b"x"), 1002),
        "close with 1005": (frame(CLOSE, struct.pack(">H", 1005)), 1002),
        "close with 65535": (frame(CLOSE, b"\xff\xff"), 1002),
        "close that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        "one byte past the limit": (frame(BINARY, bytes(1 << 20), final=False) + frame(0, b"x"), 1009),
    }
    return [Case(f"a frame {what}", (OK,), _framing(data), f"^{code}$") for what, (data, code) in bad.items()]


def _client_cases() -> list[Case]:
    pings = frame(PING, b"x" * 125) * 50_000 + frame(TEXT, b"still here")
    nothing = frame(TEXT, b"", final=False) + frame(0, b"", final=False) * 100_000 + frame(0, b"still here")
    return [
        Case("100,000 pieces of nothing", (OK,), _framing(nothing), "^(still here|1009)$"),
        Case("50,000 pings", (OK,), _framing(pings), "^still here$"),
        Case("20,000 messages, none is read", (OK,), _flooding_unread, "^null$"),
        Case("200 halves of a handshake", (OK,), _half_shaking, "^null$"),
        Case("200 sockets that go without a word", (OK,), _leaving_unsaid, "^0$"),
        Case("16 sockets whose messages loop", (OK,), _crowding("loop", 16), "^still here$"),
        Case("16 sockets that are sent too much", (OK,), _crowding("send for ever", 16), "^still here$", quick=False),
    ]


def frame(kind: int, data: bytes, *, final: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    """A WebSocket's frame, whose mask, if any, changes nothing."""
    size = len(data)
    short = size if size < 126 else 126 if size < 1 << 16 else 127
    head = bytes([final << 7 | reserved << 4 | kind, mask << 7 | short])
    long = b"" if short < 126 else struct.pack(">H" if short == 126 else ">Q", size)
    return head + long + (bytes(4) if mask else b"") + data


# What is done


def _calling(method: str, *arguments: str) -> Callable[[Caller], Answer]:
    def attempt(caller: Caller) -> Answer:
        with _erased(caller, method):
            return caller.call("HostileRoom", method, method, *arguments)

    return attempt


def _flooding(what: str) -> Callable[[Caller], Answer]:
    """With a socket open that would be sent all of it."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, f"flood-{what}") as name, _open(caller, name):
            return caller.call("HostileRoom", name, "flood", what)

    return attempt


def _leaving(method: str, count: int, due_s: int, *, again: int = 1, until: str = "") -> Callable[[Caller], Answer]:
    """Leave jobs; where it says, the answer is how many are in that state once all are."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, f"jobs-{method}") as name:
            for _ in range(again):
                answer = caller.call("HostileRoom", name, "leave", method, count, due_s)
            path, ends_at, found = f"/v1/instances/HostileRoom/{name}/jobs", time.monotonic() + PATIENCE_S, 0
            while until and found < count and time.monotonic() < ends_at:
                found = sum(job["state"] == until for job in caller.request("GET", path).value["jobs"])
                time.sleep(0.05)
            return Answer(200, str(found), {}) if until else answer

    return attempt


def _reach(caller: Caller) -> Answer:
    with _erased(caller, "victim"), _erased(caller, "reach"), _open(caller, "victim") as victim:
        [row] = caller.request("GET", "/v1/instances/HostileRoom/victim/sockets").value["sockets"]
        reached = caller.call("HostileRoom", "reach", "reach", row["id"])
        assert reached.text == "0", reached
        return _echo(victim)


def _accepting(kind: str) -> Callable[[Caller], Answer]:
    """What a client is answered whose socket comes to nothing."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, f"accepts-{kind}") as name:
            try:
                with _open(caller, name, kind):
                    return Answer(101, "accepted", {})
            except InvalidStatus as refused:
                response = refused.response
                return Answer(response.status_code, bytes(response.body or b"").decode(), {})

    return attempt


def _saying(attack: str) -> Callable[[Caller], Answer]:
    """Say what it takes badly, and see whether the same socket is answered afterwards."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, f"message-{attack}") as name, _open(caller, name) as client:
            client.send(attack)
            return _echo(client)

    return attempt


def _closing(attack: str) -> Callable[[Caller], Answer]:
    """Close a socket whose close it takes badly; the same instance is called afterwards."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, f"close-{attack}") as name:
            with _open(caller, name, quote(f"close/{attack}")):
                pass
            ends_at = time.monotonic() + PATIENCE_S
            while (answer := caller.call("HostileRoom", name, "noop")).status == 503 and time.monotonic() < ends_at:
                time.sleep(0.05)
            return answer

    return attempt


def _shaking(head: str) -> Callable[[Caller], Answer]:
    def attempt(caller: Caller) -> Answer:
        with _link(caller) as link:
            link.sendall(head.encode("latin-1"))
            answer, _, body = _read_all(link).partition(b"\r\n\r\n")
            return Answer(int(answer.split()[1]), body.decode(), {})

    return attempt


def _framing(data: bytes) -> Callable[[Caller], Answer]:
    """The last word that the host says to it: the code that it closes with, or a text."""

    def attempt(caller: Caller) -> Answer:
        with _erased(caller, "frames"), _link(caller) as link:
            link.sendall(_HEAD.encode())
            with ThreadPoolExecutor(1) as sender:
                sender.submit(_send_all, link, data)
                return Answer(200, _last_word(link), {})

    return attempt


def _flooding_unread(caller: Caller) -> Answer:
    with _erased(caller, "unread") as name:
        with _link(caller) as link:
            link.sendall(_HEAD.replace("frames", name).encode())
            link.settimeout(3.0)
            with suppress(OSError):
                link.sendall(frame(TEXT, b"x" * 1000) * 20_000)
        return caller.call("HostileRoom", name, "noop")


def _half_shaking(caller: Caller) -> Answer:
    with _erased(caller, "halves") as name:
        links = [_connection(caller) for _ in range(200)]
        for number, link in enumerate(links):
            link.sendall(_HEAD.encode()[: number + 1])
        answer = caller.call("HostileRoom", name, "noop")
        for link in links:
            link.close()
        return answer


def _leaving_unsaid(caller: Caller) -> Answer:
    with _erased(caller, "unsaid") as name:
        links = [_connection(caller) for _ in range(200)]
        for link in links:
            link.sendall(_HEAD.replace("frames", name).encode())
        for link in links[::2]:
            link.recv(1)
        for link in links:
            link.close()
        ends_at = time.monotonic() + PATIENCE_S
        while (answer := caller.call("HostileRoom", name, "count")).text != "0" and time.monotonic() < ends_at:
            time.sleep(0.05)
        return answer


def _crowding(attack: str, count: int) -> Callable[[Caller], Answer]:
    """Say it to many instances at once; the answer that was least expected."""

    def attempt(caller: Caller) -> Answer:
        def one(number: int) -> Answer:
            with (
                caller.another() as mine,
                _erased(mine, f"crowd-{attack}-{number}") as name,
                _open(mine, name) as client,
            ):
                client.send(attack)
                return _echo(client)

        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(one, range(count)))
        return next((answer for answer in answers if answer.text != "still here"), answers[0])

    return attempt


@contextmanager
def _erased(caller: Caller, name: str) -> Iterator[str]:
    """A name for a path; what its instance is left with goes at the end, its jobs and sockets among it."""
    named = name.replace(" ", "-")
    try:
        yield named
    finally:
        ends_at = time.monotonic() + PATIENCE_S
        while caller.request("DELETE", f"/v1/instances/HostileRoom/{named}").status != 200:
            assert time.monotonic() < ends_at, f"{named} cannot be erased"
            time.sleep(0.05)


@contextmanager
def _open(caller: Caller, name: str, path: str = "") -> Iterator[ClientConnection]:
    bare = caller.open()
    address = f"ws://{bare.host}:{bare.port}/v1/actors/HostileRoom/{name}/{path}"
    with connect(address, open_timeout=PATIENCE_S, close_timeout=PATIENCE_S, max_size=None, compression=None) as client:
        yield client


def _echo(client: ClientConnection) -> Answer:
    """Whether it still answers, whatever else it says first."""
    try:
        client.send("still here")
        while (said := client.recv(PATIENCE_S)) != "still here":
            pass
    except ConnectionClosed as closed:
        return Answer(200, f"closed: {closed}", {})
    return Answer(200, said, {})


def _connection(caller: Caller) -> socket.socket:
    bare = caller.open()
    return socket.create_connection((bare.host, bare.port), timeout=PATIENCE_S)


@contextmanager
def _link(caller: Caller) -> Iterator[socket.socket]:
    with _connection(caller) as link:
        yield link


def _send_all(link: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it is cut before it has said all
        link.sendall(data)


def _read_all(link: socket.socket) -> bytes:
    """A whole answer: its connection may stay open behind it."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith((b"}", b"\n")):
        piece = link.recv(1 << 16)
        if not piece:
            break
        data += piece
    return data


def _last_word(link: socket.socket) -> str:
    """Read frames until one closes, or is a text."""
    stream = link.makefile("rb")
    while stream.readline() not in {b"\r\n", b""}:
        pass
    while len(head := stream.read(2)) == 2:
        size = head[1]
        if size >= 126:
            size = int.from_bytes(stream.read(2 if size == 126 else 8))
        data = stream.read(size)
        if head[0] & 15 == CLOSE:
            return str(struct.unpack(">H", data[:2])[0])
        if head[0] & 15 == TEXT:
            return data.decode()
    return "no word"
