"""Two hosts on one store: the one that stands by serves all names soon after the other has gone, however that went."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.limits import SHARDS
from holdfast_host.supervisor.directory.layout import make_directory, open_directory
from tests.harness import postgres, processes
from tests.harness.background import CallUnderWay
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy, next_version
from tests.harness.host import HostProcess
from tests.harness.load import Load, Tokens, Told

WAIT_S = 60.0
TAKEOVER_S = 5.0
CLIENTS = 4

slow = pytest.mark.slow


class Pair:
    """A host that serves with the probe deployed, and one that stands by on an empty directory."""

    def __init__(self, folder: Path) -> None:
        self._options = (*postgres.store_options(), "--cluster-key-file", str(folder / "key"))
        self._hosts: list[HostProcess] = []
        self.serving = self._new(folder / "a")
        self.standby = self._new(folder / "b")

    def start(self, component: TestComponent) -> None:
        self.serving.start()
        deploy(self.serving, component)
        self.stand_by(self.standby)

    def _new(self, folder: Path) -> HostProcess:
        host = HostProcess(folder / "data", "--workers", "2", *self._options)
        self._hosts.append(host)
        return host

    def stand_by(self, host: HostProcess) -> None:
        """Start it on a new directory; return when it is ready to follow."""
        make_directory(host.data)
        compiled = open_directory(host.data, SHARDS).compiled
        for kept in self.serving.data.joinpath("compiled").iterdir():  # to compile it anew takes 10 s of processor
            shutil.copy2(kept, compiled / kept.name)
        host.launch()
        until(lambda: "ready to follow" in host.log, host)

    def kill_all(self) -> None:
        for host in self._hosts:
            host.kill_all()


def until(holds: Callable[[], object], host: HostProcess) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert host.is_running, host.log
        assert time.monotonic() < end, host.log
        time.sleep(0.02)


@pytest.fixture
def pair(probe_component: TestComponent, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    try:
        made.start(probe_component)
        yield made
    finally:
        made.kill_all()


def hosts(caller: Caller) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = caller.request("GET", "/v1/hosts").value["hosts"]
    return sorted(listed, key=lambda each: str(each["state"]))


@pytest.mark.alone
@slow
def test_a_standby_has_every_acknowledged_write_within_5_s_of_a_kill(pair: Pair) -> None:
    """All processes of the host that serves are killed under load."""
    tokens = Tokens("standby")
    with Load(pair.serving.url, tokens.plan, clients=CLIENTS) as load:
        load.wait_for(200)
        pair.serving.kill_all()
        killed = time.monotonic()
        records = load.stop()
    pair.standby.await_ready()
    with pair.standby.caller() as caller:
        assert caller.call("Probe", "somebody", "put", "k", "v").status == 200
        took_s = time.monotonic() - killed
        faults = tokens.faults(caller, records)
        dead, up = hosts(caller)

    assert not faults, "\n".join(faults[:20])
    assert sum(record.told is Told.DONE for record in records) >= 200
    assert (dead["state"], dead["shards"], up["state"], up["shards"]) == ("dead", 0, "up", 256)
    assert took_s < TAKEOVER_S


@slow
def test_a_standby_serves_as_soon_as_the_other_has_stopped_in_order(
    pair: Pair, probe_component: TestComponent, tmp_path: Path
) -> None:
    """And what was deployed while it stood by is there, with secrets and all that was written."""
    with pair.serving.caller() as caller:
        until(lambda: len(hosts(caller)) == 2, pair.serving)
        assert [(each["state"], each["is_this"]) for each in hosts(caller)] == [("standby", False), ("up", True)]
        caller.value("Probe", "alice", "put", "k", {"bytes": 3})
        assert caller.request("PUT", "/v1/secrets/WORD", json.dumps({"value": "open"})).status == 201
    deploy(pair.serving, next_version(probe_component, tmp_path))
    until(lambda: pair.standby.log.count("ready to follow") == 2, pair.standby)
    pair.serving.stop()
    pair.standby.await_ready()
    with pair.standby.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == {"bytes": 3}
        assert caller.request("GET", "/v1/functions/probe").value["version"] == 2
        assert [each["name"] for each in caller.request("GET", "/v1/secrets").value["secrets"]] == ["WORD"]
        assert [each["state"] for each in hosts(caller)] == ["stopped", "up"]
    pair.standby.stop()


@slow
def test_a_host_that_was_stopped_and_wakes_up_late_answers_nothing_of_the_past_and_ends(pair: Pair) -> None:
    """All of its processes are stopped (SIGSTOP), with a read and a write under way; another one serves meanwhile."""
    with pair.serving.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
        caller.value("Probe", "bob", "put", "k", "before")
    pids = [pid for each in pair.serving.pids().values() for pid in each]
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)
    late_read = CallUnderWay(pair.serving, "Probe", "alice", "get", "k")
    late_write = CallUnderWay(pair.serving, "Probe", "bob", "put", "k", "late")
    pair.standby.await_ready()
    with pair.standby.caller() as caller:
        for name in ("alice", "bob"):
            assert caller.value("Probe", name, "get", "k") == "before"
            caller.value("Probe", name, "put", "k", "after")
        for pid in pids:
            processes.send(pid, signal.SIGCONT)
        assert pair.serving.wait(30) == 1
        stored = [caller.value("Probe", name, "get", "k") for name in ("alice", "bob")]
        states = [each["state"] for each in hosts(caller)]
    answers = [outcome(late_read), outcome(late_write)]

    assert stored == ["after", "after"]
    assert answers[0] in {None, 502, 503}, "the read has no answer, or one that says that it was not done"
    assert answers[1] in {None, 502, 503}
    assert states == ["dead", "up"]
    pair.serving.assert_nothing_left()
    assert "another host has taken this one over" in pair.serving.log


@slow
def test_a_host_without_the_key_of_the_others_does_not_stand_by(pair: Pair, tmp_path: Path) -> None:
    """It could not open their secrets."""
    keyless = HostProcess(tmp_path / "c" / "data", *pair.serving.options[:-2])
    with pytest.raises(AssertionError, match=r"is missing: .* --cluster-key-file"):
        keyless.start()


@slow
def test_a_host_that_stands_by_is_stopped_by_a_signal_and_says_so(pair: Pair) -> None:
    pair.standby.stop()

    with pair.serving.caller() as caller:
        until(lambda: [each["state"] for each in hosts(caller)] == ["stopped", "up"], pair.serving)
    assert "stopped" in pair.standby.log


def outcome(call: CallUnderWay) -> int | None:
    """The status of an answer; None where the connection ended without one."""
    try:
        return call.answer().status
    except NoAnswerError:
        return None
