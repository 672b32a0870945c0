"""Requests to a server of the tests' own: what is judged, sent, followed and given back."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import zlib
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, unquote

import pytest

from holdfast_host.core.errors import (
    BadRequestError,
    HoldfastError,
    LimitError,
    OutboundBusyError,
    OutboundDeniedError,
    OutboundTimeoutError,
    OutboundUnreachableError,
)
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.courier import connections
from holdfast_host.courier.addresses import AddressRefusedError, PrivateAccess, judge
from holdfast_host.wire.catalog import Outbound
from tests.unit.courier.servers import FUNCTION, LOCAL, Asking, RawServer, Seen, answer, asking, raw_server

Run = Callable[[], Coroutine[Any, Any, None]]
PUBLIC = "1.1.1.1"


def _nothing(*_: object) -> None:
    """Judges nothing."""


async def _refused(asks: Asking, url: str, function: str = FUNCTION, **facts: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as refused:
        await asks.ask(url, function, **facts)
    return refused.value


def test_a_request_is_sent_and_its_answer_comes_back() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b'{"ok":true}', 201, ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-Name: \xfc"]))

        async with raw_server(handle) as server, asking() as asks:
            reply = await asks.ask(
                f"{server.url}/a?b=c#d", method="post", body="text", headers=[["X-A", "1"], ["X-A", "2"]]
            )

            assert reply["status"] == 201
            assert reply["body"] == '{"ok":true}'
            assert [value for name, value in reply["headers"] if name == "Set-Cookie"] == ["a=1", "b=2"]
            (seen,) = server.seen
            assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=c", b"text")
            assert seen.header("X-A") == ["1", "2"]
            assert seen.header("Host") == [f"{LOCAL}:{server.port}"]
            assert seen.header("Accept-Encoding") == ["gzip"]
            assert seen.header("User-Agent") == ["holdfast"]
            assert seen.header("Content-Length") == ["4"]
            assert not seen.header("Cookie")

    asyncio.run(run())


def test_headers_of_the_connection_are_the_couriers_own() -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            await asks.ask(
                server.url,
                method="POST",
                body="abc",
                headers=[
                    ["Host", "evil.example"], ["Content-Length", "1"], ["Transfer-Encoding", "chunked"],
                    ["Connection", "X-Mine, close"], ["X-Mine", "1"], ["Upgrade", "websocket"], ["TE", "trailers"],
                    ["Proxy-Authorization", "x"], ["Accept-Encoding", "br"], ["Expect", "100-continue"],
                    ["X-Kept", "1"],
                ],
            )  # fmt: skip

            (seen,) = server.seen
            assert seen.header("Host") == [f"{LOCAL}:{server.port}"]
            assert seen.header("Content-Length") == ["3"]
            assert seen.header("X-Kept") == ["1"]
            for name in ("Transfer-Encoding", "X-Mine", "Upgrade", "TE", "Proxy-Authorization", "Expect", "Connection"):
                assert not seen.header(name), name

    asyncio.run(run())


@pytest.mark.parametrize(
    "facts",
    [
        {"method": "GET /x HTTP/1.1\r\nX: y"}, {"method": "CONNECT"}, {"method": "TRACE"}, {"method": ""},
        {"method": 1},
        {"headers": [["X", "a\r\nY: b"]]}, {"headers": [["X\r\nY", "a"]]}, {"headers": [["X", "\ud800"]]},
        {"headers": "no"}, {"body_base64": "not base64!"}, {"body": "\ud800"}, {"timeout_ms": -1}, {"timeout_ms": "1"},
        {"redirects": "no"},
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_nothing_is_sent(facts: dict[str, Any]) -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            assert isinstance(await _refused(asks, server.url, **facts), BadRequestError)
            assert not server.connections

    asyncio.run(run())


# Addresses, judged where a socket is made.


FULL_WIDTH = "\uff11\uff12\uff17.0.0.1"


def _local_spellings() -> list[str]:
    return ["127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "localhost", FULL_WIDTH,
            "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"]  # fmt: skip


@pytest.mark.parametrize("host", _local_spellings())
def test_no_spelling_of_a_literal_reaches_this_machine(host: str) -> None:
    async def run() -> None:
        async with raw_server() as server, asking(private=()) as asks:
            error = await _refused(asks, f"http://{host}:{server.port}/")

            assert isinstance(error, OutboundDeniedError)
            assert not server.connections

    asyncio.run(run())


def test_the_same_literals_reach_it_where_only_what_a_resolver_says_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mechanism: a resolver is not asked about literals."""

    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        addresses = [
            (int(kind), str(address[0]), protocol)
            for kind, _, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ]
        for _, address, _ in addresses:
            judge(address, port, PrivateAccess(), None)
        return addresses

    async def run() -> None:
        monkeypatch.setattr(connections, "judge", _nothing)
        async with raw_server() as server, asking(private=(), look_up=look_up) as asks:
            assert isinstance(await _refused(asks, f"http://localhost:{server.port}/"), OutboundUnreachableError)
            assert (await asks.ask(f"http://127.0.0.1:{server.port}/"))["body"] == "hello"
            assert server.connections == 1

    asyncio.run(run())


class _Changing:
    """A resolver whose answer changes: public the first time, then this machine."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        self.asked += 1
        return [(int(socket.AF_INET), PUBLIC if self.asked == 1 else LOCAL, 0)]


def test_a_name_that_changes_between_look_up_and_dial_reaches_no_private_address() -> None:
    async def run() -> None:
        resolver = _Changing()
        resolver("rebind.example", 80, 0)  # whoever judged by this look-up has seen a public address
        async with raw_server() as server, asking(private=(), look_up=resolver) as asks:
            error = await _refused(asks, f"http://rebind.example:{server.port}/")

            assert isinstance(error, OutboundDeniedError)
            assert "127.0.0.1 is no global unicast address" in error.message
            assert resolver.asked == 2
            assert not server.connections

    asyncio.run(run())


def test_the_same_name_reaches_it_where_an_earlier_look_up_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mechanism: a check of its own look-up, then a dial that looks up again."""

    async def run() -> None:
        monkeypatch.setattr(connections, "judge", _nothing)
        resolver = _Changing()
        for _, address, _ in resolver("rebind.example", 80, 0):
            judge(address, 80, PrivateAccess(), None)  # passes
        async with raw_server() as server, asking(private=(), look_up=resolver) as asks:
            assert (await asks.ask(f"http://rebind.example:{server.port}/"))["body"] == "hello"

    asyncio.run(run())


def test_of_a_name_with_good_and_bad_addresses_only_the_good_ones_are_dialled() -> None:
    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        return [(int(socket.AF_INET), "127.0.0.2", 0), (int(socket.AF_INET), LOCAL, 0)]

    async def run() -> None:
        async with raw_server() as server, asking(private=[(LOCAL, None)], look_up=look_up) as asks:
            assert (await asks.ask(f"http://mixed.example:{server.port}/"))["body"] == "hello"

    asyncio.run(run())


def test_an_exception_by_name_leads_to_private_addresses_of_that_name() -> None:
    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        return [(int(socket.AF_INET), LOCAL, 0)]

    async def run() -> None:
        async with raw_server() as server, asking(private=[("intranet.corp", server.port)], look_up=look_up) as asks:
            assert (await asks.ask(f"http://intranet.corp:{server.port}/"))["body"] == "hello"
            assert isinstance(await _refused(asks, f"http://other.corp:{server.port}/"), OutboundDeniedError)

    asyncio.run(run())


# Redirects.


def _redirects(server: Callable[[], str], status: int = 302) -> Callable[[Seen, asyncio.StreamWriter], Any]:
    """`/to?URL` redirects there, `/loop` to itself, all else says hello."""

    async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
        path, _, query = seen.path.partition("?")
        if path == "/to":
            body = b"" if seen.method == "HEAD" else b"moved"
            writer.write(answer(body, status, [f"Location: {unquote(query)}"]))
        elif path == "/loop":
            writer.write(answer(b"", status, ["Location: /loop"]))
        else:
            writer.write(answer(b"" if seen.method == "HEAD" else b"hello"))

    return handle


def test_each_redirect_is_judged_anew() -> None:
    async def run() -> None:
        async with raw_server(_redirects(str)) as server, asking(private=[(LOCAL, server.port)]) as asks:
            allowed = Outbound(
                (f"http://{LOCAL}:{server.port}", f"http://{LOCAL}:{server.port + 1}", "http://*.example")
            )
            asks.grants.set_functions({FUNCTION: allowed})

            assert (await asks.ask(f"{server.url}/to?/there"))["body"] == "hello"
            for where, what in [
                ("http://127.0.0.2/", r"not in [outbound] allow"),
                (f"http://{LOCAL}:{server.port + 1}/", "no global unicast address"),
                ("http://[::ffff:127.0.0.1]/", "not in [outbound] allow"),
                ("file:///etc/passwd", "no URL"),
                ("http://user@a.example/", "user name"),
                ("//a.example\\@b/", "no URL"),
            ]:
                error = await _refused(asks, f"{server.url}/to?{quote(where)}")
                assert isinstance(error, OutboundDeniedError), where
                assert what in error.message, where

    asyncio.run(run())


def test_five_redirects_are_followed_and_no_sixth() -> None:
    async def run() -> None:
        async with raw_server(_redirects(str)) as server, asking() as asks:
            error = await _refused(asks, f"{server.url}/loop")

            assert isinstance(error, OutboundDeniedError)
            assert "more than 5 redirects" in error.message
            assert len(server.seen) == 6

    asyncio.run(run())


def test_redirects_that_a_guest_wants_to_see_are_its_answer() -> None:
    async def run() -> None:
        async with raw_server(_redirects(str)) as server, asking() as asks:
            reply = await asks.ask(f"{server.url}/to?/there", redirects=False)

            assert reply["status"] == 302
            assert ["Location", "/there"] in reply["headers"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "method", "sent"),
    [(301, "POST", ("GET", b"")), (302, "POST", ("GET", b"")), (303, "PUT", ("GET", b"")),
     (307, "POST", ("POST", b"x")),
     (308, "PUT", ("PUT", b"x")), (302, "PUT", ("PUT", b"x")), (303, "HEAD", ("HEAD", b""))],
)  # fmt: skip
def test_a_redirect_keeps_or_drops_method_and_body_as_fetch_does(
    status: int, method: str, sent: tuple[str, bytes]
) -> None:
    async def run() -> None:
        async with raw_server(_redirects(str, status)) as server, asking() as asks:
            body = {} if method == "HEAD" else {"body": "x"}
            await asks.ask(f"{server.url}/to?/there", method=method, headers=[["Content-Type", "text/plain"]], **body)

            last = server.seen[-1]
            assert (last.method, last.body) == sent
            assert bool(last.header("Content-Type")) is (sent[0] == method)

    asyncio.run(run())


# Secrets as headers.


def _with_secret(server: RawServer, other: RawServer, **options: Any) -> dict[str, Any]:
    headers = {"Authorization": "Bearer {KEY}", "X-Key": "{KEY}"}
    outbound = Outbound(("http://*",), {server.url: headers, other.url: headers})
    return {"functions": {FUNCTION: outbound}, "secrets": {"KEY": "s3cret\n"}, **options}


def test_a_secret_is_filled_in_at_its_origin_and_stays_there() -> None:
    """To another origin no filled-in header goes along, not the new origin's either; nor back home by its redirect."""

    async def run() -> None:
        async with raw_server(_redirects(str)) as other, raw_server(_redirects(str)) as server:
            async with asking(**_with_secret(server, other)) as asks:
                await asks.ask(f"{server.url}/", headers=[["authorization", "mine"], ["Cookie", "a"], ["X-Own", "1"]])
                await asks.ask(f"{server.url}/to?/here", headers=[["Cookie", "a"]])
                away = f"{other.url}/to?{server.url}/back"
                await asks.ask(f"{server.url}/to?{away}", headers=[["Cookie", "a"], ["X-Own", "1"]])

            first, to_here, here, to_away, back = server.seen
            assert first.header("Authorization") == ["Bearer s3cret"]
            assert first.header("X-Key") == ["s3cret"]
            assert to_here.header("Cookie") == here.header("Cookie") == ["a"]
            assert here.header("Authorization") == to_away.header("Authorization") == ["Bearer s3cret"]
            (at_other,) = other.seen
            for seen in (at_other, back):
                assert seen.header("Authorization") == seen.header("X-Key") == seen.header("Cookie") == []
                assert seen.header("X-Own") == ["1"]

    asyncio.run(run())


def test_a_sealed_secret_goes_to_its_own_origin_alone_and_into_no_error() -> None:
    async def run() -> None:
        async with raw_server() as other, raw_server() as server:
            async with asking(**_with_secret(server, other, sealed={"KEY": server.url})) as asks:
                await asks.ask(server.url)
                error = await _refused(asks, other.url)
                asks.grants.set_secrets({"KEY": "s3cret\r\nX: y"}, {})
                broken = await _refused(asks, server.url)
                asks.grants.set_secrets({}, {})
                unset = await _refused(asks, server.url)

            assert f"the secret KEY is sealed for {server.url}, not for {other.url}" in error.message
            assert "holdfast secret set KEY" in unset.message
            assert isinstance(broken, OutboundDeniedError)
            assert not any("s3cret" in each.message for each in (error, broken, unset))
            assert not other.connections
            assert len(server.seen) == 1

    asyncio.run(run())


# Connections.


async def _poison(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """After `/poison` the same connection answers what comes next with what was left there for it."""
    if seen.path == "/poison":
        poisoned.add(seen.connection)
        writer.write(answer(b"ok"))
    else:
        writer.write(answer(b"poison" if seen.connection in poisoned else b"hello"))


poisoned: set[int] = set()


def _two_functions() -> dict[str, Outbound]:
    return {name: Outbound(("http://*",)) for name in ("attacker", "victim")}


def test_a_poisoned_connection_is_its_functions_own() -> None:
    async def run() -> None:
        poisoned.clear()
        async with raw_server(_poison) as server, asking(_two_functions()) as asks:
            await asks.ask(f"{server.url}/poison", "attacker")

            assert (await asks.ask(server.url, "victim"))["body"] == "hello"
            assert (await asks.ask(server.url, "attacker"))["body"] == "poison"
            assert server.connections == 2

    asyncio.run(run())


def test_with_one_pool_for_all_another_function_reads_what_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mechanism."""

    async def run() -> None:
        poisoned.clear()
        async with raw_server(_poison) as server, asking(_two_functions()) as asks:
            own = asks.connections.of
            monkeypatch.setattr(asks.connections, "of", lambda _: own("everybody"))
            await asks.ask(f"{server.url}/poison", "attacker")

            assert (await asks.ask(server.url, "victim"))["body"] == "poison"

    asyncio.run(run())


@pytest.mark.parametrize(("idle_max", "kept"), [(3, 3), (1_000, 10)])
def test_a_function_that_asks_ever_new_servers_keeps_few_connections(
    monkeypatch: pytest.MonkeyPatch, idle_max: int, kept: int
) -> None:
    """And all of them without the mechanism: descriptors are what all functions share."""

    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        return [(int(socket.AF_INET), LOCAL, 0)]

    async def run() -> None:
        monkeypatch.setattr(connections, "IDLE_SOCKETS_MAX", idle_max)
        async with raw_server() as server, asking(look_up=look_up) as asks:
            for number in range(10):
                await asks.ask(f"http://h{number}.example:{server.port}/")

            assert server.connections == 10
            assert kept <= asks.connections.open_sockets <= kept + 2

    asyncio.run(run())


# Bodies.


def test_gzip_is_inflated_and_nothing_else_is() -> None:
    async def run() -> None:
        members = gzip.compress(b"a" * 300_000) + gzip.compress(b"b")

        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            body, coding = {"/gzip": (members, "gzip"), "/br": (b"\x00br", "br"), "/not": (b"plain", "gzip"),
                            "/cut": (members[:-9], "gzip")}[seen.path]  # fmt: skip
            writer.write(answer(body, 200, [f"Content-Encoding: {coding}"]))

        async with raw_server(handle) as server, asking() as asks:
            inflated = await asks.ask(f"{server.url}/gzip")
            other = await asks.ask(f"{server.url}/br")

            assert base64.b64decode(inflated["body_base64"]) == b"a" * 300_000 + b"b"
            assert not any(name.lower() in {"content-encoding", "content-length"} for name, _ in inflated["headers"])
            assert ["Content-Encoding", "br"] in other["headers"]
            assert isinstance(await _refused(asks, f"{server.url}/not"), OutboundUnreachableError)
            assert isinstance(await _refused(asks, f"{server.url}/cut"), OutboundUnreachableError)

    asyncio.run(run())


@pytest.mark.limit("fetch_body_bytes_max")
def test_a_deflate_bomb_ends_at_the_limit_of_a_body() -> None:
    async def run() -> None:
        squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = squeezed.compress(b"\0" * (200 * MIB)) + squeezed.flush()
        bodies = {"/bomb": (bomb, "gzip"), "/full": (b"x" * MIB, "identity"), "/more": (b"x" * (MIB + 1), "identity")}

        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            body, coding = bodies[seen.path]
            writer.write(answer(body, 200, [f"Content-Encoding: {coding}"]))

        async with raw_server(handle) as server, asking(limits=Limits(fetch_body_bytes_max=MIB)) as asks:
            for path in ("/bomb", "/more"):
                error = await _refused(asks, f"{server.url}{path}")
                assert isinstance(error, LimitError)
                assert f"{MIB} bytes" in error.message
            assert len((await asks.ask(f"{server.url}/full"))["body_base64"]) > MIB
            too_long = await _refused(
                asks, server.url, method="POST", body_base64=base64.b64encode(b"x" * (MIB + 1)).decode()
            )

            assert isinstance(too_long, LimitError)
            assert asks.in_flight.held_bytes == 0

    asyncio.run(run())


def test_headers_of_an_answer_have_a_limit() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"", 200, [f"X-{number}: {'x' * 1000}" for number in range(int(seen.path[1:]))]))

        async with raw_server(handle) as server, asking(limits=Limits(fetch_headers_bytes_max=8192)) as asks:
            assert (await asks.ask(f"{server.url}/7"))["status"] == 200
            assert isinstance(await _refused(asks, f"{server.url}/9"), LimitError)

    asyncio.run(run())


# Time, death, room.


@pytest.mark.limit("outbound_timeout_s")
def test_an_answer_that_is_not_whole_in_time_is_a_timeout() -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            if seen.path == "/drips":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")

        cases: list[tuple[str, dict[str, Any]]] = [
            ("/never", {}), ("/drips", {}), ("/never", {"timeout_ms": 50}), ("/", {"timeout_ms": 9e9}),
        ]  # fmt: skip
        async with raw_server(handle) as server, asking(limits=Limits(outbound_timeout_s=0.2)) as asks:
            for path, facts in cases:
                error = await _refused(asks, f"{server.url}{path}", **facts)
                assert isinstance(error, OutboundTimeoutError)
                assert f"within {0.05 if facts.get('timeout_ms') == 50 else 0.2:g} s" in error.message

    asyncio.run(run())


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"nonsense\r\n\r\n",
    b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"])  # fmt: skip
def test_an_answer_that_breaks_off_or_is_none_is_unreachable(text: bytes) -> None:
    async def run() -> None:
        async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(text)
            await writer.drain()
            writer.close()

        async with raw_server(handle) as server, asking() as asks:
            error = await _refused(asks, f"{server.url}/a?token=secret")

            assert isinstance(error, OutboundUnreachableError)
            assert f"GET {server.url}/a" in error.message or "999" in error.message
            assert "secret" not in error.message

    asyncio.run(run())


def test_a_timeout_past_every_number_is_the_limit() -> None:
    async def run() -> None:
        async with raw_server() as server, asking() as asks:
            assert (await asks.ask(server.url, timeout_ms=10**400))["status"] == 200

    asyncio.run(run())


def test_where_nobody_listens_it_is_unreachable() -> None:
    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def run() -> None:
        async with raw_server() as server, asking(look_up=look_up) as asks:
            closed = server.port
        async with asking(look_up=look_up) as asks:
            assert isinstance(await _refused(asks, f"http://{LOCAL}:{closed}/"), OutboundUnreachableError)
            assert isinstance(await _refused(asks, "http://no.such.example/"), OutboundUnreachableError)

    asyncio.run(run())


@pytest.mark.limit(
    "outbound_function_requests_max",
    "outbound_requests_max",
    "outbound_origin_requests_max",
    "outbound_held_bytes_max",
)
@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"outbound_function_requests_max": 2}, "asker has 2 requests under way"),
        ({"outbound_requests_max": 2}, "2 requests are under way"),
        ({"outbound_origin_requests_max": 2}, "2 requests to 127.0.0.1:"),
        ({"outbound_held_bytes_max": 8}, "more exceed the limit of 8 bytes"),
    ],
)
def test_past_what_may_be_under_way_a_request_is_refused_before_it_is_sent(limits: dict[str, int], what: str) -> None:
    async def run() -> None:
        both = asyncio.Event()

        async def never(_: Seen, __: asyncio.StreamWriter) -> None:
            if len(server.seen) == 2:
                both.set()

        async with raw_server(never) as server, asking(limits=Limits(**limits)) as asks:
            waiting = [asyncio.create_task(asks.ask(server.url, method="POST", body="four")) for _ in range(2)]
            await both.wait()
            error = await _refused(asks, server.url, method="POST", body="four")
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

            assert isinstance(error, OutboundBusyError)
            assert error.retryable
            assert what in error.message
            assert len(server.seen) == 2
            assert (asks.in_flight.requests, asks.in_flight.held_bytes) == (0, 0)

    asyncio.run(run())


def test_a_refused_address_is_no_error_of_the_library() -> None:
    """It is an OSError, so that the library tries the name's next address."""
    assert issubclass(AddressRefusedError, OSError)
