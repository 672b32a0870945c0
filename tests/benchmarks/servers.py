"""The servers that are measured side by side, each started on a free port and stopped by its `with` block."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.components import TestComponent, built
from tests.harness.deploying import deploy, try_to_deploy
from tests.harness.hand_rolled import HandRolledServer, NoCompilerError, compile_account
from tests.harness.host import HOLDFAST, READY_TIMEOUT_S, HostProcess
from tests.harness.projects import free_port

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
TOOLS = HERE.parents[1] / "build" / "bench"  # what a benchmark installs or compiles

WORKERD = "workerd@1.20261117.1"


class MissingToolError(Exception):
    """A peer cannot be measured here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Server:
    """One running server."""

    name: str
    url: str
    pid: int
    host: HostProcess | None = None


@contextmanager
def holdfast(
    *options: str, command: Sequence[str] = (HOLDFAST,), project: Path = PEERS / "account"
) -> Iterator[Server]:
    """Our host with the measured actor deployed, or another project's; `command` runs it."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        HostProcess(Path(scratch) / "data", *options, command=command) as host,
    ):
        deploy(host, built(project))
        yield Server("holdfast", host.url, host.pids()["supervisor"][0], host)


@contextmanager
def holdfast_of(
    checkout: Path, *options: str, command: Sequence[str] = (), ready_timeout_s: float = READY_TIMEOUT_S
) -> Iterator[Server]:
    """The host of another checkout, after `make install` there, with the actor as that one's SDK builds it."""
    installed = checkout / ".venv" / "bin" / "holdfast"
    if not installed.exists():
        raise MissingToolError(f"no holdfast is installed in {checkout}: run `make install` there")
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "account"
        shutil.copytree(PEERS / "account", project, ignore=shutil.ignore_patterns("build", "__pycache__"))
        subprocess.run([installed, "build", project], check=True, capture_output=True)
        [component] = (project / "build").glob("*.wasm")
        data, how = Path(scratch) / "data", command or (str(installed),)
        with HostProcess(data, *options, command=how, ready_timeout_s=ready_timeout_s) as host:
            answer = try_to_deploy(host, TestComponent("account", project, project / "holdfast.toml", component))
            if answer.status not in {200, 201}:
                raise MissingToolError(f"the host of {checkout} does not deploy: {answer}")
            yield Server("holdfast", host.url, host.pids()["supervisor"][0], host)


@contextmanager
def workerd(actor: str = "Account") -> Iterator[Server]:
    """The engine behind Durable Objects, with local disk storage, and that class of the module of its name."""
    program = _installed_workerd()
    with tempfile.TemporaryDirectory() as scratch:
        port = free_port()
        directory = Path(scratch)
        (directory / "data").mkdir()
        module = f"{actor.lower()}.js"
        shutil.copy(PEERS / module, directory)
        config = (PEERS / "workerd.capnp").read_text()
        for word, value in (("DATA", directory / "data"), ("PORT", port), ("MODULE", module), ("CLASS", actor)):
            config = config.replace(word, str(value))
        (directory / "config.capnp").write_text(config)
        with _process("workerd", [str(program), "serve", str(directory / "config.capnp")], port) as server:
            yield server


@contextmanager
def hand_rolled() -> Iterator[Server]:
    """The C server of peers/account.c."""
    try:
        program = compile_account(TOOLS / "account")
    except NoCompilerError as error:
        raise MissingToolError(str(error)) from None
    with tempfile.TemporaryDirectory() as scratch:
        server = HandRolledServer(program, Path(scratch) / "log")
        server.start()
        try:
            yield Server("C by hand", server.url, server.pid)
        finally:
            server.kill_all()


@contextmanager
def by_hand(name: str, module: str, environment: Mapping[str, str], processes: int) -> Iterator[Server]:
    """The `app` of a module in peers/, run by uvicorn in so many processes."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"tests.benchmarks.peers.{module}:app", "--port", str(port)]
    further = ["--workers", str(processes), "--no-access-log", "--log-level", "warning"]
    with _process(name, command + further, port, environment) as server:
        yield server


@contextmanager
def aiohttp_empty(loop: str) -> Iterator[Server]:
    """The floor of our HTTP stack: aiohttp with a handler that does nothing, on `asyncio` or `uvloop`."""
    port = free_port()
    code = textwrap.dedent(f"""
        import asyncio, sys
        from aiohttp import web
        if {loop!r} == "uvloop":
            import uvloop
            runner = uvloop.run
        else:
            runner = asyncio.run
        async def empty(request):
            await request.read()
            return web.Response(body=b"null", content_type="application/json")
        async def main():
            app = web.Application()
            app.router.add_post("/v1/actors/{{type}}/{{name}}/{{method}}", empty)
            served = web.AppRunner(app, access_log=None)
            await served.setup()
            await web.TCPSite(served, "127.0.0.1", {port}).start()
            await asyncio.Event().wait()
        runner(main())
    """)
    with _process(f"aiohttp empty ({loop})", [sys.executable, "-c", code], port) as server:
        yield server


@contextmanager
def _process(
    name: str, command: list[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    process = subprocess.Popen(
        command,
        cwd=HERE.parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        _wait_for(port, process, name)
        yield Server(name, f"http://127.0.0.1:{port}", process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MissingToolError(f"{name} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise MissingToolError(f"{name} does not listen")


def _installed_workerd() -> Path:
    program = TOOLS / "node_modules" / ".bin" / "workerd"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingToolError("no npm to install workerd with (Debian: apt-get install npm)")
        TOOLS.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--silent", "--no-save", "--prefix", str(TOOLS), WORKERD]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise MissingToolError(f"npm could not install {WORKERD}: {(done.stdout + done.stderr).strip()[-300:]}")
    return program
