"""The actors of the conformance suite that try the doors to what actors do not have, and run on an event loop."""

# ruff: noqa: SIM115

import _thread
import asyncio
import concurrent.futures
import glob
import http.client
import io
import logging
import multiprocessing
import os
import pathlib
import queue
import select
import selectors
import shutil
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from asyncio import sleep as copied_sleep
from builtins import open as copied_open
from collections.abc import Callable
from typing import Any

from holdfast import StatefulActor

HOST = ("192.0.2.1", 80)


def take_twice() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def submit(pool: Any) -> None:
    pool().submit(print)


def run(coroutine: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: asyncio.run(coroutine())


async def add_reader() -> None:
    asyncio.get_running_loop().add_reader(0, print)


NETWORK: dict[str, Callable[[], Any]] = {
    "socket": socket.socket,
    "create_connection": lambda: socket.create_connection(HOST),
    "getaddrinfo": lambda: socket.getaddrinfo("example.com", 80),
    "gethostbyname": lambda: socket.gethostbyname("example.com"),
    "urlopen": lambda: urllib.request.urlopen("http://example.com"),
    "urlopen tls": lambda: urllib.request.urlopen("https://example.com"),
    "http.client": lambda: http.client.HTTPConnection("example.com").request("GET", "/"),
    "http.client tls": lambda: http.client.HTTPSConnection("example.com").request("GET", "/"),
    "smtplib": lambda: smtplib.SMTP("example.com"),
    "ssl": lambda: ssl.get_server_certificate(HOST),
    "ssl socket": lambda: ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="example.com"),
    "select": lambda: select.select([], [], [], 0.1),
    "poll": lambda: select.poll(),
    "selectors": lambda: selectors.DefaultSelector().select(0.1),
    "asyncio streams": run(lambda: asyncio.open_connection(*HOST)),
    "asyncio server": run(lambda: asyncio.start_server(print, *HOST)),
    "asyncio reader": run(add_reader),
}
THREADS: dict[str, Callable[[], Any]] = {
    "Thread": lambda: threading.Thread(target=print).start(),
    "Timer": lambda: threading.Timer(1, print).start(),
    "_thread": lambda: _thread.start_new_thread(print, ()),
    "ThreadPoolExecutor": lambda: submit(concurrent.futures.ThreadPoolExecutor),
    "to_thread": run(lambda: asyncio.to_thread(print)),
    "Event": lambda: threading.Event().wait(),
    "Event with a timeout": lambda: threading.Event().wait(1),
    "Lock": take_twice,
    "Queue": lambda: queue.Queue().get(),
    "SimpleQueue": lambda: queue.SimpleQueue().get(),
    "Future": lambda: concurrent.futures.Future().result(),
}
FILES: dict[str, Callable[[], Any]] = {
    "open": lambda: open("/etc/passwd"),
    "open to write": lambda: open("x.txt", "w"),
    "a copied open": lambda: copied_open("/etc/passwd"),
    "io.FileIO": lambda: io.FileIO("/etc/passwd"),
    "os.open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "os.listdir": lambda: os.listdir("/"),
    "os.scandir": lambda: os.scandir("/"),
    "os.walk": lambda: list(os.walk("/")),
    "os.stat": lambda: os.stat("/etc/passwd"),
    "os.mkdir": lambda: os.mkdir("/tmp/x"),
    "os.remove": lambda: os.remove("/tmp/x"),
    "os.rename": lambda: os.rename("/tmp/x", "/tmp/y"),
    "pathlib read": lambda: pathlib.Path("/etc/passwd").read_text(),
    "pathlib write": lambda: pathlib.Path("x.txt").write_text("x"),
    "pathlib list": lambda: list(pathlib.Path("/").iterdir()),
    "glob": lambda: glob.glob("/*"),
    "shutil.copy": lambda: shutil.copy("/etc/passwd", "x.txt"),
    "shutil.rmtree": lambda: shutil.rmtree("/tmp/x"),
    "mkstemp": tempfile.mkstemp,
    "TemporaryFile": tempfile.TemporaryFile,
    "NamedTemporaryFile": tempfile.NamedTemporaryFile,
    "TemporaryDirectory": tempfile.TemporaryDirectory,
    "sqlite3": lambda: sqlite3.connect("x.db"),
    "FileHandler": lambda: logging.FileHandler("x.log"),
    "its own source": lambda: open(__file__),
}
PROCESSES: dict[str, Callable[[], Any]] = {
    "subprocess.run": lambda: subprocess.run(["ls"]),
    "subprocess.Popen": lambda: subprocess.Popen("ls", shell=True),
    "check_output": lambda: subprocess.check_output(["ls"]),
    "os.system": lambda: os.system("ls"),
    "os.fork": lambda: os.fork(),
    "os.execv": lambda: os.execv("/bin/ls", ["ls"]),
    "os.popen": lambda: os.popen("ls"),
    "os.kill": lambda: os.kill(1, 0),
    "Process": lambda: multiprocessing.Process(target=print).start(),
    "Pool": lambda: multiprocessing.Pool(2),
    "multiprocessing.Queue": lambda: multiprocessing.Queue(),
    "ProcessPoolExecutor": lambda: submit(concurrent.futures.ProcessPoolExecutor),
    "asyncio subprocess": run(lambda: asyncio.create_subprocess_exec("ls")),
}
TIME: dict[str, Callable[[], Any]] = {
    "asyncio.sleep": run(lambda: asyncio.sleep(0.01)),
    "a copied asyncio.sleep": run(lambda: copied_sleep(1)),
    "wait_for a sleep": run(lambda: asyncio.wait_for(asyncio.sleep(1), 5)),
}
SIGNALS: dict[str, Callable[[], Any]] = {
    "alarm": lambda: signal.alarm(1),
    "setitimer": lambda: signal.setitimer(0, 1),
}
INPUT: dict[str, Callable[[], Any]] = {
    "input": lambda: input(),
    "input with a prompt": lambda: input("Your name? "),
    "sys.stdin.read": lambda: sys.stdin.read(),
    "sys.stdin.readline": lambda: sys.stdin.readline(),
    "lines": lambda: list(sys.stdin),
}


def make_task() -> Any:
    begun = asyncio.sleep(0)
    try:
        return asyncio.create_task(begun)
    finally:
        begun.close()


LOOP: dict[str, Callable[[], Any]] = {
    "get_event_loop": lambda: asyncio.get_event_loop(),
    "get_running_loop": lambda: asyncio.get_running_loop(),
    "through a module": lambda: asyncio.events.get_running_loop(),
    "create_task": make_task,
}
DOORS = {
    "network": NETWORK, "threads": THREADS, "files": FILES, "processes": PROCESSES, "time": TIME, "signals": SIGNALS,
    "input": INPUT, "loop": LOOP,
}  # fmt: skip


class Doors(StatefulActor):
    """Tries doors, and goes on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tried = 0

    def knock(self, kind: str) -> dict[str, list[str]]:
        """What each door of that kind says: the exception's class, its bases, its text."""
        return {name: self._knock(door) for name, door in DOORS[kind].items()}

    def _knock(self, door: Callable[[], Any]) -> list[str]:
        self.tried += 1
        try:
            return ["none", "", repr(door())]
        except Exception as error:
            kind = "OSError" if isinstance(error, OSError) else ""
            return [type(error).__name__, kind, str(error)]

    def how_many(self) -> int:
        """How many doors this activation has tried."""
        return self.tried

    def uncaught(self) -> None:
        open("/etc/passwd")

    def harmless(self) -> list[Any]:
        """What looks like a door and is none."""
        with sqlite3.connect(":memory:") as database:
            [row] = database.execute("SELECT 1").fetchall()
        with tempfile.SpooledTemporaryFile() as spooled:
            spooled.write(b"x")
            size = spooled.tell()
        lock = threading.Lock()
        with lock:
            taken = lock.acquire(blocking=False)
        ready: queue.Queue[int] = queue.Queue()
        ready.put(1)
        return [
            list(row), size, taken, ready.get(), threading.Event().wait(0), os.path.exists("/etc/passwd"),
            pathlib.Path("/etc").is_dir(), ssl.create_default_context().check_hostname,
        ]  # fmt: skip


class Awaits(StatefulActor):
    """What runs on an event loop alone."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lock = asyncio.Lock()
        self.items: asyncio.Queue[int] = asyncio.Queue()

    async def gather(self, count: int) -> list[Any]:
        """Plain coroutines, which take turns at `sleep(0)`."""
        seen: list[str] = []

        async def one(name: int) -> int:
            for step in range(2):
                seen.append(f"{name}.{step}")
                await asyncio.sleep(0)
            return name

        return [await asyncio.gather(*(one(each) for each in range(count))), seen]

    async def group(self) -> Any:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(self._stored("a"))
            second = tasks.create_task(self._stored("b"))
        return [first.result(), second.result()]

    async def group_that_fails(self) -> Any:
        async def fail() -> None:
            raise ValueError("one of them")

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                tasks.create_task(asyncio.Event().wait())
        except ExceptionGroup as group:
            return [str(each) for each in group.exceptions]

    async def waits_within_time(self) -> Any:
        async with asyncio.timeout(5):
            done, left = await asyncio.wait([asyncio.ensure_future(self._stored(each)) for each in "ab"])
        return [len(done), len(left), await asyncio.wait_for(self._stored("c"), 5)]

    async def hands_over(self) -> list[int]:
        async def give() -> None:
            for each in range(3):
                async with self.lock:
                    await self.items.put(each)
                    await asyncio.sleep(0)

        async def take() -> list[int]:
            taken = [await self.items.get() for _ in range(3)]
            async with self.lock:
                return taken

        return (await asyncio.gather(give(), take()))[1]

    async def generates(self) -> list[int]:
        async def numbers() -> Any:
            for each in range(3):
                await asyncio.sleep(0)
                yield each

        return [each async for each in numbers()]

    def runs(self) -> Any:
        return asyncio.run(self._stored("run"))

    async def leaves_a_task(self) -> str:
        async def later() -> None:
            await asyncio.sleep(0)
            await asyncio.Event().wait()

        self.left = asyncio.create_task(later())
        await asyncio.sleep(0)
        return "done"

    async def was_left(self) -> bool:
        return self.left.cancelled()

    async def stuck(self, kind: str) -> Any:
        """A wait that nothing ends, caught at its await."""
        waits: dict[str, Callable[[], Any]] = {
            "event": lambda: asyncio.Event().wait(),
            "queue": lambda: asyncio.Queue().get(),
            "future": lambda: asyncio.get_running_loop().create_future(),
            "gather": lambda: asyncio.gather(asyncio.Event().wait(), self._stored("x")),
            "task": lambda: asyncio.create_task(asyncio.Event().wait()),
            "timeout": lambda: asyncio.wait_for(asyncio.Event().wait(), 1),
        }
        try:
            await waits[kind]()
        except RuntimeError as error:
            return str(error)

    async def stuck_for_good(self) -> None:
        self.ctx.storage.put("never", 1)
        await asyncio.Event().wait()

    async def sleeps(self, seconds: float) -> Any:
        try:
            return await asyncio.sleep(seconds, "slept")
        except RuntimeError as error:
            return str(error)

    async def awaits(self, kind: str) -> None:
        """What needs no await, awaited."""
        storage = self.ctx.storage
        if kind == "get":
            await storage.get("x", 0)
        elif kind == "put":
            await storage.put("x", 1)  # type: ignore[func-returns-value, misc]
        elif kind == "stub":
            await self.env.AWAITS.id_from_name("callee").runs()
        elif kind == "gather":
            await asyncio.gather(storage.get("x", 0))
        elif kind == "scan":
            async for _ in storage.scan():  # type: ignore[attr-defined]
                pass
        elif kind == "transaction":
            async with storage.transaction():  # type: ignore[attr-defined]
                pass

    async def calls(self) -> Any:
        """A call of another instance that runs a loop of its own."""
        return [self.env.AWAITS.id_from_name("callee").runs(), await self._stored("after")]

    async def blocks(self) -> Any:
        return self.ctx.block_concurrency_while(lambda: self._stored("block"))

    async def _stored(self, key: str) -> str:
        self.ctx.storage.put(key, key)
        await asyncio.sleep(0)
        return str(self.ctx.storage.get(key))
