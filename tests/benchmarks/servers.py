"""The servers that are measured side by side, each started on a free port and stopped by its `with` block."""

from __future__ import annotations

import http.client
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from tests.harness.components import TestComponent, built
from tests.harness.deploying import deploy, try_to_deploy
from tests.harness.hand_rolled import HandRolledServer, NoCompilerError, compile_account
from tests.harness.host import HOLDFAST, READY_TIMEOUT_S, HostProcess
from tests.harness.namespaces import Net
from tests.harness.projects import free_port

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
TOOLS = HERE.parents[1] / "build" / "bench"  # what a benchmark installs or compiles

WORKERD = "workerd@1.20261117.1"
RESTATE = "@restatedev/restate-server@1.7.12"
RESTATE_PORT = 8080  # in a namespace of its own


class MissingToolError(Exception):
    """A peer cannot be measured here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Server:
    """One running server."""

    name: str
    url: str
    pid: int
    host: HostProcess | None = None
    prefix: str | None = None  # the path before the name, where it is not ours
    content_type: str = ""  # that it wants to be told


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
    program = _installed(WORKERD, "workerd")
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
def restate() -> Iterator[Server]:
    """Restate's server with the service of peers/account_on_restate.py, in a network namespace: it asks outside."""
    if find_spec("restate") is None:
        raise MissingToolError("no restate-sdk: make bench installs it")
    program = _installed(RESTATE, "restate-server")
    with tempfile.TemporaryDirectory() as scratch, _namespace() as net:
        module = ["-m", "tests.benchmarks.peers.account_on_restate"]
        parts = [str(program), scratch, net.there, str(os.cpu_count() or 1)]
        command = ["ip", "netns", "exec", net.name, sys.executable, *module, *parts]
        with _process("Restate", command, RESTATE_PORT, address=net.there, timeout_s=90) as server:
            asked = replace(server, prefix="/Account/", content_type="application/json")
            _wait_for_answer(f"{asked.url}/Account/first/empty")
            yield asked


@contextmanager
def _namespace() -> Iterator[Net]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise MissingToolError("Restate is measured in a network namespace, which only root can make, with iproute2")
    try:
        net = Net()
    except subprocess.CalledProcessError as error:
        raise MissingToolError(f"no network namespaces here: {error.stderr.decode(errors='replace').strip()}") from None
    try:
        yield net
    finally:
        net.remove()


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
    name: str,
    command: list[str],
    port: int,
    environment: Mapping[str, str] | None = None,
    address: str = "127.0.0.1",
    timeout_s: float = 20.0,
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
        _wait_for(address, port, process, name, timeout_s)
        yield Server(name, f"http://{address}:{port}", process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.wait()


def _wait_for(address: str, port: int, process: subprocess.Popen[bytes], name: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MissingToolError(f"{name} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.05)
    raise MissingToolError(f"{name} does not listen")


def _wait_for_answer(url: str) -> None:
    """A server may listen before it knows what it serves."""
    where = urlsplit(url)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
            asked.request("POST", where.path)
            if asked.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise MissingToolError(f"{url} is not answered")


def _installed(package: str, program: str) -> Path:
    """A program of an npm package, which is installed where it is not."""
    found = TOOLS / "node_modules" / ".bin" / program
    if not found.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingToolError(f"no npm to install {package} with (Debian: apt-get install npm)")
        TOOLS.mkdir(parents=True, exist_ok=True)
        if not (TOOLS / "package.json").exists():
            (TOOLS / "package.json").write_text("{}")  # else npm removes what an earlier package has brought
        command = [npm, "install", "--silent", "--prefix", str(TOOLS), package]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise MissingToolError(f"npm could not install {package}: {(done.stdout + done.stderr).strip()[-300:]}")
    return found
