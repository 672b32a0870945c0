"""An archive through kills: what it gives back of any moment, against a model of what was acknowledged."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from holdfast_host.storage.archive.frames import read_reached
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.restoring import Moment, restore_archive
from tests.harness.archives import now_us, read_state, until_reached
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.meanwhile import Meanwhile
from tests.harness.repeats import repeats

NAMES = [f"n{number}" for number in range(6)]


class Counting(Meanwhile[str]):
    """Clients that count, each at an instance of its own, and when each count was asked for and acknowledged."""

    def __init__(self, host: HostProcess) -> None:
        super().__init__(host, NAMES)
        self.sent: dict[str, list[int]] = {name: [] for name in NAMES}
        self.acknowledged: dict[str, list[tuple[int, int]]] = {name: [] for name in NAMES}

    def step(self, caller: Caller, name: str) -> None:
        self.sent[name].append(now_us())
        try:
            answer = caller.call("Probe", name, "increment")
        except NoAnswerError:
            time.sleep(0.05)  # the host is down: it is asked again, not waited for
            return
        if answer.status == 200:
            self.acknowledged[name].append((now_us(), answer.value))

    def check(self, name: str, found: int, at_us: int) -> None:
        """Nothing that was acknowledged by then is missing, and nothing is there that was asked for later."""
        least = max((value for when, value in self.acknowledged[name] if when <= at_us), default=0)
        most = sum(when <= at_us for when in self.sent[name])
        assert least <= found <= most, (name, at_us)


def counts_in(data: Path) -> dict[str, int]:
    state = read_state(data, 2, {(1, name.encode()) for name in NAMES})
    return {name: int(state.get((1, name.encode()), {}).get(b"n", b"0")) for name in NAMES}


@pytest.mark.slow
@pytest.mark.repeats
def test_any_moment_of_a_host_that_is_killed_again_and_again_comes_back(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    chance = random.Random(4)
    archive = tmp_path / "archive"
    host = start_probe_host("--archive", str(archive), workers=2)
    until_reached(archive, 0)
    begin_us = now_us()
    with Counting(host) as counting:
        for number in range(repeats(3, 12)):
            time.sleep(chance.random() / 2)  # a random moment: that is what is tested
            host.kill("worker", index=number % 2)
            time.sleep(chance.random() / 2)
            host.kill_all()
            host.restart()
    host.stop()
    reached = read_reached(archive)
    assert reached is not None

    for _ in range(repeats(8, 50)):
        at_us = chance.randrange(begin_us, reached.at_us)
        restore_archive(archive, tmp_path / "restored", Moment(at_us))
        found = counts_in(tmp_path / "restored")
        for name in NAMES:
            counting.check(name, found[name], at_us)
        shutil.rmtree(tmp_path / "restored")
    restore_archive(archive, tmp_path / "restored", Moment())
    last = counts_in(tmp_path / "restored")
    assert last == counts_in(host.data), "an orderly stop leaves nothing behind"
    assert len(read_bases(archive)) == 1, "kills leave no gap"


@pytest.mark.slow
def test_a_host_starts_from_an_archive_with_all_that_was_deployed_and_committed(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    archive, key = tmp_path / "archive", tmp_path / "key"
    host = start_probe_host("--archive", str(archive))
    until_reached(archive, 0)
    with host.caller() as caller:
        caller.call("Probe", "alice", "put", "k", "x")
        caller.call("Probe", "alice", "arm", 1, 3600)
        assert caller.request("PUT", "/v1/secrets/WORD", b'{"value":"open"}').status == 201
        assert caller.request("POST", "/v1/functions/probe/rollback", b'{"version":1}').status < 500
        metrics = caller.request("GET", "/metrics").text
        assert "holdfast_archive_bases_total 1.0" in metrics
        assert "holdfast_archive_failing 0.0" in metrics
        at_us = now_us()
        caller.call("Probe", "alice", "put", "k", "y")
        until_reached(archive, now_us())
    shutil.copy(host.data / "secrets" / "key", key)
    host.kill_all()

    words = ["restore", "--from", archive, "--at", f"{at_us / 1e6:.6f}", "--key-file", key, tmp_path / "data"]
    done = subprocess.run([HOLDFAST, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copytree(host.data / "compiled", tmp_path / "data" / "compiled")  # it would be made anew
    with HostProcess(tmp_path / "data") as restored, restored.caller() as caller:
        assert caller.call("Probe", "alice", "get", "k").value == "x"
        assert caller.request("GET", "/v1/instances/Probe/alice").value["alarm"]["state"] == "armed"
        assert [each["name"] for each in caller.request("GET", "/v1/secrets").value["secrets"]] == ["WORD"]
