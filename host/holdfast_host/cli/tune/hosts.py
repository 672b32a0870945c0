"""Hosts that are measured: each a real one, with a data directory of its own that is gone afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast_host.cli.client import HostClient
from holdfast_host.cli.output import CommandFailedError
from holdfast_host.cli.tune.load import WARM_S
from holdfast_host.cli.tune.search import Measured, Numbers

CONNECTIONS: Final = 64  # of each process that loads
PROJECT: Final = {
    "holdfast.toml": 'name = "tuned"\nmain = "app.py"\ncompatibility_date = "2026-11-01"\n\n[[actors]]\n'
    'binding = "TUNED"\ntype = "Tuned"\n',
    "app.py": '''"""What is called while a machine is measured: a balance that is read and written."""

from holdfast import StatefulActor


class Tuned(StatefulActor):
    def deposit(self, amount: int) -> dict:
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}
''',
}

_START_S: Final = 60.0
_STOP_S: Final = 45.0
_URL: Final = re.compile(rb"http://([\w.]+):(\d+)")
_ROLES: Final = {"holdfast_host.worker.main": "worker", "holdfast_host.front.main": "front"}


def measure(component: Path, folder: Path, numbers: Numbers, loads: int, seconds: float) -> Measured:
    """Start a host with these numbers, deploy, load it, stop it.

    Args:
        component: of PROJECT.
        folder: on whose disk its data lie.
        numbers: of its processes.
        loads: how many processes load it.
        seconds: how long that counts.

    Raises:
        CommandFailedError: it does not start, or a call failed.
    """
    with tempfile.TemporaryDirectory(prefix=".holdfast-tune-", dir=folder) as name, _host(Path(name), numbers) as host:
        url, supervisor = host
        with HostClient(url, None) as client:
            manifest = PROJECT["holdfast.toml"]
            client.deploy("tuned", component, manifest, on_sent=lambda _: None, on_stage=lambda _: None)
        address = url.removeprefix("http://").split(":")
        command = [sys.executable, "-P", "-m", "holdfast_host.cli.tune.load", *address, str(CONNECTIONS), str(seconds)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(loads)]
        time.sleep(WARM_S)
        before, began = _cpu_s(supervisor), time.monotonic()
        said = [json.loads(each.communicate()[0] or b"{}") for each in running]
        took_s, after = time.monotonic() - began, _cpu_s(supervisor)
    if any(not each.get("calls") or each["failed"] for each in said):
        raise CommandFailedError(f"a call failed while a host with {numbers} was loaded: look at 'holdfast doctor'.")
    busy = {
        role: (after[role] - before[role]) / took_s / count
        for role, count in (("worker", numbers.workers), ("front", numbers.fronts))
    }
    return Measured(
        numbers,
        sum(each["calls"] for each in said) / seconds,
        max(each["p99_ms"] for each in said),
        busy["worker"],
        busy["front"],
    )


@contextmanager
def _host(folder: Path, numbers: Numbers) -> Iterator[tuple[str, int]]:
    """A host that listens on loopback: its URL, and its pid. It is gone afterwards."""
    command = [sys.executable, "-P", "-m", "holdfast_host.cli.main", "serve", "--listen", "127.0.0.1:0", "--no-ui"]
    command += ["--data", str(folder / "data"), "--workers", str(numbers.workers), "--fronts", str(numbers.fronts)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    out, err = folder / "out", folder / "err"
    with out.open("wb") as said, err.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=errors, env=environment, start_new_session=True
        )
    try:
        ends = time.monotonic() + _START_S
        while not (found := _URL.search(out.read_bytes())):
            if process.poll() is not None or time.monotonic() > ends:
                last = err.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
                raise CommandFailedError(f"a host with {numbers} does not start: {last[0]}")
            time.sleep(0.05)
        yield f"http://{found[1].decode()}:{found[2].decode()}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its other processes end with it
            process.wait()


def _cpu_s(supervisor: int) -> dict[str, float]:
    """What the workers and the fronts of a host have used of processors until now."""
    used = dict.fromkeys(_ROLES.values(), 0.0)
    for thread in Path(f"/proc/{supervisor}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            role = next((role for module, role in _ROLES.items() if module.encode() in words), None)
            if role is not None:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                used[role] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used
