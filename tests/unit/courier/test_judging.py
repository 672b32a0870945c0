"""Where a request may go, and with what: addresses, redirects, secrets, and whose connections are whose."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest

from holdfast_host.core.errors import (
    OutboundDeniedError,
    OutboundUnreachableError,
)
from holdfast_host.core.outbound import Target
from holdfast_host.courier import connections
from holdfast_host.courier.addresses import AddressRefusedError, PrivateAccess, judge
from holdfast_host.courier.grants import Grants
from holdfast_host.wire.control.catalog import Outbound
from tests.unit.courier.servers import FUNCTION, LOCAL, RawServer, Seen, answer, asking, raw_server, refused

PUBLIC = "1.1.1.1"


def _nothing(*_: object) -> None:
    """Judges nothing."""


# Addresses, judged where a socket is made.


FULL_WIDTH = "\uff11\uff12\uff17.0.0.1"


def _local_spellings() -> list[str]:
    return ["127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "localhost", FULL_WIDTH,
            "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"]  # fmt: skip


@pytest.mark.parametrize("host", _local_spellings())
def test_no_spelling_of_a_literal_reaches_this_machine(host: str) -> None:
    async def run() -> None:
        async with raw_server() as server, asking(private=()) as asks:
            error = await refused(asks, f"http://{host}:{server.port}/")

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
            assert isinstance(await refused(asks, f"http://localhost:{server.port}/"), OutboundUnreachableError)
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
            error = await refused(asks, f"http://rebind.example:{server.port}/")

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
            assert isinstance(await refused(asks, f"http://other.corp:{server.port}/"), OutboundDeniedError)

    asyncio.run(run())


def test_a_refused_address_is_no_error_of_the_library() -> None:
    """It is an OSError, so that the library tries the name's next address."""
    assert issubclass(AddressRefusedError, OSError)


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
                error = await refused(asks, f"{server.url}/to?{quote(where)}")
                assert isinstance(error, OutboundDeniedError), where
                assert what in error.message, where

    asyncio.run(run())


def test_five_redirects_are_followed_and_no_sixth() -> None:
    async def run() -> None:
        async with raw_server(_redirects(str)) as server, asking() as asks:
            error = await refused(asks, f"{server.url}/loop")

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


def test_a_secret_that_a_guest_puts_into_a_header_itself_goes_along_to_where_it_is_redirected() -> None:
    """Without the mechanism: nobody but the guest knows that it is one."""

    async def run() -> None:
        async with raw_server() as other, raw_server(_redirects(str)) as server:
            async with asking({FUNCTION: Outbound(("http://*",))}) as asks:
                await asks.ask(f"{server.url}/to?{other.url}/", headers=[["X-Key", "s3cret"]])

            (at_other,) = other.seen
            assert at_other.header("X-Key") == ["s3cret"]

    asyncio.run(run())


def test_a_sealed_secret_goes_to_its_own_origin_alone_and_into_no_error() -> None:
    async def run() -> None:
        async with raw_server() as other, raw_server() as server:
            async with asking(**_with_secret(server, other, sealed={"KEY": server.url})) as asks:
                await asks.ask(server.url)
                error = await refused(asks, other.url)
                asks.grants.set_secrets({"KEY": "s3cret\r\nX: y"}, {})
                broken = await refused(asks, server.url)
                asks.grants.set_secrets({}, {})
                unset = await refused(asks, server.url)

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


def test_a_header_is_filled_in_with_the_secret_of_the_functions_tenant() -> None:
    grants = Grants(["https://*"])
    outbound = Outbound(("https://api.example.com/",), {"https://api.example.com": {"X-Key": "{KEY}"}})
    grants.set_functions({"shop": outbound, "shop.acme": outbound, "shop.blue": outbound})
    grants.set_secrets({"KEY": "mine", "KEY.acme": "acme's"}, {})
    target = Target("https", "api.example.com", 443, "/")

    assert grants.filled_headers("shop", target) == [("X-Key", "mine")]
    assert grants.filled_headers("shop.acme", target) == [("X-Key", "acme's")]
    with pytest.raises(OutboundDeniedError, match="needs the secret KEY, which is not set"):
        grants.filled_headers("shop.blue", target)
