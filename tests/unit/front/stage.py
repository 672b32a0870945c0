"""A front on a stage: a real HTTP socket, a real control channel, and workers that the test plays itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from holdfast_host.core.limits import Limits
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.server import HttpServer
from holdfast_host.front.process import Front
from holdfast_host.wire.calls.frames import (
    EVENT_SLOT,
    PROTOCOL,
    Call,
    Kind,
    pack_json,
    pack_reply,
    split,
    unpack_call,
    unpack_json,
    unpack_slot,
)
from holdfast_host.wire.control.catalog import ActorType, Catalog, Deployment, Method
from holdfast_host.wire.control.edge import Edge
from holdfast_host.wire.control.protocol import FrontNews, Stop
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.control.starts import FrontStart
from holdfast_host.wire.control.tokens import KnownTokens
from holdfast_host.wire.pages.state_page import StatePage
from holdfast_host.wire.sockets.frames import unpack_taken
from holdfast_host.wire.sockets.pages import PAGES, SocketPages
from holdfast_host.wire.sockets.standing import StandingSockets

PATIENCE_S = 10.0  # no test waits so long unless it fails

ACCOUNT = ActorType("Account", 7, (Method("deposit", "(amount: int) -> dict", "Add funds."),), "Money.", ("alarm",))
CATALOG = Catalog(1, (Deployment("account", "fn_1", 3, "ab", "/x.cwasm", (ACCOUNT,)),))


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"]["name"])


class Worker:
    """The test's end of one link: it accepts, says HELLO, and records what comes."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self.calls: asyncio.Queue[Call] = asyncio.Queue()
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        self.taken: asyncio.Queue[int] = asyncio.Queue()
        self.answer: bytes | None = None  # what every call is answered at once
        self.status = 200  # of those answers
        self.recording = False  # of calls that are answered at once, too
        self.hello: dict[str, Any] = {}
        self.page: StatePage | None = None
        self.pages: SocketPages | None = None
        self.standing: asyncio.Queue[StandingSockets] = asyncio.Queue()
        self.reads = 0

    async def accept(self, *, pid: int = 100, epoch: int = 1, group: int = 5, partitions: int = 1) -> None:
        """Take the next connection and say HELLO."""
        loop = asyncio.get_running_loop()
        connection, _ = await asyncio.wait_for(loop.sock_accept(self._listener), PATIENCE_S)
        readable = asyncio.Event()
        loop.add_reader(connection, readable.set)
        await readable.wait()
        loop.remove_reader(connection)
        data, fds, _, _ = socket.recv_fds(connection, 1 << 16, 1 + PAGES)
        [(kind, payload)], rest = split(data)
        assert (kind, rest) == (Kind.HELLO, b"")
        self.hello = unpack_json(payload)
        await self.die()
        self._close_pages()
        self.page = StatePage(fds[0])
        self.pages = SocketPages.adopt(*fds[1:])
        self._connection = connection
        opened = {str(number): {"epoch": epoch, "group": group} for number in range(partitions)}
        facts = {"protocol": PROTOCOL, "pid": pid, "worker": 0, "partitions": opened}
        await loop.sock_sendall(connection, pack_json(Kind.HELLO, facts))
        self._reader = loop.create_task(self._read(connection))

    async def next_call(self) -> Call:
        return await asyncio.wait_for(self.calls.get(), PATIENCE_S)

    async def reply(self, call: Call, status: int = 200, body: bytes = b"null") -> None:
        await self.send(pack_reply(call.slot, status, body))

    async def send(self, data: bytes) -> None:
        assert self._connection is not None
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    def record(self, answer: bytes) -> None:
        """Answer every call at once, and keep it for `recorded`."""
        self.answer, self.recording = answer, True

    def recorded(self) -> list[Call]:
        """What has come since the last time, without the slots, which are as they fall."""
        return [replace(self.calls.get_nowait(), slot=0) for _ in range(self.calls.qsize())]

    def word(self, call: Call, value: int) -> None:
        """Write the word of a call, or of an event, on its page."""
        assert self.page is not None
        assert self.pages is not None
        if call.slot < EVENT_SLOT:
            self.page.words[call.slot] = value
        else:
            self.pages.events.words[call.slot - EVENT_SLOT] = value

    async def die(self) -> None:
        """End the connection, as the kernel does for a process that is killed."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def aclose(self) -> None:
        await self.die()
        self._close_pages()
        self._listener.close()

    def _close_pages(self) -> None:
        if self.page is not None:
            self.page.close()
            self.page = None

    async def _read(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        while data := await loop.sock_recv(connection, 1 << 18):
            self.reads += 1
            frames, rest = split(rest + data)
            for kind, payload in frames:
                if kind == Kind.CANCEL:
                    self.cancelled.put_nowait(unpack_slot(payload))
                    continue
                if kind == Kind.TAKEN:
                    self.taken.put_nowait(unpack_taken(payload))
                    continue
                if kind == Kind.SOCKETS:
                    self.standing.put_nowait(StandingSockets.unpack(payload))
                    continue
                call = unpack_call(payload)
                if self.answer is None or self.recording:
                    self.calls.put_nowait(call)
                if self.answer is not None:
                    await self.reply(call, self.status, self.answer)


class Supervisor(asyncio.Protocol):
    """The other end of the control channel; the messages are what stands on the wire."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.audited: list[dict[str, Any]] = []  # what was begun, and how it ended; answered at once
        self.refused: asyncio.Queue[dict[str, Any]] = asyncio.Queue()  # what was told of refused tokens, at any time
        self._transport: asyncio.Transport | None = None
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            asked = message["operation"] if message["kind"] == "request" else {}
            if asked.get("operation") in ("audit_begin", "audit_end"):
                self.audited.append(asked)
                self.send("answer", id=message["id"], result={"number": len(self.audited)})
            elif message["kind"] == "refused":
                self.refused.put_nowait(message)
            else:
                self.messages.put_nowait(message)

    def send(self, kind: str, **facts: Any) -> None:
        self.write(json.dumps({"kind": kind, **facts}).encode() + b"\n")

    def write(self, line: bytes) -> None:
        assert self._transport is not None
        self._transport.write(line)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of this kind."""
        message = await asyncio.wait_for(self.messages.get(), PATIENCE_S)
        assert message["kind"] == kind, message
        return message

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


class Stage:
    """What a test holds."""

    trusted: ssl.SSLContext | None = None  # for a front that speaks TLS: whose certificates are
    taught = False  # whether calls find their heads known, see `teach`; the fixture `either_way` decides

    def __init__(self, port: int, workers: list[Worker], supervisor: Supervisor, data: Path, front: Front) -> None:
        self.port = port
        self.workers = workers
        self.supervisor = supervisor
        self.data = data
        self.front = front

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    @property
    def uploads(self) -> list[Path]:
        return sorted((self.data / "uploads").iterdir())

    @property
    def server(self) -> HttpServer:
        """The one of the API."""
        return self.front._servers[0][1]

    @property
    def direct_calls(self) -> int:
        """How many calls and requests for functions were served without being parsed."""
        return int(self.front._direct.count) + self.front._known_functions.count

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
        """One request on a connection of its own; the target goes out as it is."""
        request = request_bytes(method, target, body, **headers)
        if self.taught and method == "POST" and target.startswith("/v1/actors/"):
            await self.teach(request)
        return await self.exchange(request, head_only=method == "HEAD")

    async def exchange(self, request: bytes, *, head_only: bool = False) -> Response:
        """One request, byte for byte, on a connection of its own."""
        name = "localhost" if self.trusted else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trusted, server_hostname=name)
        try:
            writer.write(request)
            return await read_response(reader, head_only=head_only)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def teach(self, request: bytes) -> None:
        """Let the front see the head of this request once, for an actor type that nobody owns."""
        await self.exchange(b"POST /v1/actors/Nobody/n/m HTTP/1.1\r\n" + request.partition(b"\r\n")[2])

    async def deposit(self, name: str = "alice", body: bytes = b'{"amount":5}', **headers: str) -> Response:
        return await self.ask("POST", f"/v1/actors/Account/{name}/deposit", body, **headers)

    async def answered(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[Call, Response]:
        """A request that reaches the worker, which answers null: the call as it came, and the response."""
        task = asyncio.create_task(self.ask(method, target, body, **headers))
        getter = asyncio.create_task(self.worker.next_call())
        await asyncio.wait([task, getter], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            getter.cancel()
            raise AssertionError(task.result())
        call = await getter
        await self.worker.reply(call)
        return call, await task


def request_bytes(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it goes over the wire; `content_type` becomes Content-Type."""
    lines = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body and "transfer-encoding" not in lines:
        lines.setdefault("content-length", str(len(body)))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + body


async def read_response(reader: asyncio.StreamReader, *, head_only: bool = False) -> Response:
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif not head_only:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Response(int(first.split()[1]), headers, body)


@asynccontextmanager
async def staged(
    *,
    workers: int = 1,
    connected: bool = True,
    token: str | None = None,
    tokens: KnownTokens | None = None,
    limits: Limits | None = None,
    known_heads: bool = True,
    ui: bool = True,
    catalog: Catalog = CATALOG,
    edge: Edge | None = None,
    trusted: ssl.SSLContext | None = None,
    access_log: str = "",
    traces: bool = False,
    archive: str = "",
) -> AsyncIterator[Stage]:
    """A front that serves, with its workers connected unless told otherwise."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        listeners = [listen_at(f"{folder}/w{number}") for number in range(workers)]
        http = socket.create_server(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()
        _, supervisor = await loop.create_connection(Supervisor, sock=ours)
        front: Front | None = None

        def on_message(message: FrontStart | FrontNews | Stop) -> None:
            assert front is not None
            assert not isinstance(message, FrontStart | Stop)
            front.on_message(message)

        channel, control = await loop.create_connection(lambda: ControlChannel(on_message, lambda: None), sock=theirs)
        routing = Routing.over(workers, [f"{folder}/w{number}" for number in range(workers)])
        port = http.getsockname()[1]
        start = FrontStart(
            0,
            folder,
            http.detach(),
            f"http://127.0.0.1:{port}",
            "localhost",
            token,
            routing,
            catalog,
            limits or Limits(),
            known_heads=known_heads,
            tokens=tokens or KnownTokens(),
            ui=ui,
            edge=edge or Edge(),
            access_log=access_log,
            traces=traces,
            archive=archive,
        )
        front = Front(start, control)
        stage = Stage(port, [Worker(each) for each in listeners], supervisor, Path(folder), front)
        stage.trusted = trusted
        try:
            await front.start()
            await supervisor.next("ready")
            if connected:
                for worker in stage.workers:
                    await worker.accept(partitions=workers)
                await wait_ready(stage)
            yield stage
        finally:
            await front.aclose()
            for worker in stage.workers:
                await worker.aclose()
            supervisor.close()
            channel.close()
            await asyncio.sleep(0)  # the transports close their sockets in the loop's next turn


async def wait_ready(stage: Stage) -> None:
    """Returns when the front has read the workers' HELLOs."""
    for _ in itertools.count():
        if (await stage.ask("GET", "/health/readiness")).status == 200:
            return


async def until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds; the loop goes on meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        for _ in itertools.count():
            if condition():
                return
            await asyncio.sleep(0)


def content_of(request: dict[str, Any]) -> bytes:
    """What the supervisor finds in the file of a deploy request."""
    return Path(request["operation"]["component"]).read_bytes()


def listen_at(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    listener.setblocking(False)
    return listener
