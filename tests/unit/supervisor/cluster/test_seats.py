"""What workers give each other, as plain data, until they are even."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast_host.core.limits import SHARDS
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.cluster.seats import CALM_S, EMPTY_AFTER_S, LOT, Gift, Seats, choose_gift
from holdfast_host.wire.control.protocol import NewRouting
from holdfast_host.wire.control.routing import RouteBook, Routing
from holdfast_host.wire.control.starts import CentralStore


def test_a_worker_that_is_alone_or_has_its_share_is_given_nothing() -> None:
    even = {shard: shard % 3 for shard in range(SHARDS)}

    assert choose_gift(even, [0, 1, 2]) is None
    assert choose_gift(dict.fromkeys(range(SHARDS), 0), [0]) is None
    assert choose_gift(even, []) is None


def test_a_worker_that_has_come_up_is_given_shards_by_the_one_with_the_most() -> None:
    owners = {shard: 2 if shard < 100 else 1 for shard in range(SHARDS)}

    assert choose_gift(owners, [0, 1, 2]) == Gift(1, 0, tuple(range(100, 100 + LOT)))
    assert choose_gift(owners, [0, 2]) == Gift(2, 0, tuple(range(50)))


def test_what_could_not_be_given_is_passed_over() -> None:
    owners = dict.fromkeys(range(SHARDS), 0)
    gift = choose_gift(owners, [0, 1], stuck=range(250))

    assert gift == Gift(0, 1, (250, 251, 252, 253, 254, 255))
    assert choose_gift(owners, [0, 1], stuck=range(SHARDS)) is None


@pytest.mark.parametrize("seed", range(50))
def test_gifts_come_to_an_end_with_every_worker_within_one_of_the_others(seed: int) -> None:
    """Whatever they had: nothing goes to and fro."""
    chance = random.Random(seed)
    workers = range(chance.randint(2, 9))
    owners = {shard: chance.choice([0, chance.choice(workers)]) for shard in range(SHARDS)}
    gifts = 0
    while (gift := choose_gift(owners, workers)) is not None:
        assert {owners[shard] for shard in gift.shards} == {gift.giver}
        owners |= dict.fromkeys(gift.shards, gift.taker)
        gifts += 1
    counts = Counter(owners.values())

    assert max(counts.values()) - min(counts[each] for each in workers) <= 1
    assert gifts < 40


def test_a_book_takes_later_tables_alone_and_whoever_has_it_finds_the_owner_by_them() -> None:
    first = Routing.over(SHARDS, ["a", "b"])
    book = RouteBook(first)
    worker, shard = book.place(7, b"alice")
    second = first.given({shard: 1 - worker})

    assert book.take(second)
    assert book.place(7, b"alice") == (1 - worker, shard)
    assert shard in book.partitions_of(1 - worker)
    assert not book.take(first)
    assert not book.take(second)
    assert book.place(7, b"alice") == (1 - worker, shard)


class Looked(Seats):
    """Seats of workers that the test has go up and down, by its own clock; notes what is to be done."""

    def __init__(self, workers: int) -> None:
        self.now = 100.0
        self.processes = [SimpleNamespace(up=True, child=None) for _ in range(workers)]
        self.events: list[str] = []
        routes = RouteBook(Routing.over(SHARDS, [f"w{number}" for number in range(workers)]))
        store, log = CentralStore("", "single", "h", 1), EventLog("error")
        told: list[NewRouting] = []
        super().__init__(store, cast("Any", self.processes), routes, told.append, asyncio.Lock(), log, lambda: self.now)

    async def _empty(self, worker: int, heirs: Sequence[int]) -> None:
        self.events.append(f"empty {worker} for {[*heirs]}")

    async def _give(self, gift: Gift) -> None:
        self.events.append(f"{gift.giver} gives {gift.taker}")

    def after(self, seconds: float, *up: int) -> list[str]:
        """Look when these workers are up, then once more after so many seconds; what was to be done."""
        self.events.clear()
        for number, each in enumerate(self.processes):
            each.up = number in up
        asyncio.run(self.look())
        self.now += seconds
        asyncio.run(self.look())
        return [*self.events]


def test_a_seat_is_emptied_once_when_its_worker_has_been_down_for_a_while_beside_others() -> None:
    seats = Looked(3)

    assert seats.after(60, 0, 1, 2) == []
    assert seats.after(EMPTY_AFTER_S - 0.1, 1, 2) == []
    assert seats.after(0.2, 1, 2) == ["empty 0 for [1, 2]"]
    assert seats.after(60, 1, 2) == []
    assert seats.after(1, 0, 1, 2) == []
    assert seats.after(EMPTY_AFTER_S, 1, 2) == ["empty 0 for [1, 2]"]


def test_workers_that_come_up_one_after_another_behind_an_outage_of_the_store_keep_their_seats() -> None:
    """All were down for long; the first to come up says nothing about the others."""
    seats = Looked(2)
    seats.after(60, 0, 1)

    assert seats.after(60) == []
    assert seats.after(3, 1) == []
    assert seats.after(60, 0, 1) == []


def test_what_a_worker_has_given_up_comes_back_when_it_has_been_up_for_a_while() -> None:
    seats = Looked(2)
    seats._routes.take(seats._routes.table.given(dict.fromkeys(range(SHARDS), 1)))

    assert seats.after(CALM_S - 0.1, 0, 1) == []
    assert seats.after(0.2, 0, 1) == ["1 gives 0"]
    assert seats.after(60, 1) == ["empty 0 for [1]"], "in case that it has some yet"
