"""Where a request comes from, and which proxies may say so."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvloop
from multidict import CIMultiDict, CIMultiDictProxy

from holdfast_host.core.config import HostConfig
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.front.http.proxies import CameBy, TrustedProxies
from tests.unit.front.stage import read_response, request_bytes, staged
from tests.unit.front.test_function_hosts import HOST, asked, deploy

OURS = ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8")


def look(peer: str, *forwarded: str, scheme: str = "") -> CameBy:
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


def test_a_host_without_proxies_believes_nobody() -> None:
    headers = CIMultiDictProxy(CIMultiDict({"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}))

    assert TrustedProxies().look("127.0.0.1", headers) == ("127.0.0.1", "http")


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
