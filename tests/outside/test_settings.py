"""A host whose settings change while it runs."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.host import HostProcess

APP = "https://app.example.com"
PATIENCE_S = 20.0

pytestmark = pytest.mark.slow


def until(said: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not said():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_sighup_reads_the_file_anew_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    """No process ends for it, and a broken file changes nothing. What is said of it shows the new level of the log."""
    file = tmp_path / "host.toml"
    file.write_text('workers = 1\nlog_level = "error"\n')
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    # The kernel keeps ten words that nobody has read: the watchdog's, an hour apart, leave room for the others.
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "7200000000"}
    host = HostProcess(tmp_path / "data", "--config", str(file), environment=told)
    with host, host.caller() as caller:
        pids = host.pids()

        def status(origin: str) -> int:
            return caller.request("GET", "/v1/actors", headers={"origin": origin}).status

        def reread() -> None:
            before = host.log.count("the settings")
            host.kill("supervisor", signal.SIGHUP)
            until(lambda: host.log.count("the settings") > before)

        before = status(APP)
        file.write_text(f'workers = 2\ncors_origin = ["{APP}"]\n[limit]\nmethod_timeout_s = 5\nnesting_max = 50\n')
        reread()
        until(lambda: status(APP) == 200)
        file.write_text("cors_origin = 1\n")
        reread()
        kept = status(APP)

        assert (before, kept) == (403, 200)
        [changed] = re.findall(r"the settings are read anew changed=(.+)", host.log)
        assert set(re.findall(r"\w+", changed)) == {"cors_origins", "log_level", "limit", "method_timeout_s"}
        assert "a changed setting holds only after a restart setting=workers" in host.log
        assert 'restart setting="limit nesting_max"' in host.log
        assert "the settings stay as they were" in host.log
        assert "cors_origin is a whole number, it must be a list of strings" in host.log
        assert host.pids() == pids
    said = _said_to(manager)

    assert [each for each in said if each != "WATCHDOG=1"] == [
        "READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1",
    ]  # fmt: skip
    assert "WATCHDOG=1" in said


def test_the_access_log_goes_to_standard_output_from_every_front_that_is_started(tmp_path: Path) -> None:
    """The ready line comes first; a front that takes another's place writes on."""
    host = HostProcess(tmp_path / "data", "--access-log", "-")
    printed = tmp_path / "data.out"

    def statuses() -> list[int]:
        _, *lines = printed.read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [each["status"] for each in found if each["target"] == "/v1/nothing?x=*"]

    def ask() -> None:
        with host.caller() as caller:
            caller.request("GET", "/v1/nothing?x=5")

    with host:
        ask()
        until(lambda: statuses() == [404])
        first = host.pids()["front"]
        host.kill("front")
        until(lambda: host.pids()["front"] not in ([], first))
        ask()
        until(lambda: statuses() == [404, 404])


def _said_to(manager: socket.socket) -> list[str]:
    """All that the service manager has heard, each word with its first line."""
    said = []
    with manager, suppress(BlockingIOError):
        manager.setblocking(False)
        while True:
            said.append(manager.recv(4096).decode().partition("\n")[0])
    return said
