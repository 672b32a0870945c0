"""A PostgreSQL server for tests, of Debian's newest release that is installed, and stores on it.

One server a process of the test run, made when a test first asks for it, on a Unix socket and a free port of loopback;
a database for each store. Where there is none the tests are skipped, but not in CI.
"""

from __future__ import annotations

import atexit
import itertools
import os
import queue
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.core.failures import required
from holdfast_host.core.limits import Limits
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.postgres.owning import make_tables, start_host
from holdfast_host.storage.postgres.postgres_store import PostgresStore
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.storage.store import Batch, CommitReport, StoreBrokenError
from tests.harness import processes

WAIT_S = 20.0
HOST = "test"
_names = itertools.count(1)


def programs() -> Path | None:
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    return found[-1].parent if found else None


def _as_server() -> list[str]:
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


class Server:
    """One PostgreSQL server; a test may stop it hard and start it again."""

    address = "127.0.0.1"
    launcher: tuple[str, ...] = ()  # what each of its programs is run by

    def __init__(
        self, binaries: Path, settings: Sequence[str] = (), *, of: Server | None = None, on_disk: bool = False
    ) -> None:
        """`of` is the one whose standby it is; on disk it costs what a host's own files cost there."""
        self._binaries = binaries
        memory = "/dev/shm" if Path("/dev/shm").is_dir() and not on_disk else None
        self.root = Path(tempfile.mkdtemp(prefix="holdfast-pg-", dir=memory))
        if os.geteuid() == 0:
            shutil.chown(self.root, "postgres", "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        if of is None:
            known = ("-A", "trust", "-U", "holdfast", "-N", "--no-locale", "-E", "UTF8")
            self._run("initdb", "-D", str(self.data), *known)
        else:
            at = ("-h", "127.0.0.1", "-p", str(of.port), "-U", "holdfast")
            self._run("pg_basebackup", "-D", str(self.data), *at, "-R", "-X", "stream", "-c", "fast")
        further = "\n".join(settings)
        if os.geteuid() == 0:
            owned: dict[str, Any] = {"user": "postgres"}
        else:
            owned = {}
        subprocess.run(
            ["tee", "-a", str(self.data / "postgresql.conf")],
            input=(
                f"port = {self.port}\nlisten_addresses = '{self.address}'\nunix_socket_directories = '{self.root}'\n"
                f"max_connections = 60\nshared_buffers = 32MB\nmin_wal_size = 32MB\nmax_wal_size = 128MB\n"
                f"fsync = on\nautovacuum = off\nwal_level = replica\n{further}\n"
            ).encode(),
            stdout=subprocess.DEVNULL,
            check=True,
            **owned,
        )
        self.start()

    @property
    def data(self) -> Path:
        return self.root / "data"

    def dsn(self, database: str) -> str:
        return f"postgresql://holdfast@{self.address}:{self.port}/{database}"

    def near_dsn(self, database: str) -> str:
        """By its Unix socket, whatever has become of the net."""
        return f"postgresql://holdfast@/{database}?host={self.root}&port={self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.root / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: what was not on disk is not there afterwards."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    @property
    def pid(self) -> int:
        """Of the process that all others come from."""
        return int((self.data / "postmaster.pid").read_text().split("\n")[0])

    def send(self, signal_number: signal.Signals) -> None:
        """To all of its processes at once, as a machine that stops, or loses power."""
        every = [self.pid, *processes.children_of(self.pid)]
        for pid in every:
            processes.send(pid, signal_number)

    def execute(self, statement: str, *parameters: Any, database: str = "postgres") -> list[Any]:
        """As its operator."""
        with psycopg.connect(self.near_dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        """Stop it and take its files away."""
        try:
            pid = self.pid
            self.send(signal.SIGCONT)
            os.kill(pid, signal.SIGQUIT)
            end = time.monotonic() + WAIT_S
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.02)
        except (OSError, ValueError):
            pass
        shutil.rmtree(self.root, ignore_errors=True)

    def new_database(self) -> str:
        """The address of an empty one."""
        name = f"t{next(_names)}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.launcher, *_as_server(), str(self._binaries / program), *arguments]
        done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode(errors="replace")


@cache
def server() -> Server:
    """The server of this process, for who does not stop it."""
    made = new_server()
    atexit.register(made.remove)
    return made


def new_server(*settings: str, on_disk: bool = False) -> Server:
    """One more, with these lines in its settings; the test is skipped where none is installed, but not in CI."""
    binaries = programs()
    if binaries is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: `make apt` does that")
        pytest.skip("PostgreSQL is not installed")
    return Server(binaries, settings, on_disk=on_disk)


def new_store(workers: int = 1) -> tuple[StoreAddress, int]:
    """The address of a new store that a host of so many workers has started on, and the host's life."""
    address = StoreAddress(server().new_database(), "single")
    with psycopg.connect(address.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
        make_tables(connection)
        return address, required(start_host(connection, HOST, workers), "the life of a host that is alone")


def store_options(on: Server | None = None) -> tuple[str, str, str, str]:
    """Options of `serve` for a host on a new store."""
    dsn = (on or server()).new_database()
    with psycopg.connect(dsn, autocommit=True) as connection:
        make_tables(connection)
    return "--store", dsn, "--durability", "single"


class Pump:
    """A leader that does nothing but what a store asks of it, on a thread of its own."""

    def __init__(self) -> None:
        self._actions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._epoll = select.epoll()
        self._epoll.register(self._woken.fileno(), select.EPOLLIN)
        self._ready: Callable[[int], None] = lambda events: None
        self.reports: queue.SimpleQueue[CommitReport | StoreBrokenError] = queue.SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def post(self, action: Callable[[], None]) -> None:
        self._actions.put(action)
        self._wake.send(b"x")

    def step_out(self) -> bool:
        assert threading.current_thread() is not self._thread, "the leader waits for itself"
        return False

    def step_back(self) -> None:
        raise AssertionError("nobody has stepped out")

    def watch(self, fd: int, ready: Callable[[int], None]) -> None:
        self._ready = ready
        self._epoll.register(fd, select.EPOLLIN)

    def watch_writing(self, fd: int, *, writing: bool) -> None:
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if writing else 0))

    def settled(self, report: CommitReport) -> None:
        self.reports.put(report)

    def broken(self, error: StoreBrokenError) -> None:
        self.reports.put(error)

    def post_aside(self, action: Callable[[], object]) -> None:
        """On a thread of its own."""
        threading.Thread(target=action, daemon=True).start()

    def close(self) -> None:
        self._over = True
        self.post(lambda: None)
        self._thread.join()
        for each in (self._wake, self._woken, self._epoll):
            each.close()

    def _run(self) -> None:
        while not self._over:
            for fd, events in self._epoll.poll():
                if fd == self._woken.fileno():
                    self._woken.recv(4096)
                    while not self._actions.empty():
                        self._actions.get()()
                else:
                    self._ready(events)


class PumpedStore:
    """A PostgresStore whose `commit` waits, as a store's on files does; all else is its own."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.pump = Pump()
        store.attach(self.pump)

    @classmethod
    def open(cls, address: StoreAddress, life: int, limits: Limits, worker: int = 0) -> PumpedStore:
        return cls(PostgresStore.open(address, HOST, life, worker, limits))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def begin(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> None:
        """Send it; `report` waits for what becomes of it."""

        def send() -> None:
            try:
                self._store.commit(group, batches, leans)
            except StoreBrokenError as error:
                self.pump.reports.put(error)

        self.pump.post(send)

    def report(self) -> CommitReport:
        report = self.pump.reports.get(timeout=WAIT_S)
        if isinstance(report, StoreBrokenError):
            raise report
        return report

    def commit(self, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        self.begin(group, batches, leans)
        return self.report()

    def close(self) -> None:
        self.pump.close()
        self._store.close()


@contextmanager
def opened(limits: Limits | None = None) -> Iterator[PumpedStore]:
    """A new store, opened."""
    address, life = new_store()
    store = PumpedStore.open(address, life, limits or Limits())
    try:
        yield store
    finally:
        store.close()
