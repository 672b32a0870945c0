"""Connections over TLS, through the front's own server; the test plays the worker."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import Any, cast

import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from holdfast_host.core.tls import CertificateError, server_context
from holdfast_host.front.http.tls import Handshake
from holdfast_host.front.http.write_backpressure import WriteBackpressure
from holdfast_host.wire.control.edge import Certificate, Edge, NewEdge
from holdfast_host.wire.control.protocol import Drain
from tests.harness.certificates import Authority
from tests.unit.front.stage import PATIENCE_S, read_response, request_bytes, staged, until
from tests.unit.front.test_function_hosts import OK, asked, deploy

OURS = Authority()
TRUSTED = OURS.trusted()
FIRST = OURS.issue("localhost", "*.localhost", "127.0.0.1", common_name="first")
SECOND = OURS.issue("localhost", "*.localhost", "127.0.0.1", common_name="second")
LARGE = b'"' + b"x" * 20_000_000 + b'"'  # the kernels of both sides take up to half of it
CALL = request_bytes("POST", "/v1/actors/Account/alice/deposit", b"[1]")


def key_text(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


def encrypted(certificate: Certificate = FIRST) -> Any:
    return staged(edge=Edge(certificate=certificate), trusted=TRUSTED)


async def connect(port: int, context: ssl.SSLContext = TRUSTED) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def shake(client: ssl.SSLObject, raw: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    """A handshake, but for its last message, which is still in `outgoing`."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            client.do_handshake()
            return
        except ssl.SSLWantReadError:
            await loop.sock_sendall(raw, outgoing.read())
            incoming.write(await loop.sock_recv(raw, 1 << 16))


def shown_by(writer: asyncio.StreamWriter) -> str:
    """The name in the certificate that a connection was shown."""
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    return str(dict(each[0] for each in certificate["subject"])["commonName"])


def test_calls_are_served_over_tls_whether_their_heads_are_known_or_not() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            stage.worker.answer = b"7"
            reader, writer = await connect(stage.port)
            seen = []
            for _ in range(3):
                writer.write(CALL)
                seen.append((await read_response(reader)).body)
            spoken = writer.get_extra_info("ssl_object")
            writer.close()

            assert (seen, stage.direct_calls) == ([b"7"] * 3, 2)
            assert (spoken.selected_alpn_protocol(), spoken.version()) == ("http/1.1", "TLSv1.3")

    uvloop.run(play())


def test_a_request_that_comes_with_the_end_of_the_handshake_is_served() -> None:
    """Clients send both in one go, and the connection is not there yet."""

    async def play() -> None:
        async with encrypted() as stage:
            stage.worker.answer = b"7"
            loop = asyncio.get_running_loop()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = TRUSTED.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", stage.port)) as raw:
                raw.setblocking(False)
                await shake(client, raw, incoming, outgoing)
                client.write(CALL)
                await loop.sock_sendall(raw, outgoing.read())  # its last message, and the call
                answer = b""
                while not answer.endswith(b"\r\n\r\n7"):
                    try:
                        answer += client.read()
                    except ssl.SSLWantReadError:
                        incoming.write(await asyncio.wait_for(loop.sock_recv(raw, 1 << 16), PATIENCE_S))

            assert answer.startswith(b"HTTP/1.1 200")

    uvloop.run(play())


def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            stage.worker.answer = b"7"
            reader, writer = await connect(stage.port)
            stage.front.on_message(NewEdge(Edge(certificate=SECOND)))
            _, newer = await connect(stage.port)
            writer.write(CALL)
            answer = await read_response(reader)

            assert (shown_by(writer), shown_by(newer)) == ("first", "second")
            assert answer.body == b"7"
            for each in (writer, newer):
                each.close()

    uvloop.run(play())


def test_a_function_sees_the_scheme() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            deploy(stage)
            _, request, _ = await asked(stage, "GET", "/a", b"", OK, 200, host="web.localhost:8443")

            assert request["url"] == "https://web.localhost:8443/a"

    uvloop.run(play())


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_a_client_that_does_not_speak_tls_is_counted_and_ends(sent: bytes) -> None:
    async def play() -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, facts: failed.append(facts))
        async with encrypted() as stage:
            await until(lambda: not stage.server._kept.live)
            stage.server._kept._head_s = 0.3
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(sent)
            await until(lambda: stage.server._kept.live)
            rest = await asyncio.wait_for(reader.read(), PATIENCE_S)
            await until(lambda: not stage.server._kept.live)
            writer.close()

            assert not rest.startswith(b"HTTP")
            assert failed == []

    uvloop.run(play())


def test_connections_in_their_handshake_are_the_first_to_go_for_room() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            await until(lambda: not stage.server._kept.live)
            stage.server._kept._connections_max = 2
            silent = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(2)]
            await until(lambda: len(stage.server._kept.live) == 2)
            answer = await stage.ask("GET", "/health/liveness")

            assert answer.status == 200
            assert await asyncio.wait_for(silent[0][0].read(), PATIENCE_S) == b""
            assert stage.server._kept.closed_for_room >= 1
            for _, writer in silent:
                writer.close()

    uvloop.run(play())


def test_a_client_that_asks_for_nothing_is_not_waited_for_when_it_is_closed() -> None:
    """It speaks TLS to the end of the handshake, and then never again."""

    async def play() -> None:
        async with encrypted() as stage:
            await until(lambda: not stage.server._kept.live)
            stage.server._kept._head_s = 0.3
            loop = asyncio.get_running_loop()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = TRUSTED.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", stage.port)) as raw:
                raw.setblocking(False)
                await shake(client, raw, incoming, outgoing)
                await loop.sock_sendall(raw, outgoing.read())
                await until(lambda: any(not isinstance(each, Handshake) for each in stage.server._kept.live))
                async with asyncio.timeout(10):
                    await until(lambda: not stage.server._kept.live)

    uvloop.run(play())


def test_a_client_that_has_its_answer_and_says_no_goodbye_is_not_waited_for() -> None:
    """It keeps the connection in a pool, in which nobody reads; the standard library waits half a minute."""

    async def play() -> None:
        async with encrypted() as stage:
            loop = asyncio.get_running_loop()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = TRUSTED.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", stage.port)) as raw:
                raw.setblocking(False)
                await shake(client, raw, incoming, outgoing)
                client.write(request_bytes("GET", "/health/liveness"))
                await loop.sock_sendall(raw, outgoing.read())
                incoming.write(await loop.sock_recv(raw, 1 << 16))
                [connection] = [each for each in stage.server._kept.live if not isinstance(each, Handshake)]
                await until(lambda: connection not in stage.server._busy)

                connection.force_close()

                await until(lambda: not stage.server._kept.live)

    uvloop.run(play())


def test_a_client_that_takes_nothing_of_its_answer_is_cut_as_without_tls() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            stage.server.backpressure = WriteBackpressure(take_s=0.3)
            _, writer = await connect(stage.port)
            writer.write(CALL)
            cast("asyncio.Transport", writer.transport).pause_reading()
            await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)

            await until(lambda: stage.server.backpressure.cut == 1)
            await until(lambda: not stage.server._kept.live)
            writer.transport.abort()

    uvloop.run(play())


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it_before_the_end() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            stage.server.backpressure = WriteBackpressure(take_s=0.5)
            reader, writer = await connect(stage.port)
            writer.write(CALL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            await stage.worker.reply(await stage.worker.next_call(), 200, LARGE)
            received = bytearray()
            while piece := await reader.read(200_000):
                received += piece
                await asyncio.sleep(0.005)

            assert received.partition(b"\r\n\r\n")[2] == LARGE
            assert stage.server.backpressure.cut == 0
            writer.close()

    uvloop.run(play())


def test_a_front_that_stops_waits_for_no_handshake() -> None:
    async def play() -> None:
        async with encrypted() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            await until(lambda: stage.server._kept.live)
            stage.front.on_message(Drain())

            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
            await stage.supervisor.next("drained")
            writer.close()

    uvloop.run(play())


def test_a_client_that_says_over_tls_that_it_sends_no_more_counts_as_gone() -> None:
    async def play() -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, facts: failed.append(facts))
        async with encrypted() as stage:
            reader, writer = await connect(stage.port)
            writer.write(CALL)
            call = await stage.worker.next_call()
            writer.close()

            assert await asyncio.wait_for(stage.worker.cancelled.get(), PATIENCE_S) == call.slot
            assert await reader.read() == b""
            assert failed == []

    uvloop.run(play())


def test_tls_before_1_2_is_refused() -> None:
    assert server_context(FIRST.chain, FIRST.key).minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        (FIRST.chain, SECOND.key, "the key is not that of the certificate"),
        (FIRST.chain, key_text(ec.generate_private_key(ec.SECP256R1())), "the key is not that of the certificate"),
        (FIRST.chain, key_text(rsa.generate_private_key(65537, 2048)), "the key is not that of the certificate"),
        ("no PEM", FIRST.key, "no certificate with its key in PEM"),
        (FIRST.chain, "no PEM", "no certificate with its key in PEM"),
        ("", "", "no certificate with its key in PEM"),
    ],
)
def test_a_pair_that_does_not_serve_says_why(chain: str, key: str, why: str) -> None:
    with pytest.raises(CertificateError, match=why):
        server_context(chain, key)


def test_the_terminal_is_not_asked_for_the_password_of_a_key() -> None:
    key = serialization.load_pem_private_key(FIRST.key.encode(), None)
    sealed = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )

    with pytest.raises(CertificateError, match="the key is encrypted"):
        server_context(FIRST.chain, sealed.decode())


def test_the_key_is_in_no_text_of_a_message() -> None:
    assert FIRST.key not in repr(NewEdge(Edge(certificate=FIRST)))
    assert json.dumps(FIRST.key)[1:-1] not in repr(Edge(certificate=FIRST))
