"""The account by hand, in C, and the actor: the same overlapping debits, the same kills, the same promises kept."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.hand_rolled import HandRolledServer, compile_account
from tests.harness.host import HostProcess
from tests.harness.load import Load, PlannedCall, Record, Told
from tests.harness.repeats import repeats

CLIENTS = 64
NAMES = [f"account-{number}" for number in range(50)]
ROUNDS = repeats(4, 8)
FUNDS = 5_000_000  # added to each account in each round: some are emptied, some are not
AMOUNT_MAX = 1_000_000  # so large that no two subsets of a round's debits have the same sum by chance


class Server(Protocol):
    """What both kinds are for this test."""

    url: str

    def kill_all(self) -> None:
        """SIGKILL for every process."""

    def restart(self) -> object:
        """Start it again; returns when it is ready."""


def start_by_hand(directory: Path, changes: Mapping[str, str] | None = None) -> HandRolledServer:
    """The C server, perhaps with a mechanism taken out."""
    server = HandRolledServer(compile_account(directory / "account", changes), directory / "log")
    server.start()
    return server


@pytest.fixture(params=["C by hand", "actor"])
def server(request: pytest.FixtureRequest, tmp_path: Path, account_component: TestComponent) -> Iterator[Server]:
    """Either kind, running and empty."""
    if request.param == "C by hand":
        by_hand = start_by_hand(tmp_path)
        yield by_hand
        by_hand.kill_all()
    else:
        host = HostProcess(tmp_path / "data", "--workers", "2")
        host.start()
        deploy(host, account_component)
        yield host
        host.kill_all()


class Books:
    """What each account may hold, round by round, and all that was found wrong."""

    def __init__(self, seed: int) -> None:
        self.balances = dict.fromkeys(NAMES, 0)
        self.faults: list[str] = []
        self.taken = self.refused = self.unknown = 0
        self._chance = random.Random(seed)

    def play_round(self, server: Server) -> None:
        """Fill the accounts, debit them from all clients at once, kill the server meanwhile, and check each account."""
        self._deposit(server)
        killed = threading.Event()

        def plan(_client: int, chance: random.Random) -> PlannedCall | None:
            if killed.is_set():
                return None
            amount = chance.randint(1, AMOUNT_MAX)
            return PlannedCall(chance.choice(NAMES), "debit", actor_type="Account", keywords={"amount": amount})

        with Load(server.url, plan, CLIENTS, self._chance.getrandbits(30)) as load:
            load.wait_for(self._chance.randrange(100, 1_500), timeout_s=60.0)
            time.sleep(self._chance.uniform(0.0, 0.01))  # the moment is what is random
            server.kill_all()  # while all clients go on calling: what is under way ends as unknown
            killed.set()
            records = load.join()
        server.restart()
        self._check(server, records)

    def _deposit(self, server: Server) -> None:
        names = iter(NAMES)

        def plan(_client: int, _chance: random.Random) -> PlannedCall | None:
            name = next(names, None)
            if name is None:
                return None
            return PlannedCall(name, "deposit", actor_type="Account", keywords={"amount": FUNDS})

        with Load(server.url, plan, 1) as load:
            records = load.join()
        for record in records:
            assert record.answer is not None
            self.balances[record.call.name] += FUNDS
            assert record.answer.value == {"balance": self.balances[record.call.name]}

    def _check(self, server: Server, records: list[Record]) -> None:
        by_name: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_name[record.call.name].append(record)
        names = iter(NAMES)

        def plan(_client: int, _chance: random.Random) -> PlannedCall | None:
            name = next(names, None)
            return None if name is None else PlannedCall(name, "balance", actor_type="Account")

        with Load(server.url, plan, 1) as load:
            found = load.join()
        for each in found:
            assert each.answer is not None
            balance = each.answer.value["balance"]
            self._check_one(each.call.name, by_name[each.call.name], balance)
            self.balances[each.call.name] = balance

    def _check_one(self, name: str, records: list[Record], found: int) -> None:
        before = []  # what each debit that was let through saw: never twice the same
        possible = {self.balances[name]}
        for record in records:
            amount = record.call.keywords["amount"]
            if record.told is Told.DONE:
                assert record.answer is not None
                result = record.answer.value
                if result["balance"] < 0 or (not result["ok"] and result["balance"] >= amount):
                    self.faults.append(f"{name}: a debit of {amount} was answered {result}")
                if result["ok"]:
                    self.taken += 1
                    before.append(result["balance"] + amount)
                    possible = {each - amount for each in possible}
                else:
                    self.refused += 1
            elif record.told is Told.UNKNOWN:
                self.unknown += 1
                possible |= {each - amount for each in possible}
        if len(set(before)) != len(before):
            self.faults.append(f"{name}: two debits saw the same balance")
        if found not in possible or found < 0:
            self.faults.append(f"{name}: holds {found}, possible were {sorted(possible)[:5]}")


@pytest.mark.slow
@pytest.mark.repeats
def test_after_a_kill_at_any_moment_every_acknowledged_debit_is_there_and_none_is_half_there(server: Server) -> None:
    books = Books(seed=3)
    for _ in range(ROUNDS):
        books.play_round(server)

    assert books.faults == []
    assert books.taken > ROUNDS * 100
    assert books.refused > 0
    assert books.unknown > 0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"    pthread_mutex_lock(&a->lock);\n": "", "    pthread_mutex_unlock(&a->lock);\n": ""}, "the same balance"),
        ({"if (write(log_fd, &r, sizeof r) != sizeof r || fdatasync(log_fd)) die": "if (!r.name[0]) die"}, "holds"),
    ],
    ids=["no mutex", "no log"],
)
def test_without_one_of_its_mechanisms_the_account_by_hand_is_found_out(
    tmp_path: Path, changes: dict[str, str], fault: str
) -> None:
    by_hand = start_by_hand(tmp_path, changes)
    books = Books(seed=3)
    try:
        for _ in range(ROUNDS):
            books.play_round(by_hand)
            if books.faults:
                break
    finally:
        by_hand.kill_all()

    assert any(fault in each for each in books.faults), books.faults
