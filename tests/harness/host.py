"""A real host for tests: `holdfast serve` as a process, on a free port, with its own data directory."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.harness import processes
from tests.harness.caller import Caller

PROJECT = Path(__file__).resolve().parents[2]
HOLDFAST = str(Path(sys.executable).parent / "holdfast")
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0

_URL = re.compile(r"https?://[\w.\[\]:-]+:\d+")
_ROLES = {
    "holdfast_host.worker": "worker",
    "mutants.worker": "worker",
    "benchmarks.metered worker": "worker",
    "holdfast_host.front": "front",
    "mutants.front": "front",
    "holdfast_host.courier": "courier",
}


class HostProcess:
    """One host, which may die and be started again on the same port and data; a context manager.

    Its output goes to `host.out` and `host.err` beside the data directory. For one thread, except `kill`.

    Args:
        data: the data directory.
        options: further options of `holdfast serve`.
        command: what runs `serve`, `holdfast` itself unless a test brings its own entry point.
        environment: variables on top of this process's.
        ready_timeout_s: how long it may take to start.
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        command: Sequence[str] = (HOLDFAST,),
        environment: Mapping[str, str] | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
    ) -> None:
        self.data = data
        self._ready_timeout_s = ready_timeout_s
        self.options = options
        self.command = tuple(command)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
        self.environment = {**inherited, **(environment or {})}
        self.url = ""
        self.trusted: ssl.SSLContext | None = None  # for a host that speaks TLS: whose certificates are
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, str] = {}  # with when each began

    def __enter__(self) -> HostProcess:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it in order; after a failed test, kill what is left."""
        if kind is None and self.is_running:
            self.stop()
        else:
            self.kill_all()

    @property
    def is_running(self) -> bool:
        """True while the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the host has written to stderr since its last start."""
        return self._file("err").read_text(errors="replace")

    def start(self) -> None:
        """Start the host and return when it says that it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the host, which may have to stand by until another one has ended."""
        assert not self.is_running
        self.data.parent.mkdir(parents=True, exist_ok=True)
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        command = [*self.command, "serve", "--listen", listen, "--data", str(self.data), *self.options]
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.environment,
                start_new_session=True,
            )
        self._seen = {self._process.pid: processes.start_of(self._process.pid)}

    def await_ready(self) -> None:
        """Return when it says that it is ready."""
        self.url = self._wait_for_url()
        self.pids()

    def caller(self, **options: float) -> Caller:
        """A new connection to this host."""
        return Caller(self.url, trusted=self.trusted, **options)

    def pids(self) -> dict[str, list[int]]:
        """The running processes by role: `supervisor`, `front`, `worker` (in the order of their partitions).

        And `courier`, where a function asks outside.
        """
        assert self._process is not None
        found: dict[str, list[int]] = {"supervisor": [self._process.pid], "front": [], "worker": []}
        for pid, command in processes.children_of(self._process.pid).items():
            for module, role in _ROLES.items():
                if module in command and processes.is_running(pid):
                    found.setdefault(role, []).append(pid)
        found["front"].sort()
        found["worker"].sort(key=lambda pid: (sorted(processes.partitions_of(pid)), pid))
        self._seen |= {pid: processes.start_of(pid) for pids in found.values() for pid in pids}
        return found

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL, index: int = 0) -> int:
        """Send a signal to one process of that role and return when it has had its effect; its pid."""
        pid = self.pids()[role][index]
        processes.send(pid, number)
        return pid

    def kill_all(self) -> None:
        """SIGKILL for every process at once; returns when all are gone."""
        if self._process is None:
            return
        self.pids()
        for pid in self._own():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self.assert_nothing_left()

    def _own(self) -> list[int]:
        """Those of the processes seen that are there; the numbers of others have perhaps been given to strangers."""
        return sorted(pid for pid, began in self._seen.items() if began and processes.start_of(pid) == began)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """The exit code of a host that ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def restart(self) -> float:
        """Start it again after its death; the seconds until it was ready."""
        began = time.monotonic()
        self.start()
        return time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it in order: exit 0, and no process left."""
        assert self._process is not None
        self.pids()
        self._process.send_signal(number)
        code = self._process.wait(STOP_TIMEOUT_S)
        assert code == 0, f"the host ended with {code}:\n{self._tail()}"
        self.assert_nothing_left()

    def assert_nothing_left(self, timeout_s: float = 5.0) -> None:
        """Every process that this host was seen to have is gone."""
        left = processes.wait_until_gone(self._own(), timeout_s)
        assert not left, f"processes {left} outlived the host"

    def _wait_for_url(self) -> str:
        assert self._process is not None
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline:
            ended = self._process.poll()
            text = self._file("out").read_text(errors="replace")
            if (found := _URL.search(text)) and text.endswith("\n"):
                return found.group()
            if ended is not None:
                raise AssertionError(f"the host ended with {ended} before it was ready:\n{self._tail()}")
            time.sleep(0.005)
        self.kill_all()
        raise AssertionError(f"the host was not ready within {self._ready_timeout_s} s:\n{self._tail()}")

    def _file(self, stream: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{stream}")

    def _tail(self) -> str:
        return "\n".join(self._file("out").read_text().splitlines()[-5:] + self.log.splitlines()[-40:])
