"""Transfers between two actors while processes are killed: with an outbox exact to the unit, without one not."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.background import Clients
from tests.harness.caller import Answer, Caller, NoAnswerError
from tests.harness.components import PROJECT
from tests.harness.deploying import deploy
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.repeats import repeats

OUTBOX = PROJECT / "examples" / "outbox"
WITHOUT_OUTBOX = PROJECT / "tests" / "harness" / "guests" / "direct"

WALLETS = [f"wallet-{number}" for number in range(12)]
FUNDS = 1_000
CLIENTS = 8
KILLS = repeats(8, 20)
KILLS_MAX = 100  # a wrong way shows itself within a few, seldom later
ARRIVED_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.repeats]


class Transfers(Clients):
    """Clients that each make one random transfer after another, and ask again until they know its outcome.

    `expected` is what each wallet holds once all has arrived.
    """

    def __init__(self, url: str, seed: int, actor: str = "Wallet") -> None:
        super().__init__(CLIENTS)
        self._actor = actor
        self.expected = Counter(dict.fromkeys(WALLETS, FUNDS))
        self.done = 0
        self.asked_again = 0
        self._url = url
        self._seed = seed
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        return self.done

    def be_client(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        with Caller(self._url) as caller:
            while not self.stopping.is_set():
                source, to = chance.sample(WALLETS, 2)
                amount = chance.randint(1, 50)
                result = self._send(caller, source, f"{self._seed}-{next(self._numbers)}", to, amount)
                with self._lock:
                    self.done += 1
                    if result["ok"]:
                        self.expected[source] -= amount
                        self.expected[to] += amount

    def _send(self, caller: Caller, source: str, transfer: str, to: str, amount: int) -> dict[str, bool]:
        while True:
            answer: Answer | None = None
            with contextlib.suppress(NoAnswerError):
                answer = caller.call(self._actor, source, "send", transfer, to, amount)
            if answer is not None and answer.status == 200:
                result: dict[str, bool] = answer.value
                return result
            self.asked_again += 1
            time.sleep(0.02)


def start_with_funds(
    project: Path, data: Path, actor: str = "Wallet", *options: str, command: Sequence[str] = (HOLDFAST,)
) -> HostProcess:
    """A host of two workers where each wallet holds the same."""
    host = HostProcess(data, "--workers", "2", *options, command=command)
    host.start()
    deploy(host, components.built(project))
    with host.caller() as caller:
        for wallet in WALLETS:
            caller.value(actor, wallet, "deposit", FUNDS)
    return host


def kill_something(host: HostProcess, chance: random.Random) -> None:
    """SIGKILL one worker, or now and then everything."""
    if chance.random() < 0.25:
        host.kill_all()
        host.restart()
    else:
        workers = host.pids()["worker"]
        if len(workers) == 2:  # else the one of the last time is not back yet
            host.kill("worker", index=chance.randrange(2))


def balances_at_the_end(host: HostProcess, actor: str = "Wallet") -> Counter[str]:
    """What each wallet holds when nothing is on the way any more.

    Read anew once nobody has anything on the way: what a wallet held when it was asked first may have arrived since.
    """
    deadline = time.monotonic() + ARRIVED_S
    with host.caller() as caller:

        def ask_all() -> dict[str, dict[str, int]]:
            return {wallet: caller.value(actor, wallet, "balance") for wallet in WALLETS}

        found = ask_all()
        while any(each["on_the_way"] for each in found.values()):
            assert time.monotonic() < deadline, f"still on the way after {ARRIVED_S} s: {found}"
            time.sleep(0.1)
            found = ask_all()
        return Counter({wallet: each["balance"] for wallet, each in ask_all().items()})


def test_with_an_outbox_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    host = start_with_funds(OUTBOX, tmp_path / "data")
    chance = random.Random(11)
    try:
        with Transfers(host.url, seed=11) as transfers:
            for _ in range(KILLS):
                transfers.wait_for(30)
                time.sleep(chance.uniform(0.0, 0.2))  # the moment is what is random
                kill_something(host, chance)
            transfers.wait_for(30)
        found = balances_at_the_end(host)
    finally:
        host.kill_all()

    assert found == transfers.expected
    assert found.total() == FUNDS * len(WALLETS)
    assert min(found.values()) >= 0
    assert transfers.done > KILLS * 30
    assert transfers.asked_again > 0


def test_without_an_outbox_the_same_kills_lose_or_double_something(tmp_path: Path) -> None:
    host = start_with_funds(WITHOUT_OUTBOX, tmp_path / "data")
    chance = random.Random(11)
    try:
        for _ in range(0, KILLS_MAX, 5):
            with Transfers(host.url, seed=chance.randrange(1 << 30)) as transfers:
                for _ in range(5):
                    transfers.wait_for(30)
                    time.sleep(chance.uniform(0.0, 0.2))
                    kill_something(host, chance)
            total = balances_at_the_end(host).total()
            if total != FUNDS * len(WALLETS):
                break
    finally:
        host.kill_all()

    assert total != FUNDS * len(WALLETS), f"after {KILLS_MAX} kills nothing was lost or doubled: the test sees nothing"
