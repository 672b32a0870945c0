"""`make demo`, and the script behind it, in a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.caller import Caller
from tests.harness.components import PROJECT, TestComponent, compiled_once

TO_TRY = r"H=(http://\S+)/v1/actors/Account"

pytestmark = pytest.mark.slow


class Terminal:
    """A command in a terminal of its own, and what it has printed."""

    def __init__(self, *command: str) -> None:
        self.printed = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(PROJECT)
            os.execv(command[0], command)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def read_until(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Return when what it prints matches."""
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.printed)):
            assert time.monotonic() < deadline, f"{pattern!r} was not printed in time:\n{self.printed}"
            if select.select([self._fd], [], [], 0.2)[0]:
                try:
                    self.printed += os.read(self._fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"it ended before it printed {pattern!r}:\n{self.printed}") from None
        return found

    def exit_code(self, timeout_s: float) -> int:
        """Read on to its end."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if select.select([self._fd], [], [], 0.2)[0]:
                    self.printed += os.read(self._fd, 65536).decode(errors="replace")
            except OSError:  # the other side of a terminal is gone
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize("through_make", [False, True], ids=["the script", "make around it"])
def test_the_demo_serves_until_ctrl_c_and_then_ends_with_exit_0(
    tmp_path: Path, account_component: TestComponent, through_make: bool
) -> None:
    data = tmp_path / "data"
    if through_make:
        terminal = Terminal("/usr/bin/env", "make", "demo", "LISTEN=127.0.0.1:0", f"DATA={data}")
        terminal.read_until(r"Holdfast is ready: http://\S+", 180)  # before that the directory is to be empty
        with compiled_once(account_component.component, data):  # a build of the same gives the same bytes
            url = terminal.read_until(TO_TRY, 180).group(1)
    else:
        script = f"{sys.executable} tools/demo.py --listen 127.0.0.1:0 --data {data} {account_component.component}"
        terminal = Terminal("/bin/sh", "-c", script)
        terminal.read_until(r"http://\S+", 60)
        with compiled_once(account_component.component, data):
            url = terminal.read_until(TO_TRY, 180).group(1)
    with Caller(url) as caller:
        deposited = caller.request("POST", "/v1/actors/Account/alice/deposit", '{"amount":100}')
    terminal.read_until("Ctrl-C ends it", 10)
    terminal.type(b"\x03")
    code = terminal.exit_code(60)

    assert deposited.text == '{"balance":100}'
    assert code == 0, terminal.printed
    assert not processes.children_of(terminal.pid)
