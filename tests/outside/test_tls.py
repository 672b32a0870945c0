"""A host that speaks TLS, as clients of every kind see it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from holdfast.client import Client, HostUnreachableError
from tests.harness import components
from tests.harness.certificates import Authority, write_pair
from tests.harness.commands import run, run_any
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

NAMES = ("localhost", "*.localhost", "127.0.0.1")
PATIENCE_S = 30.0


@dataclass
class Encrypted:
    """A host, its authority, and the folder of its files."""

    host: HostProcess
    authority: Authority
    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def shown(self) -> str:
        """The name in the certificate that it shows now."""
        port = int(self.host.url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            self.authority.trusted().wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            facts: Any = connection.getpeercert()
        return str(dict(each[0] for each in facts["subject"])["commonName"])


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """A host with two fronts and the chat. Tests leave it with the certificate that they found."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    authority.write(folder)
    cert, key = write_pair(authority.issue(*NAMES, common_name="first"), folder)
    options = ("--workers", "1", "--fronts", "2", "--tls-cert", str(cert), "--tls-key", str(key))
    host = HostProcess(folder / "data", *options)
    host.trusted = authority.trusted()
    with host:
        deploy(host, components.built(components.GUESTS / "chat"))
        yield Encrypted(host, authority, folder)


def until(said: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not said():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


@pytest.mark.slow
def test_calls_sockets_and_event_streams_go_through_tls(encrypted: Encrypted) -> None:
    url, trusted = encrypted.host.url, encrypted.authority.trusted()
    trusted.set_alpn_protocols(["http/1.1"])
    assert url.startswith("https://")

    with (
        httpx.Client(base_url=url, verify=trusted) as http,
        connect(url.replace("https:", "wss:") + "/fn/chat/ws?room=r&user=a", ssl=trusted) as client,
    ):
        assert client.recv(PATIENCE_S) == "welcome a"
        client.send("x" * 200_000)
        assert client.recv(PATIENCE_S) == "1 a: " + "x" * 200_000
        with http.stream("GET", "/fn/chat/events?room=r", headers={"accept": "text/event-stream"}) as events:
            lines = events.iter_lines()
            assert http.post("/v1/actors/Room/r/publish", json=["news"]).status_code == 200
            assert next(line for line in lines if line.startswith("data:")) == "data: news"
        assert [http.post("/v1/actors/Room/r/count", json=[]).json() for _ in range(3)][-1] >= 1
        port = url.rpartition(":")[2]
        assert http.get("/", headers={"host": f"chat.localhost:{port}"}).status_code == 200


def test_a_client_that_breaks_the_rules_of_sockets_is_told_so_over_tls_too(encrypted: Encrypted) -> None:
    port = int(encrypted.host.url.rpartition(":")[2])
    request = (
        "GET /fn/chat/ws?room=v&user=a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as raw,
        encrypted.authority.trusted().wrap_socket(raw, server_hostname="localhost") as client,
    ):
        client.sendall(request.encode())
        said = b""
        while b"welcome a" not in said:
            said += client.recv(4096)
        client.sendall(b"\xff\xff")
        while b"\x88" not in (last := client.recv(4096)):
            assert last

    assert last[last.index(b"\x88") + 2 :][:2] == (1002).to_bytes(2, "big")
    assert "Traceback" not in encrypted.host.log


@pytest.mark.slow
def test_commands_and_clients_trust_the_authority_that_they_are_given(
    encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = encrypted.host.url
    refused = run_any(encrypted.host, "list")
    wrong = run_any(encrypted.host, "--help").returncode, run_any(encrypted.host, "list", "--ca", __file__)

    assert "chat" in run(encrypted.host, "list", "--ca", encrypted.ca)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "is not trusted" in refused.stderr
    assert "--ca FILE" in refused.stderr
    assert wrong[1].returncode == 1
    assert "it is no certificate in PEM" in wrong[1].stderr

    with Client(url, ca=encrypted.ca) as client:
        assert client.actor("Room", "c").count() == 0
    with Client(url, retries=0) as client, pytest.raises(HostUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        client.actor("Room", "c").count()
    with pytest.raises(ValueError, match="which holds no certificates in PEM"):
        Client(url, ca=__file__)
    monkeypatch.setenv("SSL_CERT_FILE", encrypted.ca)
    assert "chat" in run(encrypted.host, "list")
    with Client(url) as client:
        assert client.actor("Room", "c").count() == 0


def test_a_renewed_certificate_is_shown_within_seconds_and_a_broken_one_is_not(encrypted: Encrypted) -> None:
    host, second = encrypted.host, encrypted.authority.issue(*NAMES, common_name="second")
    cert, key = encrypted.folder / "cert.pem", encrypted.folder / "key.pem"
    before, pids = (cert.read_text(), key.read_text()), host.pids()

    write_pair(second, encrypted.folder)
    began = time.monotonic()
    until(lambda: {encrypted.shown() for _ in range(8)} == {"second"})
    took_s = time.monotonic() - began
    cert.write_text(before[0])  # with the other's key
    until(lambda: "the TLS certificate stays as it was" in host.log)
    shown = encrypted.shown()
    key.write_text(before[1])
    until(lambda: {encrypted.shown() for _ in range(8)} == {"first"})

    assert took_s < 10
    assert shown == "second"
    assert "the key is not that of the certificate" in host.log
    assert host.pids() == pids


def test_a_key_that_others_can_read_is_named_in_the_log(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = write_pair(authority.issue(*NAMES), tmp_path)
    key.chmod(0o644)
    host = HostProcess(tmp_path / "data", "--workers", "1", "--tls-cert", str(cert), "--tls-key", str(key))
    with host:
        assert f"others can read the TLS key: chmod o= takes that from them path={key}" in host.log


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tls-key", "key.pem"), "a key without a certificate"),
        (("--tls-cert", "none.pem"), "cannot read --tls-cert"),
        (("--tls-cert", "key.pem"), "no certificate with its key in PEM"),
        (("--tls-cert", "cert.pem"), "no certificate with its key in PEM"),
        (("--tls-cert", "cert.pem", "--tls-key", "cert.pem"), "no certificate with its key in PEM"),
        (("--tls-cert", "cert.pem", "--tls-key", "other.pem"), "the key is not that of the certificate"),
    ],
)
def test_a_pair_that_does_not_serve_ends_the_start_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    from click.testing import CliRunner

    from holdfast_host.cli.main import group

    authority = Authority()
    write_pair(authority.issue(*NAMES), tmp_path)
    (tmp_path / "other.pem").write_text(authority.issue("b").key)
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(group, ["serve", "--listen", "127.0.0.1:0", "--data", "data", *options])

    assert (done.exit_code, len(done.output.splitlines())) == (2, 1), done.output
    assert said in done.output
    assert not (tmp_path / "data").exists()
