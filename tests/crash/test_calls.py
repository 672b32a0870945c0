"""SIGKILL under calls between actors: nobody, on disk or outside, knows of a turn that is not on disk."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.repeats import repeats

GUESTS = components.PROJECT / "tests" / "harness" / "guests"
NAMES = [f"n{number}" for number in range(24)]
CLIENTS = 6
KILLS = repeats(6, 20)

pytestmark = [pytest.mark.slow, pytest.mark.repeats]


class Clients:
    """Threads that call chains of names, and remember the highest count of each name that an answer told."""

    def __init__(self, host: HostProcess, seed: int) -> None:
        self._host = host
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.told: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.answers = 0
        self.errors: set[str] = set()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed + n),)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        caller = self._host.caller()
        while not self._stop.is_set():
            names = chance.sample(NAMES, chance.choice([2, 2, 3, 4]))
            try:
                counts = self._ask(caller, names, by_function=chance.random() < 0.5)
            except NoAnswerError:
                time.sleep(0.01)
                continue
            with self._lock:
                self.answers += bool(counts)
                for name, count in counts.items():
                    self.told[name] = max(count, self.told[name])
        caller.close()

    def _ask(self, caller: Caller, names: list[str], *, by_function: bool) -> dict[str, int]:
        if by_function:
            answer = caller.request("GET", f"/fn/chain/{'/'.join(names)}")
        else:
            answer = caller.call("Link", names[0], "pull", names[1:])
        if answer.status != 200:
            with self._lock:
                self.errors.add(answer.error)
            return {}
        counts: dict[str, int] = answer.value
        return counts


@pytest.mark.parametrize(
    "workers", [(1, 1), (2, 1), (2, 2)], ids=["one partition", "two partitions of one worker", "two workers"]
)
def test_after_each_kill_all_that_anybody_was_told_is_there(tmp_path: Path, workers: tuple[int, int]) -> None:
    partitions, running = workers
    data = tmp_path / "data"
    with HostProcess(data, "--workers", str(partitions)) as host:
        deploy(host, components.built(GUESTS / "chain"))
    chance = random.Random(7)
    with HostProcess(data, "--workers", str(running)) as host:
        clients = Clients(host, seed=7)
        for _ in range(KILLS):
            wanted = clients.answers + 40
            deadline = time.monotonic() + 30
            while clients.answers < wanted:
                assert time.monotonic() < deadline, "nobody is answered any more"
                time.sleep(0.005)
            time.sleep(chance.random() * 0.02)
            host.kill("worker", index=chance.randrange(running))
        clients.stop()
        with host.caller() as caller:
            counts: dict[str, dict[str, Any]] = {name: _known(caller, name) for name in NAMES}

    assert clients.answers > KILLS * 40
    assert [name for name in NAMES if clients.told[name] > counts[name][name]] == []
    for knower, known in counts.items():
        ahead = {name: count for name, count in known.items() if count > counts[name][name]}
        assert ahead == {}, f"{knower} was told of turns that are not on disk"


def _known(caller: Caller, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = caller.call("Link", name, "known")
            if answer.status == 200:
                known: dict[str, Any] = answer.value
                return known
        except NoAnswerError:
            pass
        assert time.monotonic() < deadline, f"{name} is not answered any more"
        time.sleep(0.05)
