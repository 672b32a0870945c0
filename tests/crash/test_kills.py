"""SIGKILL at random moments under load, 8 or 20 of each: acknowledged writes are there, none half, none twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.harness import processes
from tests.harness.background import CallUnderWay, wait_for_answers
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.load import Load, PlannedCall, Tokens, Told
from tests.harness.processes import Stopwatch
from tests.harness.repeats import repeats

KILLS = repeats(8, 20)
CLIENTS = 8
HOST_BACK_S = 2.0  # each time, from the first signal to the first answer
WORKER_BACK_S = 1.0

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.repeats]


def stopwatch(host: HostProcess) -> Stopwatch:
    """Runs from now on, and stands still as far as programs of others keep the processors."""
    return Stopwatch(lambda: [pid for pids in host.pids().values() for pid in pids])


def kill_everything(host: HostProcess, _chance: random.Random) -> float:
    """SIGKILL every process and start the host again; the seconds that its start took."""
    host.kill_all()
    watch = stopwatch(host)
    host.restart()
    return watch.seconds()


def kill_supervisor(host: HostProcess, _chance: random.Random) -> float:
    """SIGKILL the supervisor, which takes everything else with it; the seconds until a new host is ready."""
    watch = stopwatch(host)
    host.kill("supervisor")
    host.wait()
    host.start()
    return watch.seconds()


def kill_front(host: HostProcess, _chance: random.Random) -> float:
    """SIGKILL the front; the seconds until the host answers again."""
    watch = stopwatch(host)
    host.kill("front")
    wait_for_answers(host, ["any name"])
    return watch.seconds()


def kill_worker(host: HostProcess, chance: random.Random) -> float:
    """SIGKILL one worker; the seconds until every name is answered again."""
    watch = stopwatch(host)
    host.kill("worker", index=chance.getrandbits(1))
    wait_for_answers(host, [f"name {number}" for number in range(8)])
    return watch.seconds()


@pytest.mark.parametrize(
    ("kill", "back_s"),
    [
        (kill_everything, HOST_BACK_S),
        (kill_supervisor, HOST_BACK_S),
        (kill_front, HOST_BACK_S),
        (kill_worker, WORKER_BACK_S),
    ],
    ids=["everything", "supervisor", "front", "worker"],
)
def test_after_each_kill_every_acknowledged_write_is_there_once_and_whole(
    start_probe_host: StartHost, kill: Callable[[HostProcess, random.Random], float], back_s: float
) -> None:
    host = start_probe_host(workers=2)
    seed = f"moments of {kill.__name__}"
    chance = random.Random(seed)
    tokens = Tokens(kill.__name__)
    took_s = []
    with Load(host.url, tokens.plan, clients=CLIENTS) as load:
        for _ in range(KILLS):
            load.wait_for(10)
            time.sleep(chance.uniform(0.0, 0.3))  # the moment is what is random
            took_s.append(kill(host, chance))
        load.wait_for(10)
        records = load.stop()
    with host.caller() as caller:
        faults = tokens.faults(caller, records)

    assert not faults, "\n".join([f"seed {seed!r}", *faults[:20]])
    assert sum(record.told is Told.DONE for record in records) > KILLS * 10
    print(f"{kill.__name__}: back in", *(f"{each:.2f}" for each in sorted(took_s)))
    assert max(took_s) < back_s, f"seed {seed!r}: {sorted(took_s)}"


def names_by_worker(host: HostProcess, names: list[str]) -> tuple[list[str], list[str]]:
    """Which names the first worker answers for and which the second: those answered while the other one is stopped."""
    first, second = host.pids()["worker"]
    return answered_without(host, second, names), answered_without(host, first, names)


def answered_without(host: HostProcess, worker: int, names: list[str]) -> list[str]:
    """The names that are answered within a moment for which a worker is stopped."""
    processes.send(worker, signal.SIGSTOP)
    try:
        asked = {name: CallUnderWay(host, "Probe", name, "nothing") for name in names}
        time.sleep(0.5)
        answered = [name for name, call in asked.items() if call.is_answered_within(0.0)]
    finally:
        processes.send(worker, signal.SIGCONT)
    for call in asked.values():
        assert call.answer().status == 200
    return answered


def test_while_one_worker_is_killed_again_and_again_the_names_of_the_other_never_stop_answering(
    start_probe_host: StartHost,
) -> None:
    host = start_probe_host(workers=2)
    first, second = names_by_worker(host, [f"name-{number}" for number in range(16)])
    chance = random.Random(7)

    def plan(client: int, chance: random.Random) -> PlannedCall:
        return PlannedCall(chance.choice(first if client % 2 else second), "increment")

    with Load(host.url, plan, clients=4) as load:
        for _ in range(KILLS // 2):
            load.wait_for(50)
            time.sleep(chance.uniform(0.0, 0.2))
            host.kill("worker", index=0)
            wait_for_answers(host, first[:1])
        records = load.stop()
    others = [record for record in records if record.call.name in second]

    assert first
    assert second
    assert [record for record in others if record.told is not Told.DONE] == []
    assert max(record.took_s for record in others) < WORKER_BACK_S
