"""Which worker of a host owns which shards: those of one that does not come up are spread over the others.

A worker that has not been ready for a while has its seat emptied: it gets another life, so that whatever its process
still does is written nowhere, and the others take on what it had. Once it has been ready again for a while, those that
have more than their share give it some back. What the store says counts: the table is made from that, after each change
and each try of one. Shards with open sockets stay where they are.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from holdfast_host.core.errors import HoldfastError
from holdfast_host.storage.postgres import members, owning
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.wire.control.protocol import AcquireShards, Done, GaveShards, GiveShards, NewRouting

if TYPE_CHECKING:
    from holdfast_host.core.logs import EventLog
    from holdfast_host.storage.postgres.owning import Owners
    from holdfast_host.supervisor.processes.supervision import SupervisedProcess
    from holdfast_host.wire.control.messages import Question
    from holdfast_host.wire.control.routing import RouteBook
    from holdfast_host.wire.control.starts import CentralStore

LOOK_S: Final = 0.5
EMPTY_AFTER_S: Final = 8.0  # less than a call waits for a successor
CALM_S: Final = 5.0  # that a worker is ready before it is given something
LOT: Final = 64  # shards that are given at a time
_STUCK_S: Final = 30.0  # until what was not given is tried again
_ROUND_S: Final = 5.0
_ANSWER_S: Final = 15.0

_Found = TypeVar("_Found")
_Reply = TypeVar("_Reply", Done, GaveShards)


@dataclass(frozen=True, slots=True)
class Gift:
    """Shards that one worker is to give to another."""

    giver: int
    taker: int
    shards: tuple[int, ...]


def choose_gift(owners: Owners, ready: Sequence[int], stuck: Container[int] = ()) -> Gift | None:
    """What the worker with the most shards gives to the one with the fewest; None where they are even.

    Args:
        owners: the worker of each shard.
        ready: the workers that have been up for a while.
        stuck: shards that could not be given a moment ago.
    """
    if len(ready) < 2:
        return None
    counts = Counter(owners.values())
    giver, taker = max(ready, key=lambda each: counts[each]), min(ready, key=lambda each: counts[each])
    surplus = (counts[giver] - counts[taker]) // 2
    shards = sorted(shard for shard, owner in owners.items() if owner == giver and shard not in stuck)
    chosen = tuple(shards[: max(0, min(surplus, LOT))])
    return Gift(giver, taker, chosen) if chosen else None


class Seats:
    """The seats of one host's workers; event loop's thread, the store is asked on others."""

    def __init__(
        self,
        store: CentralStore,
        workers: Sequence[SupervisedProcess],
        routes: RouteBook,
        tell: Callable[[NewRouting], None],
        changes: asyncio.Lock,
        log: EventLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell(table)` tells all fronts and workers; `changes` is held by each change of what is deployed."""
        self._store = store
        self._workers = workers
        self._routes = routes
        self._tell = tell
        self._changes = changes
        self._log = log
        self._clock = clock
        self._since = [(worker.up, clock()) for worker in workers]  # whether each is up, and since when
        self._emptied: set[int] = set()  # those that have not been up since
        self._stuck: set[int] = set()  # shards that could not be given
        self._stuck_at = 0.0
        self._unsure = False  # something was tried of which nobody has said what became

    async def watch(self) -> None:
        """Look after them for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (HoldfastError, TimeoutError, members.BROKEN) as error:
                self._log.warning("what the workers own could not be changed: tried again", error=str(error).strip())

    async def look(self) -> None:
        """Empty a seat, or have a worker with too much give something, where it is time to."""
        now = self._clock()
        for number, worker in enumerate(self._workers):
            if worker.up != self._since[number][0]:
                self._since[number] = worker.up, now
            if worker.up:
                self._emptied.discard(number)
        if self._unsure:
            await self._follow()
        up = [number for number, (is_up, _) in enumerate(self._since) if is_up]
        # Who has just come up himself says nothing about those that will: the store may have been away.
        heirs = [number for number in up if now - self._since[number][1] >= EMPTY_AFTER_S]
        for number, (is_up, since) in enumerate(self._since):
            if not is_up and now - since >= EMPTY_AFTER_S and heirs and number not in self._emptied:
                self._emptied.add(number)
                await self._empty(number, heirs)
                return
        if now - self._stuck_at >= _STUCK_S:
            self._stuck.clear()
        ready = [number for number in up if now - self._since[number][1] >= CALM_S]
        gift = choose_gift(dict(enumerate(self._routes.owners)), ready, self._stuck)
        if gift is not None:
            await self._give(gift)

    async def _empty(self, worker: int, heirs: Sequence[int]) -> None:
        child = self._workers[worker].child
        if child is not None:  # what it has claimed is about to be others'
            child.kill()
        self._unsure = True
        given = await asyncio.to_thread(self._do, lambda to: owning.empty_seat(to, *self._host, worker, heirs))
        if given:
            self._log.warning(f"worker {worker} does not come up: the others take on its shards", shards=len(given))
        await self._follow()

    async def _give(self, gift: Gift) -> None:
        self._unsure = True
        async with self._changes:  # which ask each worker what it has: none of it may be on its way
            await self._give_now(gift)

    async def _give_now(self, gift: Gift) -> None:
        gave = await self._ask(gift.giver, GiveShards(shards=[*gift.shards], worker=gift.taker), GaveShards)
        if gave is not None and gave.shards:
            self._log.info(f"worker {gift.giver} gives shards to worker {gift.taker}", shards=len(gave.shards))
        self._stuck.update(set(gift.shards).difference(() if gave is None else gave.shards))  # busy, or with sockets
        self._stuck_at = self._clock()
        await self._follow()

    async def _follow(self) -> None:
        """Have each worker serve what it owns by now, then tell all which that is."""
        owners = await asyncio.to_thread(self._do, lambda to: owning.read_owners(to, self._store.host))
        before = self._routes.owners
        changed = {shard: owner for shard, owner in owners.items() if before[shard] != owner}
        for worker in sorted(set(changed.values())):
            await self._ask(worker, AcquireShards(), Done)  # one that ends meanwhile claims them at its next start
        self._unsure = False
        if changed:
            table = self._routes.table.given(changed)
            self._routes.take(table)
            self._tell(NewRouting(table))

    @property
    def _host(self) -> tuple[str, int]:
        return self._store.host, self._store.life

    async def _ask(self, worker: int, question: Question, kind: type[_Reply]) -> _Reply | None:
        child = self._workers[worker].child
        if child is None:
            return None
        async with asyncio.timeout(_ANSWER_S):
            try:
                return await child.ask(question, kind)
            except HoldfastError as error:
                self._log.warning(f"worker {worker} has not taken on or given away shards", error=error)
                return None

    def _do(self, work: Callable[[members.Connection], _Found]) -> _Found:
        address = StoreAddress(self._store.dsn, self._store.durability)
        with connect(address, owning.host_name(self._store.host)) as connection, cut_after(connection, _ROUND_S):
            return work(connection)
