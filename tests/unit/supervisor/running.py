"""A supervisor with fake children as a test sees it: its processes, what they noted, and its sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from holdfast_host.supervisor.processes.listeners import remove_leftover
from tests.harness import processes

ROOT = Path(__file__).parents[3]


def wait_until(condition: Callable[[], Any], limit_s: float = 15.0) -> Any:
    """What the condition returns as soon as it is true."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


class RunningHost:
    """Starts on demand; `close` leaves nothing running."""

    def __init__(self, folder: Path, workers: int = 1, stop_s: float = 10.0) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.workers = workers
        self.stop_s = stop_s
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self, *, wait: bool = True) -> dict[str, Any]:
        """Start the supervisor; what it announced."""
        self.log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.unit.supervisor.fake_host",
                str(self.data),
                str(self.workers),
                str(self.stop_s),
            ],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "HOLDFAST_FAKE": str(self.folder)},
        )
        self.log.close()
        return self.wait_ready() if wait else {}

    def wait_ready(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        announced: dict[str, Any] = json.loads(line)
        self.port = int(announced["url"].rpartition(":")[2])
        return announced

    def misbehave(self, *lines: str) -> None:
        """From now on children do this, as `worker die-at-start`."""
        fresh = self.folder / "behaviour.new"
        fresh.write_text("\n".join(lines))
        fresh.replace(self.folder / "behaviour")

    def events(self) -> list[str]:
        """What the children noted, in order."""
        path = self.folder / "events"
        return path.read_text().splitlines() if path.exists() else []

    def text(self) -> str:
        """The log."""
        return (self.folder / "log").read_text()

    def pids(self, role: str) -> list[int]:
        """Every process of this role that was ever started, in order."""
        return [int(found) for found in re.findall(rf"supervisor {role} \d+ started pid=(\d+)", self.text())]

    def begin(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Ask through the front, over the port; the lines of the answer as they come."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as caller:
            caller.sendall(
                json.dumps({"operation": operation, "arguments": {"tenant": "default", **arguments}}).encode() + b"\n"
            )
            with caller.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)

    def ask(self, operation: str, **arguments: Any) -> list[dict[str, Any]]:
        """All lines of the answer."""
        return list(self.begin(operation, **arguments))

    def who(self) -> dict[str, Any]:
        """The front that answers on the port."""
        return self.ask("who")[0]

    def runtime(self) -> Path:
        """The folder of the workers' sockets, as the lock's text names it."""
        return Path(json.loads((self.data / "lock").read_text())["runtime"])

    def worker(self, number: int, operation: str = "who") -> dict[str, Any]:
        """Ask the worker that answers on this socket."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(20)
            caller.connect(str(self.runtime() / f"w{number}"))
            caller.sendall(json.dumps({"operation": operation}).encode() + b"\n")
            found: dict[str, Any] = json.loads(caller.makefile("rb").readline() or b"{}")
            return found

    def deploy(self, function: str, component: str, manifest: str | None = None, **consent: bool) -> dict[str, Any]:
        """Deploy as a front does; the answer, with the stages."""
        upload = self.data / "uploads" / f"{time.monotonic_ns()}"
        upload.write_text(component)
        *stages, answer = self.ask("deploy", function=function, component=str(upload), manifest=manifest, **consent)
        assert not upload.exists()
        return {**answer, "stages": [each["stage"] for each in stages]}

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor; returns when it has had its effect."""
        assert self.process is not None
        processes.send(self.process.pid, number)

    def wait(self) -> int:
        """The exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        code = self.process.wait(30)
        self.process.stdout.close()
        return code

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL to the supervisor; returns when its children are gone too."""
        assert self.process is not None
        assert self.process.stdout is not None
        children = [*self.pids("worker"), *self.pids("front")]
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        wait_until(lambda: not any(processes.is_running(pid) for pid in children))

    def close(self) -> None:
        """Leave no process and no folder outside the test's own."""
        if self.process is not None:
            self.kill()
            if text := (self.data / "lock").read_text():
                remove_leftover(json.loads(text)["runtime"])
