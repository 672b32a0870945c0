"""A disk that runs low: said in the log, on `/metrics` and by readiness; and over as soon as there is room again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost
from tests.harness.mutants import host as mutants

END_S = 20.0


def test_a_low_disk_is_a_log_line_a_gauge_and_red_readiness_and_all_is_well_when_room_is_back(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    free = tmp_path / "free"
    host = start_probe_host(command=mutants.command(f"read_free_disk={free}"))
    with host.caller() as caller:
        assert caller.value("Probe", "alice", "increment") == 1
        assert caller.request("GET", "/health/readiness").status == 200
        assert _metric(caller, "holdfast_disk_free_bytes") > 0
        assert _metric(caller, "holdfast_storage_short") == 0

        free.write_text("4096")
        _wait(lambda: caller.request("GET", "/health/readiness").status == 503)
        assert "worker 0 has no room" in caller.request("GET", "/health/readiness").text
        assert caller.call("Probe", "bob", "increment").error == "StorageFullError"
        assert caller.value("Probe", "alice", "get", "n") == 1
        assert _metric(caller, "holdfast_disk_free_bytes") == 4096
        assert _metric(caller, "holdfast_storage_short") == 1
        assert host.log.count("4096 bytes of disk are free") == 1

        free.unlink()
        assert caller.value("Probe", "bob", "increment") == 1
        _wait(lambda: caller.request("GET", "/health/readiness").status == 200)
        assert _metric(caller, "holdfast_storage_short") == 0
        assert "there is room again" in host.log


def _wait(over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_S
    while not over():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _metric(caller: Caller, name: str) -> float:
    text = caller.request("GET", "/metrics").text
    found = next(line for line in text.splitlines() if line.startswith(f'{name}{{worker="0"}}'))
    return float(found.rpartition(" ")[2])
