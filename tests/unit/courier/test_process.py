"""The courier as a process: what a worker writes on its socket, and what it reads there."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast_host.core.limits import Limits
from holdfast_host.supervisor.processes.child import Child, Programs, spawn_child
from holdfast_host.wire.calls.frames import FrameReader
from holdfast_host.wire.calls.outbound import (
    Ask,
    OutboundKind,
    pack_answer,
    pack_ask,
    pack_cancel,
    pack_hello,
    unpack_answer,
)
from holdfast_host.wire.control.catalog import Outbound
from holdfast_host.wire.control.protocol import ChildNews, Done, Measure, Measured, NewLimits, Ready, Stop, TakeGrants
from holdfast_host.wire.control.starts import CourierStart
from tests.unit.courier.servers import LOCAL, RawServer, Seen, answer, raw_server


class Worker:
    """A worker's end of the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        writer.write(pack_hello())
        self._frames = FrameReader()
        self._read: list[tuple[int, int, bytes]] = []

    def ask(self, serial: int, url: str, function: str = "asker", budget_ms: int = 30_000) -> None:
        request = json.dumps({"method": "GET", "url": url}).encode()
        self.writer.write(pack_ask(Ask(serial, budget_ms, function, request)))

    async def answered(self) -> tuple[int, int, Any]:
        """The next answer: serial, status, and what is in it."""
        while not self._read:
            data = await self._reader.read(1 << 16)
            if not data:
                raise EOFError
            frames = self._frames.feed(data)
            self._read += [unpack_answer(payload) for kind, payload in frames if kind == OutboundKind.ANSWER]
        serial, status, body = self._read.pop(0)
        return serial, status, json.loads(body)


class Bench:
    """A courier over its own listening socket."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "courier")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.ready = asyncio.Event()
        self.child: Child | None = None
        self._workers: list[Worker] = []

    def _hear(self, message: ChildNews) -> None:
        if isinstance(message, Ready):
            self.ready.set()

    async def start(self) -> Child:
        self.ready.clear()
        start = CourierStart(
            listen_fd=self.listener.fileno(),
            limits=Limits(),
            outbound=("http://*",),
            outbound_private=((LOCAL, None),),
            functions={"asker": Outbound(("http://*",))},
        )
        self.child = await spawn_child(
            "courier", Programs().courier, lambda: start, (self.listener.fileno(),), self._hear
        )
        return self.child

    async def connect(self) -> Worker:
        worker = Worker(*await asyncio.open_unix_connection(self.path))
        self._workers.append(worker)
        return worker

    async def aclose(self) -> None:
        for worker in self._workers:
            worker.writer.close()
            await asyncio.gather(worker.writer.wait_closed(), return_exceptions=True)
        if self.child is not None:
            self.child.kill()
            await self.child.ended
        self.listener.close()


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[tuple[Bench, RawServer]]:
    """A bench without a courier yet, and a server where `/never` is not answered."""

    async def handle(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.path != "/never":
            writer.write(answer(b"hello"))

    made = Bench(folder)
    async with raw_server(handle) as server:
        try:
            yield made, server
        finally:
            await made.aclose()


def test_what_is_asked_before_there_is_a_courier_is_sent_when_it_comes(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            worker = await made.connect()
            worker.ask(7, server.url)
            child = await made.start()

            assert (await worker.answered())[:2] == (7, 200)
            child.send(Stop())
            assert await child.ended == 0

    asyncio.run(run())


def test_a_slow_answer_holds_up_no_other_and_one_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            child = await made.start()
            worker = await made.connect()
            worker.ask(1, f"{server.url}/never")
            worker.ask(2, f"{server.url}/never", budget_ms=50)
            worker.ask(3, server.url)

            assert (await worker.answered())[0] == 3
            assert (await worker.answered())[:2] == (2, 504)
            worker.writer.write(pack_cancel(1))
            worker.ask(4, server.url)
            assert (await worker.answered())[0] == 4
            measured = (await child.ask(Measure(), Measured)).measures
            assert measured["under_way"] == measured["held_bytes"] == 0
            assert measured["requests"] == {"answered": 2, "OutboundTimeoutError": 1}

    asyncio.run(run())


def test_a_request_after_new_limits_has_their_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            child = await made.start()
            worker = await made.connect()
            child.send(NewLimits(Limits(outbound_timeout_s=0.05)))
            await child.ask(Measure(), Measured)
            worker.ask(1, f"{server.url}/never")

            assert (await worker.answered())[:2] == (1, 504)

    asyncio.run(run())


def test_the_courier_dies_and_its_worker_sees_that_at_once_and_a_new_one_serves(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            child = await made.start()
            worker = await made.connect()
            worker.ask(1, f"{server.url}/never")
            worker.ask(2, server.url)
            assert (await worker.answered())[0] == 2
            child.kill()
            await child.ended
            try:
                await worker.answered()
                ended = False
            except EOFError:
                ended = True
            await made.start()
            again = await made.connect()
            again.ask(1, server.url)

            assert ended
            assert (await again.answered())[:2] == (1, 200)

    asyncio.run(run())


def test_what_a_function_may_ask_changes_with_a_deploy(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            child = await made.start()
            worker = await made.connect()
            worker.ask(1, server.url)
            assert (await worker.answered())[:2] == (1, 200)
            await child.ask(TakeGrants({"other": Outbound(("http://*",))}), Done)
            worker.ask(2, server.url)
            worker.ask(3, server.url, "other")

            answers = {serial: (status, facts) for serial, status, facts in [await worker.answered() for _ in range(2)]}
            assert answers[2][0] == 500
            assert answers[2][1]["error"]["name"] == "OutboundDeniedError"
            assert answers[3][0] == 200

    asyncio.run(run())


def test_a_worker_that_breaks_the_protocol_loses_its_link_and_no_other_does(tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(tmp_path) as (made, server):
            await made.start()
            good, bad = await made.connect(), await made.connect()
            bad.writer.write(pack_answer(1, 200, b""))
            try:
                await bad.answered()
                cut = False
            except EOFError:
                cut = True
            good.ask(1, server.url)

            assert cut
            assert (await good.answered())[:2] == (1, 200)

    asyncio.run(run())


def test_a_courier_loads_neither_sandbox_nor_store() -> None:
    """It has no part of what holds guests or data."""
    code = (
        "import sys, holdfast_host.courier.main;"
        "print([name for name in sys.modules if name.split('.')[0] in ('wasmtime', 'lmdb')"
        " or name.startswith(('holdfast_host.sandbox', 'holdfast_host.storage', 'holdfast_host.front'))])"
    )

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
        assert printed == b"[]\n"

    asyncio.run(run())
