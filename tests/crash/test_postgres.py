"""A host whose storage is on PostgreSQL: kills of every kind under load, and an owner that wakes up late."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast_host.storage.postgres import owning, session
from tests.harness import postgres, processes
from tests.harness.background import CallUnderWay
from tests.harness.commands import run
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.load import Load, Tokens, Told
from tests.harness.mutants.host import command
from tests.harness.repeats import repeats

KILLS = repeats(3, 12)
CLIENTS = 6

StartHost = Callable[..., "Host"]

slow = pytest.mark.slow


class Host(HostProcess):
    """One over a server of PostgreSQL."""

    server: postgres.Server
    dsn: str

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        """As somebody else who has the database."""
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    """A server that the test may crash."""
    made = postgres.new_server()
    yield made
    made.remove()


@pytest.fixture
def start_host(
    own_server: postgres.Server, probe_component: TestComponent, tmp_path: Path
) -> Iterator[Callable[..., Host]]:
    """Starts a host on a new store with the probe deployed; ends it after the test."""
    hosts: list[Host] = []

    def start(*mutations: str, workers: int = 1) -> Host:
        options = postgres.store_options(own_server)
        mutant: dict[str, Any] = {"command": command(*mutations)} if mutations else {}
        host = Host(tmp_path / f"h{len(hosts)}" / "data", "--workers", str(workers), *options, **mutant)
        host.server, host.dsn = own_server, options[1]
        hosts.append(host)
        host.start()
        deploy(host, probe_component)
        return host

    yield start
    for host in hosts:
        if host.is_running:
            host.stop()
        host.kill_all()


def kill_worker(host: Host, chance: random.Random) -> None:
    host.kill("worker", index=chance.getrandbits(1))


def kill_everything(host: Host, _: random.Random) -> None:
    host.kill_all()
    host.restart()


def crash_server(host: Host, chance: random.Random) -> None:
    """What was not on its disk is gone; a moment later it is back."""
    host.server.stop()
    time.sleep(chance.uniform(0.0, 0.5))
    host.server.start()


def end_backends(host: Host, _: random.Random) -> None:
    """An operator ends the connections of all workers."""
    host.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%/w%'")


def cancel_commits(host: Host, _: random.Random) -> None:
    host.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%/w%'")


@pytest.mark.repeats
@slow
@pytest.mark.parametrize("kill", [kill_worker, kill_everything, crash_server, end_backends, cancel_commits])
def test_over_postgres_every_acknowledged_write_is_there_once_and_whole_after_each_kill(
    start_host: StartHost, kill: Callable[[Host, random.Random], None]
) -> None:
    host = start_host(workers=2)
    seed = f"moments of {kill.__name__} over postgres"
    chance = random.Random(seed)
    tokens = Tokens(kill.__name__)
    with Load(host.url, tokens.plan, clients=CLIENTS) as load:
        for _ in range(KILLS):
            load.wait_for(10)
            time.sleep(chance.uniform(0.0, 0.3))  # the moment is what is random
            kill(host, chance)
        load.wait_for(10)
        records = load.stop()
    with host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join([f"seed {seed!r}", *faults[:20]])
    assert sum(record.told is Told.DONE for record in records) > KILLS * 10


def moved_under_a_stopped_worker(host: Host, method: str, *arguments: Any) -> Any:
    """The answer to a call that a worker got, while it was stopped and another owner wrote behind its back."""
    with host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
        worker = host.pids()["worker"][0]
        processes.send(worker, signal.SIGSTOP)
        call = CallUnderWay(host, "Probe", "alice", method, *arguments)
        host.execute("UPDATE seat SET life = 42, lives = lives + 1")
        host.execute("UPDATE kv SET v = %s WHERE k = 'k'", b'"moved"')
        processes.send(worker, signal.SIGCONT)
        answer = call.answer()
        stored = caller.value("Probe", "alice", "get", "k")
    return answer, stored


def test_a_worker_that_wakes_up_late_answers_nothing_of_the_past(start_host: StartHost) -> None:
    """It has the instance in memory, and another owner has changed it since: the successor's answer counts."""
    answer, stored = moved_under_a_stopped_worker(start_host(), "get", "k")

    assert answer.status == 503 or answer.value == "moved"
    assert stored == "moved"


@slow
def test_without_confirms_it_answers_with_the_past(start_host: StartHost) -> None:
    answer, stored = moved_under_a_stopped_worker(start_host("confirm_nothing"), "get", "k")

    assert (answer.value, stored) == ("before", "before")


@slow
def test_a_worker_that_wakes_up_late_writes_nothing(start_host: StartHost) -> None:
    answer, stored = moved_under_a_stopped_worker(start_host(), "put", "other", "late")

    assert answer.status in {200, 503}
    assert stored == "moved"


@slow
def test_without_lives_it_writes_over_what_the_other_owner_wrote(start_host: StartHost) -> None:
    answer, stored = moved_under_a_stopped_worker(start_host("forget_lives"), "put", "k", "late")

    assert answer.status == 200
    assert stored == "late"


@slow
def test_a_host_lists_itself_with_its_shards(start_host: StartHost) -> None:
    first = start_host()
    with first.caller() as caller:
        [listed] = caller.request("GET", "/v1/hosts").value["hosts"]
    assert (listed["state"], listed["workers"], listed["shards"], listed["url"]) == ("up", 1, 256, first.url)
    assert run(first, "hosts").splitlines()[1].split()[1:4] == ["*", "up", first.url]


@slow
def test_a_host_that_was_taken_over_while_it_was_stopped_ends_when_it_wakes_up(start_host: StartHost) -> None:
    """All of it is stopped, as by a paused machine: its front and its workers end with it."""
    host = start_host()
    pids = [pid for each in host.pids().values() for pid in each]
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)
    with session.connect(session.StoreAddress(host.dsn, "single"), "another") as connection:
        connection.execute("UPDATE cluster SET directory = ''")
        owning.start_host(connection, "another", 1)
    for pid in pids:
        processes.send(pid, signal.SIGCONT)

    assert host.wait(60) == 1
    host.assert_nothing_left()
    assert "another host has taken this one over" in host.log
    assert host.execute("SELECT state FROM host ORDER BY host = 'another'") == [("dead",), ("up",)]


@slow
def test_a_host_whose_directory_is_empty_finds_all_in_the_store(start_host: StartHost, tmp_path: Path) -> None:
    """The directory of the host before is lost, but for a copy of the key of the secrets."""
    host = start_host()
    with host.caller() as caller:
        assert caller.call("Probe", "alice", "put", "k", "v").status == 200
        assert caller.request("PUT", "/v1/secrets/KEY", '{"value": "hush"}').status == 201
        functions = caller.request("GET", "/v1/functions").value
    key, new = tmp_path / "key", tmp_path / "new" / "data"
    key.write_bytes((host.data / "secrets" / "key").read_bytes())
    host.stop()
    verified = subprocess.run([HOLDFAST, "verify", str(host.data)], capture_output=True, text=True, check=False)
    assert verified.stdout == "components: 1 component\nAll is well.\n"
    with pytest.raises(AssertionError, match="opens with the key that its other hosts have"):
        HostProcess(new, *host.options).start()

    compiles_anew = HostProcess(new, *host.options, "--cluster-key-file", str(key), ready_timeout_s=240.0)
    with compiles_anew as again, again.caller() as caller:
        assert caller.value("Probe", "alice", "get", "k") == "v"
        found = caller.request("GET", "/v1/functions").value
        assert [each["func_id"] for each in found["functions"]] == [each["func_id"] for each in functions["functions"]]
        [secret] = caller.request("GET", "/v1/secrets").value["secrets"]
        assert secret["name"] == "KEY"
        lines = caller.request("GET", "/v1/audit").text.splitlines()
        numbers = [facts["number"] for facts in map(json.loads, lines) if "number" in facts]
        assert numbers == [*range(1, len(numbers) + 1)]
        assert len(numbers) >= 4
        backup = caller.request("POST", "/v1/backup")
        assert backup.status == 400
        assert "pg_basebackup, pgBackRest" in backup.text


@slow
def test_a_directory_of_a_host_on_a_store_and_one_of_files_are_not_taken_for_each_other(
    start_host: StartHost, tmp_path: Path
) -> None:
    host = start_host()
    host.stop()
    alone = HostProcess(host.data)
    with pytest.raises(AssertionError, match="give --store"):
        alone.start()
    with HostProcess(tmp_path / "files" / "data") as files:
        files.stop()
    with pytest.raises(AssertionError, match="holds storage of its own"):
        HostProcess(tmp_path / "files" / "data", *host.options).start()
