"""Where a request comes from, and which proxies may say so."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
import uvloop
from multidict import CIMultiDict, CIMultiDictProxy

from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import BadRequestError, ConfigurationError
from holdfast_host.front.http.proxies import CameBy, TrustedProxies
from holdfast_host.wire.control.edge import Edge
from tests.unit.front.stage import Response, Stage, read_response, request_bytes, staged
from tests.unit.front.test_function_hosts import HOST, OK, asked, deploy

OURS = ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8")


def look(peer: str, *forwarded: str, scheme: str = "") -> CameBy:
    """What `X-Forwarded-*` say."""
    headers = CIMultiDict([("X-Forwarded-For", each) for each in forwarded])
    if scheme:
        headers["X-Forwarded-Proto"] = scheme
    return TrustedProxies(OURS).look(peer, CIMultiDictProxy(headers))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.1.2.3", ["10.9.9.9,10.8.8.8"], "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.1.2.3", ["2001:db8::1"], "2001:db8::1"),
        ("10.1.2.3", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["6.6.6.6, , 10.0.0.1"], "10.0.0.1"),
        ("10.1.2.3", [", " * 4000 + "198.51.100.1"], "198.51.100.1"),
    ],
)
def test_the_first_address_from_the_end_that_is_no_proxy_of_ours_is_the_client(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert look(peer, *forwarded).client == client


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.1.2.3", "https", "https"),
        ("10.1.2.3", "HTTPS", "https"),
        ("10.1.2.3", "http, https", "https"),
        ("10.1.2.3", "", "http"),
        ("10.1.2.3", "javascript", "http"),
        ("203.0.113.9", "https", "http"),
    ],
)
def test_the_scheme_is_what_a_proxy_of_ours_says(peer: str, said: str, scheme: str) -> None:
    assert look(peer, scheme=said).scheme == scheme


SPOOFED = {
    "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "web.localhost",
    "Forwarded": 'for=1.2.3.4;proto=https;host=web.localhost;"',
}


@pytest.mark.parametrize(("networks", "peer"), [((), "127.0.0.1"), (OURS, "203.0.113.9")])
def test_who_is_no_proxy_of_ours_is_not_believed(networks: tuple[str, ...], peer: str) -> None:
    headers = CIMultiDictProxy(CIMultiDict(SPOOFED))

    assert TrustedProxies(networks).look(peer, headers) == (peer, "http", "")


def told(*forwarded: str, peer: str = "10.1.2.3", **x: str) -> CameBy:
    """What `Forwarded` says, and whatever else is there: `x_forwarded_for`."""
    further = [(name.replace("_", "-"), value) for name, value in x.items()]
    headers = CIMultiDict([*(("Forwarded", each) for each in forwarded), *further])
    return TrustedProxies(OURS).look(peer, CIMultiDictProxy(headers))


@pytest.mark.parametrize(
    ("forwarded", "seen"),
    [
        (["for=198.51.100.1"], ("198.51.100.1", "http", "")),
        (["For=198.51.100.1;PROTO=HTTPS;Host=web.localhost"], ("198.51.100.1", "https", "web.localhost")),
        (['for="198.51.100.1:4711" ; host="web.localhost:8443"'], ("198.51.100.1", "http", "web.localhost:8443")),
        (['for="[2001:db8::1]:4711";by=_ours'], ("2001:db8::1", "http", "")),
        ([r'for="198.51.100\.1"'], ("198.51.100.1", "http", "")),
        (["for=6.6.6.6;host=evil, for=198.51.100.1;proto=https"], ("198.51.100.1", "https", "")),
        (["for=6.6.6.6;proto=http", "for=198.51.100.1;host=a, for=192.0.2.1;host=b"], ("198.51.100.1", "http", "a")),
        (["for=198.51.100.1, for=192.0.2.1;proto=https;host=b"], ("198.51.100.1", "https", "b")),
        (["for=10.9.9.9;proto=https"], ("10.9.9.9", "https", "")),
        (["for=6.6.6.6;host=evil, for=unknown;proto=https"], ("10.1.2.3", "https", "")),
        (["for=6.6.6.6, for=_hidden;host=web.localhost"], ("10.1.2.3", "http", "web.localhost")),
        (["for=6.6.6.6, proto=https"], ("10.1.2.3", "https", "")),
        (["for=198.51.100.1;proto=javascript"], ("198.51.100.1", "http", "")),
        ([" , ;, for=198.51.100.1,, ;"], ("198.51.100.1", "http", "")),
        (["for=6.6.6.6," * 900 + "for=198.51.100.1"], ("198.51.100.1", "http", "")),
        ([""], ("10.1.2.3", "http", "")),
    ],
)
def test_each_hop_of_forwarded_says_who_asked_it_for_what(forwarded: list[str], seen: tuple[str, str, str]) -> None:
    assert told(*forwarded) == seen


def test_a_chain_is_looked_at_for_32_hops() -> None:
    assert told("for=198.51.100.1" + ",for=10.0.0.1" * 31).client == "198.51.100.1"
    assert told("for=198.51.100.1" + ",for=10.0.0.1" * 32).client == "10.0.0.1"


@pytest.mark.parametrize(
    "forwarded",
    ["198.51.100.1", 'for="198.51.100.1', "for=2001:db8::1", "for=198.51.100.1 proto=https", "for=1.2.3.4;for=6.6.6.6"],
)
def test_a_forwarded_that_breaks_its_rules_is_refused(forwarded: str) -> None:
    """To pass over what cannot be read would leave it to a client which part of the header counts."""
    with pytest.raises(BadRequestError, match="the Forwarded header"):
        told(forwarded)


def test_what_a_client_wrote_of_forwarded_is_read_in_a_moment_however_many_spaces_it_has() -> None:
    """Proxies pass on what they do not write, and meanwhile a front serves nobody else."""
    headers = CIMultiDictProxy(CIMultiDict({"Forwarded": "for=198.51.100.1," + " " * 100_000 + "!"}))
    began = time.process_time()
    with pytest.raises(BadRequestError, match="the Forwarded header"):
        TrustedProxies(OURS).look("10.1.2.3", headers)

    assert time.process_time() - began < 1


def test_both_kinds_of_headers_must_say_the_same_for_one_of_them_may_be_the_clients() -> None:
    same = told("for=198.51.100.1;host=Web.localhost", x_forwarded_for="198.51.100.1", x_forwarded_host="web.localhost")
    more = told("for=198.51.100.1", x_forwarded_proto="https")

    assert same == ("198.51.100.1", "http", "web.localhost")
    assert more == ("198.51.100.1", "https", "")
    for different in ({"x_forwarded_for": "198.51.100.2"}, {"x_forwarded_proto": "https"}, {"x_forwarded_host": "b"}):
        with pytest.raises(BadRequestError, match="let the proxy remove from requests whichever of the two"):
            told("for=198.51.100.1;proto=http;host=a", **different)


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"x_forwarded_host": "web.localhost", "x_forwarded_proto": "https"}, "https://web.localhost/a?b"),
        ({"x_forwarded_host": "evil, web.localhost:8443"}, "http://web.localhost:8443/a?b"),
        ({"forwarded": 'for=1.2.3.4;proto=https;host="web.localhost:8443"'}, "https://web.localhost:8443/a?b"),
    ],
)
def test_a_function_is_found_by_the_host_that_a_proxy_of_ours_was_asked_for(headers: dict[str, str], url: str) -> None:
    async def play() -> None:
        async with staged(edge=Edge(("127.0.0.1/32",))) as stage:
            deploy(stage)
            _, request, response = await asked(stage, "GET", "/a?b", b"", OK, 200, host="backend.localhost", **headers)
            believed = await stage.ask("GET", "/", host="localhost", x_forwarded_host="nosuch.localhost")
            spoofed = request_bytes("GET", "/v1/actors", x_forwarded_host="web.localhost")
            stranger = await _from_elsewhere(stage, spoofed)

            assert (response.status, request["url"]) == (200, url)
            assert (believed.status, believed.error) == (404, "UnknownFunctionError")
            assert stranger.status == 200  # it asked the host itself, whatever it writes

    uvloop.run(play())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x_forwarded_host": "evil.example"}, 403),
        ({"x_forwarded_host": "a b"}, 400),
        ({"x_forwarded_host": "web.localhost/x"}, 400),
        ({"forwarded": "for=1.2.3.4;host=evil.example"}, 403),
        ({"forwarded": "nonsense"}, 400),
        ({"forwarded": "for=1.2.3.4", "x_forwarded_for": "6.6.6.6"}, 400),
        ({"forwarded": "for=1.2.3.4;" * 800}, 400),
        ({"host": "proxy.internal", "x_forwarded_host": "localhost"}, 200),
        ({"host": "proxy.internal"}, 403),
        ({"origin": "https://app.localhost", "x_forwarded_host": "app.localhost"}, 404),
        ({"origin": "https://localhost", "host": "localhost:8787", "x_forwarded_host": "localhost"}, 200),
        ({"origin": "https://localhost:8787", "host": "localhost:8787", "x_forwarded_host": "localhost"}, 403),
    ],
)
def test_a_host_that_a_proxy_names_is_checked_as_any_other(headers: dict[str, str], status: int) -> None:
    async def play() -> None:
        async with staged(edge=Edge(("127.0.0.1/32",))) as stage:
            assert (await stage.ask("GET", "/v1/actors", b"", **headers)).status == status

    uvloop.run(play())


@pytest.mark.parametrize("name", ["x_forwarded_host", "forwarded"])
def test_a_head_that_passed_for_a_proxy_is_not_known_from_a_stranger(name: str) -> None:
    """Its lines are the same, byte for byte, and mean another host."""
    ours = {"x_forwarded_host": "localhost", "forwarded": "host=localhost"}[name]
    call = request_bytes("POST", "/v1/actors/Account/a/deposit", b"[1]", host="proxy.internal", **{name: ours})

    async def play() -> None:
        async with staged(edge=Edge(("127.0.0.1/32",))) as stage:
            stage.worker.answer = b"1"
            proxied = [(await stage.exchange(call)).status for _ in range(2)]
            stranger = await _from_elsewhere(stage, call)

            assert (proxied, stranger.status, stage.direct_calls) == ([200, 200], 403, 0)

    uvloop.run(play())


def test_a_head_with_an_address_alone_is_known_again() -> None:
    async def play() -> None:
        async with staged(edge=Edge(("127.0.0.1/32",))) as stage:
            stage.worker.answer = b"1"
            for _ in range(2):
                await stage.deposit(x_forwarded_for="198.51.100.1", x_forwarded_proto="https")

            assert stage.direct_calls == 1

    uvloop.run(play())


async def _from_elsewhere(stage: Stage, request: bytes) -> Response:
    """What a request gets from an address that is no proxy's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, local_addr=("127.0.0.2", 0))
    writer.write(request)
    response = await read_response(reader)
    writer.close()
    return response


@pytest.mark.parametrize(("given", "network"), [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.1", "192.0.2.1/32")])
def test_a_proxy_is_given_as_an_address_or_a_network(given: str, network: str) -> None:
    assert HostConfig.make(trusted_proxies=[given]).trusted_proxies == (network,)


@pytest.mark.parametrize("given", ["10.0.0.1/8", "proxy.example.com", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused_by_its_flag(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--trusted-proxy .* write an address or a CIDR"):
        HostConfig.make(trusted_proxies=[given])


def test_a_function_sees_the_address_that_its_request_came_from() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            _, request, _ = await asked(stage, "POST", "/", b"", x_forwarded_for="6.6.6.6", x_forwarded_proto="https")

            assert request["client"] == "127.0.0.1"
            assert request["url"].startswith("http://")

    uvloop.run(play())


def _handshake(target: str, **headers: str) -> bytes:
    return request_bytes(
        "GET",
        target,
        b"",
        connection="Upgrade",
        upgrade="websocket",
        sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
        sec_websocket_version="13",
        **headers,
    )


@pytest.mark.parametrize(("status", "seen"), [(200, 426), (204, 426), (302, 302), (403, 403), (426, 426)])
def test_a_handler_sees_that_a_socket_is_asked_for_and_what_it_does_not_take_is_426(status: int, seen: int) -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(_handshake("/chat", host=HOST))
            call = await stage.worker.next_call()
            headers = {name.lower(): value for name, value in json.loads(call.body)["headers"]}
            reply = json.dumps({"status": status, "headers": [], "body": ""}).encode()
            await stage.worker.reply(call, 200, reply)
            response = await read_response(reader)
            writer.close()

            assert (headers["upgrade"], headers["sec-websocket-version"]) == ("websocket", "13")
            assert "connection" not in headers
            assert response.status == seen
            if status < 300:
                assert response.headers["upgrade"] == "HTTP/1.1"
                assert "without the header Upgrade" in response.json["error"]["message"]

    uvloop.run(play())


@pytest.mark.parametrize("target", ["/v1/call", "/v1/logs", "/v1/nothing"])
def test_no_route_of_the_host_takes_a_socket(target: str) -> None:
    async def play() -> None:
        async with staged(token="t") as stage:
            stranger = await stage.exchange(_handshake(target))
            ours = await stage.exchange(_handshake(target, authorization="Bearer t"))

            assert (stranger.status, ours.status) == (401, 426)

    uvloop.run(play())


def test_another_protocol_than_a_socket_is_passed_over() -> None:
    async def play() -> None:
        async with staged() as stage:
            headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABk"}
            call, response = await stage.answered("POST", "/v1/actors/Account/a/deposit", b"[1]", **headers)

            assert (response.status, call.body) == (200, b"[1]")

    uvloop.run(play())
