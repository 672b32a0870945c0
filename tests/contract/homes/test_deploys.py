"""Deploys into a store: whole or not at all, whoever dies; several hosts at once; what another host follows."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from holdfast_host.core.errors import TypeOwnedError
from holdfast_host.supervisor.directory.component_files import ComponentFiles, pieces_of
from holdfast_host.supervisor.directory.layout import make_directory
from tests.contract.homes.conftest import new_database
from tests.contract.homes.deploying_host import STEPS, THERE, component_of, opener
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text, manifest_text


class Store:
    """A store, and the hosts that the test opens or starts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dsn = new_database()
        self.cleanup = ExitStack()

    def bench(self, host: str) -> DeployBench:
        make_directory(self.folder / host)
        made = DeployBench(self.folder / host, open_homes=opener(self.dsn, host, self.folder / "key", self.cleanup))
        asyncio.run(made.shelf.restore())
        return made

    def start(self, host: str, count: int, *step: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.contract.homes.deploying_host", str(self.folder), self.dsn, host]
        process = subprocess.Popen(
            [*command, str(count), *step], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.cleanup.close()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_that_is_killed_at_any_step_is_there_whole_or_not_at_all(store: Store, step: str) -> None:
    process = store.start("a", 2, step)
    said, _ = process.communicate("go\n", timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert "deployed own-a 1" in said
    assert "deployed own-a 2" not in said

    again = store.bench("a")
    other = store.bench("b")
    expected = 2 if step in THERE else 1
    for each in (again, other):
        [own] = [it for it in each.registry.current() if it.function == "own-a"]
        assert own.version == expected
        component = ComponentFiles(each.directory.components).find(own.sha256)
        assert component is not None
        assert b"".join(pieces_of(component)).decode() == component_of("a", expected)
        assert Path(own.compiled).exists()
    again.deploy("own-a", component_of("a", 3), manifest_text("own-a", ("A", "Ofa")))
    assert again.show("own-a")["version"] == expected + 1


@pytest.mark.slow
def test_hosts_that_deploy_at_once_lose_and_double_nothing(store: Store) -> None:
    """What each was told is there; of the function that both have, every acknowledged version is another one."""
    store.bench("a")  # which makes the key
    processes = {host: store.start(host, 6) for host in ("a", "b")}
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {host: process.communicate(timeout=100)[0].splitlines() for host, process in processes.items()}
    bench = store.bench("c")
    deployed = {host: [line for line in lines if line.startswith("deployed common")] for host, lines in said.items()}
    record = bench.registry.named("default", "common")

    assert record is not None
    assert record.last_version == sum(map(len, deployed.values()))
    for host, lines in said.items():
        own = bench.registry.named("default", f"own-{host}")
        assert own is not None
        assert own.last_version == sum(line.startswith(f"deployed own-{host}") for line in lines)
        refused = [line for line in lines if line.startswith("refused")]
        assert all("another host changed registry at the same time" in line for line in refused), refused
        assert len(refused) < len(lines) / 2


def test_a_deploy_over_what_another_host_has_deployed_meanwhile_is_planned_again(store: Store) -> None:
    first, second = store.bench("a"), store.bench("b")
    first.deploy("f", component_text("A"), manifest_text("f", ("A", "A")))
    second.deploy("g", component_text("B"), manifest_text("g", ("B", "B")))

    assert (first.type_id("A"), second.type_id("B")) == (1, 2)
    assert second.rollout.runs.keys() == {"f", "g"}  # it follows what it found
    with pytest.raises(TypeOwnedError, match="owned by the function 'g'"):
        first.deploy("h", component_text("B"), manifest_text("h", ("B", "B")))


def test_what_one_host_deploys_rolls_back_and_undeploys_another_follows(store: Store) -> None:
    first, second = store.bench("a"), store.bench("b")
    first.deploy("f", component_text("A"), manifest_text("f", ("A", "A")))
    first.deploy("f", component_text("A", remark="2"), manifest_text("f", ("A", "A")))
    asyncio.run(second.deploys.follow())
    ran = [second.rollout.runs["f"].version]
    asyncio.run(first.deploys.rollback("f", 1))
    asyncio.run(second.deploys.follow())
    ran.append(second.rollout.runs["f"].version)
    kept = {path.read_text() for path in second.directory.components.iterdir()}
    asyncio.run(first.deploys.delete("f"))
    asyncio.run(second.deploys.follow())

    assert ran == [2, 1]
    assert kept == {component_text("A"), component_text("A", remark="2")}
    assert second.rollout.runs == {}
    assert second.rollout.events[-2:] == ["publish ", "remove f"]


def test_what_cannot_be_run_here_is_said_and_the_rest_is_followed(store: Store) -> None:
    first, second = store.bench("a"), store.bench("b")
    first.deploy("f", component_text("A"), manifest_text("f", ("A", "A")))
    first.deploy("g", component_text("B"), manifest_text("g", ("B", "B")))
    with psycopg.connect(store.dsn, autocommit=True) as connection:
        connection.execute(
            "UPDATE holdfast.component SET bytes = 'x' WHERE sha256 = %s", (first.registry.current()[0].sha256,)
        )
    asyncio.run(second.deploys.follow())

    assert second.rollout.runs.keys() == {"g"}
    assert "a deployed function cannot be run here" in second.log.getvalue()
    assert "is damaged: deploy it again" in second.log.getvalue()
    assert not first.deploy("f", component_text("A"), manifest_text("f", ("A", "A"))), "a new version"
    asyncio.run(second.deploys.follow())
    assert second.rollout.runs.keys() == {"f", "g"}
