"""Money that travels by jobs while workers die: at every step of a call, and at random; the total stands."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_transfers import (
    FUNDS,
    KILLS,
    WALLETS,
    Transfers,
    balances_at_the_end,
    kill_something,
    start_with_funds,
)
from tests.harness.caller import NoAnswerError
from tests.harness.components import PROJECT
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

JOBS = PROJECT / "tests" / "harness" / "guests" / "jobs"
GRANTS = ("--outbound", "http://*")
STEPS = (
    "before its try is written down",
    "before it is sent",
    "when it was sent",
    "when it is answered",
    "before then runs",
)
PAIRS = list(pairwise(WALLETS))[:3]  # some of one worker, some of two
WAIT_S = 40.0

pytestmark = pytest.mark.repeats


class Dying:
    """A host whose workers die where a test says, one at a time."""

    def __init__(self, host: HostProcess, step: Path) -> None:
        self.host = host
        self.step = step

    def send(self, source: str, transfer: str, to: str, amount: int, at: str) -> None:
        """Send it, through a death at that step."""
        self.step.write_text(at)
        until(lambda: self._ask(source, "send", transfer, to, amount) is not None)
        until(lambda: not self.step.exists())

    def total(self) -> int:
        """What all have, once no job is waiting for its time."""
        until(lambda: self._jobs() == 0)
        return sum(int(until(partial(self._ask, wallet, "balance"))["balance"]) for wallet in WALLETS)

    def _jobs(self) -> int:
        with self.host.caller() as caller, suppress(NoAnswerError):
            states = [caller.request("GET", f"/v1/jobs?state={state}") for state in ("armed", "retrying", "waiting")]
            if all(answer.status == 200 for answer in states):
                return sum(len(answer.value["jobs"]) for answer in states)
        return -1

    def _ask(self, name: str, method: str, *arguments: object) -> dict[str, int] | None:
        with self.host.caller() as caller, suppress(NoAnswerError):
            answer = caller.call("Purse", name, method, *arguments)
            if answer.status == 200:
                found: dict[str, int] = answer.value
                return found
        return None


@contextmanager
def dying_host(folder: Path, *mutations: str) -> Iterator[Dying]:
    """One with the purses, and their funds."""
    step = folder / "step"
    program = command(f"die_at_a_step_of_calls={step}", *mutations)
    host = start_with_funds(JOBS, folder / "data", "Purse", *GRANTS, command=program)
    try:
        yield Dying(host, step)
    finally:
        host.kill_all()


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (value := found()):
        assert time.monotonic() < deadline, f"not after {WAIT_S} s"
        time.sleep(0.02)
    return value


@pytest.mark.slow
def test_money_arrives_once_whichever_step_of_its_call_a_worker_dies_at(tmp_path: Path) -> None:
    with dying_host(tmp_path) as dying:
        for step in STEPS:
            for source, to in PAIRS:
                dying.send(source, f"{step}/{source}", to, 10, at=step)

        assert dying.total() == FUNDS * len(WALLETS)


def test_without_the_kept_answer_money_arrives_twice(tmp_path: Path) -> None:
    with dying_host(tmp_path, "keep_no_receipts") as dying:
        for source, to in PAIRS:
            dying.send(source, source, to, 10, at="when it is answered")

        assert dying.total() > FUNDS * len(WALLETS)


def test_where_the_job_goes_before_it_is_answered_money_is_lost(tmp_path: Path) -> None:
    with dying_host(tmp_path, "remove_calls_before_they_are_answered") as dying:
        for source, to in PAIRS:
            dying.send(source, source, to, 10, at="before it is sent")

        assert dying.total() < FUNDS * len(WALLETS)


@pytest.mark.slow
def test_kills_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    host = start_with_funds(JOBS, tmp_path / "data", "Purse", *GRANTS)
    chance = random.Random(12)
    try:
        with Transfers(host.url, seed=12, actor="Purse") as transfers:
            for _ in range(KILLS):
                transfers.wait_for(30)
                time.sleep(chance.uniform(0.0, 0.2))
                kill_something(host, chance)
            transfers.wait_for(30)
        found = balances_at_the_end(host, "Purse")
    finally:
        host.kill_all()

    assert found == transfers.expected
    assert found.total() == FUNDS * len(WALLETS)
