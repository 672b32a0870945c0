"""The way between a host and its PostgreSQL is cut, held and delayed under load: nothing is lost, nothing is twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.harness import postgres
from tests.harness.background import CallUnderWay
from tests.harness.components import TestComponent
from tests.harness.cuts import Proxy
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.load import Load, Tokens, Told
from tests.harness.mutants.host import command
from tests.harness.repeats import repeats

pytestmark = pytest.mark.slow

CUTS = repeats(3, 12)
CLIENTS = 6


class Cut:
    """A host on PostgreSQL behind a proxy."""

    def __init__(self, data: Path, component: TestComponent, *mutations: str, workers: int = 1) -> None:
        store, self.dsn, *durability = postgres.store_options()
        self.proxy = Proxy(postgres.server().port)
        mutant: dict[str, Any] = {"command": command(*mutations)} if mutations else {}
        options = (store, self.proxy.dsn_of(self.dsn), *durability, "--workers", str(workers))
        self.host = HostProcess(data, *options, **mutant)
        self.host.start()
        deploy(self.host, component)

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        """As somebody whose way is not cut."""
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=holdfast") as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.proxy.release()
        if self.host.is_running:
            self.host.stop()
        self.host.kill_all()
        self.proxy.__exit__()


StartCut = Callable[..., Cut]


@pytest.fixture
def start_cut(probe_component: TestComponent, tmp_path: Path) -> Iterator[StartCut]:
    """Starts such hosts, and ends them."""
    started: list[Cut] = []

    def start(*mutations: str, workers: int = 1) -> Cut:
        started.append(Cut(tmp_path / f"h{len(started)}" / "data", probe_component, *mutations, workers=workers))
        return started[-1]

    yield start
    for each in started:
        each.close()


def break_off(cut: Cut, _: random.Random) -> None:
    cut.proxy.break_off()


def stall(cut: Cut, chance: random.Random) -> None:
    """For a while nothing arrives, then all of it."""
    cut.proxy.hold()
    time.sleep(chance.uniform(0.1, 1.0))
    cut.proxy.release()


def lose_the_answers(cut: Cut, chance: random.Random) -> None:
    """What was asked is done, and nobody hears of it."""
    cut.proxy.to_host.hold()
    time.sleep(chance.uniform(0.05, 0.5))
    cut.proxy.break_off()
    cut.proxy.to_host.release()


def lose_the_questions(cut: Cut, chance: random.Random) -> None:
    """What was asked never arrives."""
    cut.proxy.to_server.hold()
    time.sleep(chance.uniform(0.05, 0.5))
    cut.proxy.break_off()
    cut.proxy.to_server.release()


def answer_late(cut: Cut, chance: random.Random) -> None:
    cut.proxy.to_host.delay_s = 0.05
    time.sleep(0.5)
    cut.proxy.to_host.delay_s = 0.0
    if chance.getrandbits(1):
        cut.proxy.break_off()


@pytest.mark.repeats
@pytest.mark.parametrize("happen", [break_off, stall, lose_the_answers, lose_the_questions, answer_late])
def test_whatever_happens_on_the_way_every_acknowledged_write_is_there_once_and_whole(
    start_cut: StartCut, happen: Callable[[Cut, random.Random], None]
) -> None:
    cut = start_cut(workers=2)
    seed = f"moments of {happen.__name__}"
    chance, tokens = random.Random(seed), Tokens(happen.__name__)
    with Load(cut.host.url, tokens.plan, clients=CLIENTS) as load:
        for _ in range(CUTS):
            load.wait_for(10)
            time.sleep(chance.uniform(0.0, 0.3))  # the moment is what is random
            happen(cut, chance)
        load.wait_for(10)
        records = load.stop()
    with cut.host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join([f"seed {seed!r}", *faults[:20]])
    assert sum(record.told is Told.DONE for record in records) > CUTS * 10


def overtaken_on_its_way(cut: Cut) -> tuple[bool, int, str]:
    """A write that left its worker before another owner took its place, and arrives afterwards.

    Whether the worker is another one then, how many groups it had written when that one came, and what is stored.
    """
    with cut.host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "before")
        [worker] = cut.host.pids()["worker"]
        [(reached,)] = cut.execute("SELECT max(grp) FROM reached")
        cut.proxy.to_server.hold()
        call = CallUnderWay(cut.host, "Probe", "alice", "put", "k", "late")
        assert not call.is_answered_within(0.3)  # it has left the worker, as far as anybody can see
        cut.execute("UPDATE seat SET life = 42, lives = lives + 1")
        cut.execute("UPDATE kv SET v = %s WHERE k = 'k'", b'"moved"')
        cut.proxy.to_server.release()
        call.answer()
        stored = caller.value("Probe", "alice", "get", "k")
    [(folded,)] = cut.execute("SELECT max(grp) FROM shard")
    return cut.host.pids()["worker"] != [worker], folded - reached, stored


def test_a_write_that_arrives_after_another_owner_s_writes_nothing(start_cut: StartCut) -> None:
    """F1: the statement locks its owner's seat in itself, at its owner's life. A successor may make the call again."""
    replaced, written, _ = overtaken_on_its_way(start_cut())

    assert (replaced, written) == (True, 0)


def test_without_lives_it_writes_over_what_the_other_owner_wrote(start_cut: StartCut) -> None:
    replaced, _, stored = overtaken_on_its_way(start_cut("forget_lives"))

    assert (replaced, stored) == (False, "late")


def is_read_while_nothing_comes_back(cut: Cut) -> bool:
    """Whether what lies in memory is answered then."""
    with cut.host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "v")
        cut.proxy.to_host.hold()
        call = CallUnderWay(cut.host, "Probe", "alice", "get", "k")
        answered = call.is_answered_within(1.0)
        cut.proxy.to_host.release()
        assert call.answer().value == "v"
        return answered


def test_reads_whose_confirm_does_not_come_back_are_not_answered(start_cut: StartCut) -> None:
    """F4: nothing leaves before a statement that began after the read has come back."""
    assert not is_read_while_nothing_comes_back(start_cut())


def test_without_confirms_they_are(start_cut: StartCut) -> None:
    assert is_read_while_nothing_comes_back(start_cut("confirm_nothing"))


def test_while_nothing_comes_back_the_host_is_not_ready_and_says_why(start_cut: StartCut) -> None:
    cut = start_cut()
    with cut.host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "v")
        cut.proxy.hold()
        call = CallUnderWay(cut.host, "Probe", "alice", "get", "k")
        end = time.monotonic() + 20
        while (answer := caller.request("GET", "/health/readiness")).status == 200:
            assert time.monotonic() < end, "the host is ready, and can answer nobody"
            time.sleep(0.1)
        assert "commit" in answer.text
        cut.proxy.release()
        assert call.answer().value == "v"
        end = time.monotonic() + 20
        while caller.request("GET", "/health/readiness").status != 200:
            assert time.monotonic() < end, "it goes on, and is not ready"
            time.sleep(0.1)


def test_an_instance_that_cannot_be_read_keeps_the_host_from_being_ready_too(start_cut: StartCut) -> None:
    """No commit is on its way: the first read is."""
    cut = start_cut()
    with cut.host.caller() as caller:
        caller.value("Probe", "alice", "put", "k", "v")
        cut.proxy.hold()
        call = CallUnderWay(cut.host, "Probe", "nobody-knows-it-yet", "get", "k")
        end = time.monotonic() + 20
        while caller.request("GET", "/health/readiness").status == 200:
            assert time.monotonic() < end, "the host is ready, and can answer nobody"
            time.sleep(0.1)
        cut.proxy.release()

        assert call.answer().status == 200
