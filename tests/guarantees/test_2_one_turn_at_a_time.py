"""Guarantee 2: turns of one instance run one after another, in arrival order, and hold up no other instance."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from tests.harness.background import CallUnderWay
from tests.harness.fixtures import StartHost
from tests.harness.host import HostProcess
from tests.harness.load import Load, PlannedCall, Record, Told, percentile
from tests.harness.mutants.host import command
from tests.harness.repeats import repeats

ACCOUNTS = [f"account-{number}" for number in range(50)]
OPENING = 100


def overlapping_debits(host: HostProcess, calls: int) -> list[Record]:
    """64 clients debit 50 names until nothing is left of any, and go on trying."""
    left = iter(range(calls))

    def plan(_client: int, chance: random.Random) -> PlannedCall | None:
        if next(left, None) is None:
            return None
        return PlannedCall(chance.choice(ACCOUNTS), "debit", (chance.randint(1, 9),))

    with host.caller() as caller:
        for name in ACCOUNTS:
            caller.value("Probe", name, "put", "balance", OPENING)
    with Load(host.url, plan, clients=64) as load:
        return load.join()


@pytest.mark.repeats
def test_64_clients_debit_50_names_and_no_account_is_overdrawn_and_every_sum_is_exact(
    probe_host: StartHost,
) -> None:
    host = probe_host(workers=2)

    records = overlapping_debits(host, repeats(1_600, 5_000))

    spent: Counter[str] = Counter()
    for record in records:
        assert record.told is Told.DONE, record
        assert record.answer is not None
        if record.answer.value["ok"]:
            spent[record.call.name] += record.call.arguments[0]
    with host.caller() as caller:
        balances = {name: caller.value("Probe", name, "get", "balance") for name in ACCOUNTS}
    assert balances == {name: OPENING - spent[name] for name in ACCOUNTS}
    assert min(balances.values()) >= 0
    assert any(record.answer is not None and not record.answer.value["ok"] for record in records)


def slow_increments(host: HostProcess) -> tuple[int, int, int]:
    """How many slow increments of one name were acknowledged, what they add up to, how many were inside at once."""
    left = iter(range(64))

    def plan(client: int, _chance: random.Random) -> PlannedCall | None:
        if next(left, None) is None:
            return None
        return PlannedCall("hot", "overlap" if client == 0 else "slow_increment", (0.01,))

    with Load(host.url, plan, clients=8) as load:
        records = load.join()
    answers = [record.answer for record in records if record.answer is not None and record.call.method == "overlap"]
    most = max((answer.value for answer in answers if answer.status == 200), default=0)
    acknowledged = sum(record.told is Told.DONE and record.call.method == "slow_increment" for record in records)
    with host.caller() as caller:
        stored = caller.value("Probe", "hot", "get", "n", 0)
    return acknowledged, stored, most


def test_turns_of_one_name_never_overlap_and_no_increment_is_lost(probe_host: StartHost) -> None:
    host = probe_host()

    acknowledged, stored, most_inside = slow_increments(host)

    assert acknowledged > 0
    assert stored == acknowledged
    assert most_inside <= 1


def test_without_the_mailbox_increments_are_lost(start_probe_host: StartHost) -> None:
    host = start_probe_host(command=command("take_no_turns"))

    acknowledged, stored, _ = slow_increments(host)

    assert stored < acknowledged


def order_of_turns(host: HostProcess) -> list[int]:
    """The order in which calls ran that were sent one after another to a name that was busy."""
    results: dict[int, int] = {}

    def send(number: int) -> None:
        with host.caller() as caller:
            results[number] = caller.value("Probe", "queue", "increment")

    def queued() -> int:
        return int(caller.request("GET", "/v1/instances/Probe/queue").value["queued"])

    clients = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    blocker = CallUnderWay(host, "Probe", "queue", "spin", 1.5)
    blocker.wait_until_active()
    with host.caller() as caller:
        for number, thread in enumerate(clients):
            thread.start()
            while queued() <= number and not blocker.is_answered_within(0.005):
                pass  # each arrives before the next is sent
    for thread in clients:
        thread.join()
    assert blocker.answer().status == 200
    return [number for number, _ in sorted(results.items(), key=lambda pair: pair[1])]


def test_calls_run_in_arrival_order(probe_host: StartHost) -> None:
    assert order_of_turns(probe_host()) == list(range(12))


@pytest.mark.slow
def test_without_the_queue_they_do_not(start_probe_host: StartHost) -> None:
    assert order_of_turns(start_probe_host(command=command("last_come_first_served"))) != list(range(12))


def p99_beside(host: HostProcess, method: str, seconds: float) -> float:
    """The 99th percentile, in seconds, of other names' calls while one name is busy for a while."""
    ends = time.monotonic() + seconds + 30.0

    def plan(client: int, _chance: random.Random) -> PlannedCall | None:
        return PlannedCall(f"other-{client}", "increment") if time.monotonic() < ends else None

    with host.caller() as caller:
        for client in range(4):
            caller.value("Probe", f"other-{client}", "increment")
        caller.value("Probe", "busy", "put", "n", 1)
        load = Load(host.url, plan, clients=4, pause_s=0.002)
        with load:
            load.wait_for(20)
            began_s = time.monotonic()
            caller.value("Probe", "busy", method, seconds)
            ended_s = time.monotonic()
            load.stop()
    meanwhile = [record for record in load.records if record.ended_s > began_s and record.began_s < ended_s]
    assert ended_s - began_s >= min(seconds, 1.0)
    assert all(record.told is Told.DONE for record in meanwhile)
    return percentile([record.took_s for record in meanwhile], 0.99)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("method", ["spin", "storage_loop"])
def test_a_name_that_is_busy_for_10_s_leaves_the_others_p99_within_50_ms(
    start_probe_host: StartHost, method: str
) -> None:
    # 10 s of storage calls are more than a turn may make by default.
    host = start_probe_host("--limit", "turn_host_calls_max=100000000")

    assert p99_beside(host, method, 10.0) < 0.050


@pytest.mark.slow
def test_without_promotion_it_stops_them(start_probe_host: StartHost) -> None:
    host = start_probe_host("--limit", "promotion_after_s=1000")

    assert p99_beside(host, "spin", 2.0) > 0.5
