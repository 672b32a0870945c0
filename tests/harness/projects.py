"""Projects of tests: written on the spot, and run under `holdfast dev`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.harness.caller import Caller
from tests.harness.host import HOLDFAST

PATIENCE_S = 300.0  # two builds and compiles on a busy machine


def write_project(directory: Path, name: str, source: str, *actors: tuple[str, str], further: str = "") -> Path:
    """A project with one module and these (binding, type) pairs; `further` lines belong to the last pair."""
    tables = "".join(f'\n[[actors]]\nbinding = "{binding}"\ntype = "{kind}"\n' for binding, kind in actors)
    manifest = f'name = "{name}"\nmain = "src/app.py"\ncompatibility_date = "2026-11-01"\n{tables}{further}'
    (directory / "src").mkdir(parents=True, exist_ok=True)
    (directory / "holdfast.toml").write_text(manifest)
    (directory / "src" / "app.py").write_text(source)
    return directory


def run(directory: Path, *command: str, host: str | None = None, fails: bool = False) -> str:
    """What a `holdfast` command prints, on both streams, run in a directory."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
    if host is not None:
        environment["HOLDFAST_HOST"] = host
    done = subprocess.run(
        [HOLDFAST, *command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == fails, f"holdfast {command} ended with {done.returncode}: {done.stderr}"
    return done.stderr + done.stdout


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class DevProcess:
    """`holdfast dev` in a directory; a context manager, which ends it with Ctrl-C.

    What it prints goes to `dev.out` beside the directory.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._out = directory.with_name(f"{directory.name}.dev.out")
        listen = self.url.removeprefix("http://")
        command = [HOLDFAST, "dev", *arguments, "--listen", listen, "--api", "127.0.0.1:0"]
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=directory, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def __enter__(self) -> DevProcess:
        """Wait until everything is deployed, or was refused."""
        try:
            self.wait_for("Save a file")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Press Ctrl-C."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        if kind is None:
            assert code == 0, self.printed

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return self._out.read_text(errors="replace")

    @property
    def api(self) -> str:
        """Where the host's API is."""
        found = re.search(r"API: (http://\S+)", self.printed)
        assert found is not None
        return found[1]

    def caller(self) -> Caller:
        """A connection to the address whose root is the first project."""
        return Caller(self.url)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return when it has printed something so many times."""
        deadline = time.monotonic() + PATIENCE_S
        while self.printed.count(text) < times:
            assert self._process.poll() is None, f"holdfast dev ended: {self.printed}"
            assert time.monotonic() < deadline, f"{text!r} was not printed: {self.printed}"
            time.sleep(0.02)
