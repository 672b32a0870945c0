"""Whom the courier trusts over TLS, and when it finds out."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast_host.core.authorities import left_unread
from tests.harness.certificates import Authority, write_pair
from tests.unit.courier.servers import LOCAL, RawServer, answer, asking, refused


@asynccontextmanager
async def encrypted_server(authority: Authority, folder: Path) -> AsyncIterator[str]:
    """Answers `hello` over TLS; its URL."""

    async def hello(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"hello"))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(authority.issue(LOCAL), folder))
    server = RawServer(hello)
    listening = await asyncio.start_server(server.serve, LOCAL, 0, ssl=context)
    try:
        yield f"https://{LOCAL}:{listening.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        listening.close()


def test_a_server_is_asked_whose_authority_this_machine_trusts_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = Authority(), Authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.write(tmp_path)))

    async def run() -> None:
        async with encrypted_server(ours, tmp_path) as ours_url, asking() as asks:
            assert (await asks.ask(ours_url))["body"] == "hello"
            async with encrypted_server(others, tmp_path) as others_url:
                assert "certificate verify failed" in str(await refused(asks, others_url))

    asyncio.run(run())


def test_nobody_is_trusted_by_what_is_made_while_they_are_left_unread_and_they_are_read_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority().write(tmp_path)))
    with left_unread():
        made = ssl.create_default_context()

    assert (made.verify_mode, made.get_ca_certs()) == (ssl.CERT_REQUIRED, [])
    assert len(ssl.create_default_context().get_ca_certs()) == 1


@pytest.mark.parametrize("process", ["front", "courier"])
def test_a_process_starts_without_reading_them(process: str, tmp_path: Path) -> None:
    """Reading them, twice, would be a fifth of what it takes to start."""
    code = (
        "import os\n"
        f"import holdfast_host.{process}.main as started\n"
        "def run(running):\n"
        "    running.close()\n"
        "    from aiohttp import connector\n"
        "    print(len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs()), flush=True)\n"
        "    os._exit(0)\n"
        "started.enter_child = lambda _: None\n"
        "started.uvloop.run = run\n"
        "started.main()\n"
    )
    environment = {**os.environ, "SSL_CERT_FILE": str(Authority().write(tmp_path))}
    command = [sys.executable, "-P", "-c", code, "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
