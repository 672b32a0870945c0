"""TLS is verified, and a resolver that hangs holds up nobody but who asks it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast_host.core.errors import OutboundUnreachableError
from holdfast_host.courier import lookups
from holdfast_host.wire.control.catalog import Outbound
from tests.unit.courier.servers import LOCAL, RawServer, Seen, answer, asking, raw_server


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate for loopback that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOCAL))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = folder / "server.pem"
    both.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


def test_a_certificate_that_nobody_signed_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    async def hello(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"hello"))

    async def run() -> None:
        server = RawServer(hello)
        listening = await asyncio.start_server(server.serve, LOCAL, 0, ssl=self_signed(tmp_path))
        port = listening.sockets[0].getsockname()[1]
        async with asking() as asks:
            with pytest.raises(OutboundUnreachableError, match="certificate"):
                await asks.ask(f"https://{LOCAL}:{port}/")
        listening.close()

        assert server.seen == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("slow_functions", "shares", "answered"), [(1, True, True), (8, True, True), (8, False, False)]
)
def test_functions_whose_names_hang_hold_up_no_other(
    monkeypatch: pytest.MonkeyPatch, slow_functions: int, shares: bool, answered: bool
) -> None:
    """However many such names each asks for; and do where each may have eight threads, whoever has the others."""
    over = threading.Event()

    def look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        if host.startswith("slow"):
            over.wait(20)
        return [(int(socket.AF_INET), LOCAL, 0)]

    async def run() -> None:
        if not shares:
            monkeypatch.setattr(lookups, "share", lambda _: 8)
        slow = [f"slow{number}" for number in range(slow_functions)]
        functions = {name: Outbound(("http://*",)) for name in (*slow, "other")}
        async with raw_server() as server, asking(functions, look_up=look_up) as asks:
            hanging = [
                asyncio.create_task(asks.ask(f"http://{name}-{number}.example:{server.port}/", name))
                for number in range(9)
                for name in slow
            ]
            await asyncio.sleep(0.1)
            other = asyncio.create_task(asks.ask(f"http://quick.example:{server.port}/", "other"))
            done, _ = await asyncio.wait([other], timeout=10 if answered else 0.3)
            over.set()
            await asyncio.gather(*hanging, other)

            assert bool(done) is answered

    asyncio.run(run())
