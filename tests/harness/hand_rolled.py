"""The account server that people write by hand, `tests/benchmarks/peers/account.c`: compiled, started, killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.harness.components import PROJECT
from tests.harness.projects import free_port

SOURCE = PROJECT / "tests" / "benchmarks" / "peers" / "account.c"


class NoCompilerError(Exception):
    """There is no C compiler; the message says how to get one."""


def compile_account(program: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Compile the server, after these changes of its source: old lines by new ones, each of which must be there."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("no C compiler: make apt")
    text = SOURCE.read_text()
    for old, new in (changes or {}).items():
        assert old in text, f"{SOURCE.name} has no line {old!r}"
        text = text.replace(old, new)
    program.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-pthread", "-xc", "-o", str(program), "-"]
    subprocess.run(command, input=text, text=True, check=True)
    return program


class HandRolledServer:
    """One such server with its log, which may be killed and started again on the same port."""

    def __init__(self, program: Path, log: Path) -> None:
        self._port = free_port()
        self._command = [str(program), str(self._port), str(log)]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, f"the server by hand ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "the server by hand does not listen"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.01)

    def restart(self) -> None:
        """Start it again after its death."""
        self.start()

    def kill_all(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
