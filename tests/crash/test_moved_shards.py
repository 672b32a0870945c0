"""Over PostgreSQL the shards of a worker that does not come up are the others', and come back when it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.harness import postgres
from tests.harness.caller import Caller
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.load import Load, Tokens, Told
from tests.harness.mutants.host import command

WAIT_S = 90.0
NAMES = [f"n{number}" for number in range(40)]

slow = pytest.mark.slow


class Workers:
    """A host of two workers, the first of which can be kept from coming up."""

    def __init__(self, folder: Path) -> None:
        options = postgres.store_options()
        self.dsn = options[1]
        self._hanging = folder / "hanging"
        self.host = HostProcess(
            folder / "data", "--workers", "2", *options, command=command(f"hang_at_start={self._hanging}")
        )

    def execute(self, statement: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def end_first(self) -> None:
        """It dies, and does not come up again."""
        self._hanging.touch()
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%/w0'")

    def let_first_come_up(self) -> None:
        self._hanging.unlink()

    def owned(self) -> dict[int, int]:
        """How many shards each worker has."""
        counted = "SELECT seat.worker, count(*) FROM shard JOIN seat USING (seat) GROUP BY seat.worker"
        return dict(self.execute(counted))

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not holds():
            assert self.host.is_running, self.host.log
            assert time.monotonic() < end, self.host.log
            time.sleep(0.05)


@pytest.fixture
def workers(probe_component: TestComponent, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    made.host.start()
    try:
        deploy(made.host, probe_component)
        yield made
    finally:
        if made.host.is_running:
            made.host.stop()
        made.host.kill_all()


def fired(caller: Caller) -> set[tuple[int, ...]]:
    """The alarms that each of the names has had."""
    return {tuple(caller.value("Probe", name, "get", "rung", [])) for name in NAMES}


@slow
def test_names_of_a_worker_that_does_not_come_up_are_served_by_the_others_and_come_back_to_it(
    workers: Workers,
) -> None:
    """Under load the whole time: nothing that was acknowledged is lost, and nothing is written twice."""
    tokens = Tokens("moved")
    with workers.host.caller() as caller:
        for name in NAMES:
            caller.value("Probe", name, "put", "k", name)
            caller.value("Probe", name, "arm", 1, 6.0)
        with Load(workers.host.url, tokens.plan, clients=4) as load:
            load.wait_for(20)
            workers.end_first()
            workers.until(lambda: workers.owned() == {1: 256})
            moved = [caller.value("Probe", name, "get", "k") for name in NAMES]
            workers.until(lambda: fired(caller) == {(1,)})
            for name in NAMES:
                caller.value("Probe", name, "put", "k", f"{name} again")
                caller.value("Probe", name, "arm", 2, 10.0)
            load.wait_for(20)
            workers.let_first_come_up()
            workers.until(lambda: workers.owned() == {0: 128, 1: 128})
            load.wait_for(20)
            records = load.stop()
        workers.until(lambda: fired(caller) == {(1, 2)})
        faults = tokens.faults(caller, records)
        back = [caller.value("Probe", name, "get", "k") for name in NAMES]

    assert not faults, "\n".join(faults[:20])
    assert moved == NAMES
    assert back == [f"{name} again" for name in NAMES]
    assert sum(record.told is Told.DONE for record in records) >= 60
