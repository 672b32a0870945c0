"""SIGKILL under calls with idempotency keys: repeated until they are answered, each has had its effect once."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from urllib.parse import quote

import pytest

from tests.crash.test_transfers import kill_something
from tests.harness.background import Clients
from tests.harness.caller import Answer, Caller, NoAnswerError
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.mutants import host as mutants
from tests.harness.repeats import repeats

NAMES = [f"n{number}" for number in range(8)]
CLIENTS = 8
KILLS = repeats(8, 40)

pytestmark = [pytest.mark.slow, pytest.mark.repeats]


class Increments(Clients):
    """Clients that each make one call under a new key after another, and repeat it until it is answered."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(CLIENTS)
        self.expected: Counter[str] = Counter()
        self.results: dict[str, list[int]] = {name: [] for name in NAMES}
        self.repeated = self.replayed = 0
        self._url = url
        self._seed = seed
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        return self.expected.total()

    def be_client(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        with Caller(self._url) as caller:
            while not self.stopping.is_set():
                name = chance.choice(NAMES)
                answer = self._until_answered(caller, name, f"{self._seed}-{next(self._numbers)}")
                with self._lock:
                    self.expected[name] += 1
                    self.replayed += answer.headers.get("idempotency-replayed") == "true"
                    self.results[name].append(answer.value)

    def _until_answered(self, caller: Caller, name: str, key: str) -> Answer:
        path = f"/v1/actors/Probe/{quote(name)}/increment"
        while True:
            with contextlib.suppress(NoAnswerError):
                answer = caller.request("POST", path, b'["n", 1]', {"Idempotency-Key": key})
                if answer.status == 200:
                    return answer
            self.repeated += 1
            time.sleep(0.02)


def counts_after_kills(host: HostProcess, kills: int) -> tuple[Counter[str], Increments]:
    """What the instances hold in the end, and what their callers know."""
    chance = random.Random(17)
    with Increments(host.url, seed=17) as calls:
        for _ in range(kills):
            calls.wait_for(40)
            time.sleep(chance.uniform(0.0, 0.1))  # the moment is what is random
            kill_something(host, chance)
        calls.wait_for(40)
    with host.caller() as caller:
        return Counter({name: caller.value("Probe", name, "get", "n", 0) for name in NAMES}), calls


def test_kills_and_repeats_under_one_key_have_one_effect(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2)
    found, calls = counts_after_kills(host, KILLS)

    assert found == calls.expected
    assert {name: sorted(results) for name, results in calls.results.items()} == {
        name: list(range(1, count + 1)) for name, count in found.items()
    }, "each answer is that of one effect"
    assert calls.replayed > 0
    host.kill_all()


def test_without_receipts_the_same_kills_have_some_effects_twice(start_probe_host: StartHost) -> None:
    host = start_probe_host(workers=2, command=mutants.command("keep_no_receipts"))
    for _ in range(5):
        found, calls = counts_after_kills(host, KILLS)
        if any(found[name] > count for name, count in calls.expected.items()):
            break
    else:
        pytest.fail("nothing was done twice")
    host.kill_all()
