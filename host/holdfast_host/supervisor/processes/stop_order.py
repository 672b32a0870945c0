"""The order in which a host stops.

    fronts close their listeners -> workers finish their turns and flush -> fronts send the last replies -> all stop

The fronts stay up until the workers have drained, for the replies of running turns go through them, and so does the
courier, for turns may wait for it. A child that dies
on the way is not replaced; one that never became ready has nothing to finish and is killed. Time limits are the
caller's: SIGKILL is safe at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.processes.child import Child
from holdfast_host.supervisor.processes.supervision import Keeper
from holdfast_host.wire.control import Drain, Stop


class StopOrder:
    """One orderly stop; made when it begins."""

    def __init__(
        self, fronts: Sequence[Keeper], workers: Sequence[Keeper], log: EventLog, couriers: Sequence[Keeper] = ()
    ) -> None:
        self._fronts = fronts
        self._workers = workers
        self._couriers = couriers
        self._log = log
        self._drained: dict[Keeper, asyncio.Event] = {keeper: asyncio.Event() for keeper in (*fronts, *workers)}

    def note_drained(self, keeper: Keeper) -> None:
        """The child of this keeper has said `drained`."""
        self._drained[keeper].set()

    async def run(self) -> None:
        """Stop all in order; returns when every child has ended and been waited for."""
        for keeper in (*self._drained, *self._couriers):
            keeper.retire()
            if keeper.child is not None and not keeper.up:
                keeper.child.kill()
        fronts = [(keeper, keeper.child) for keeper in self._fronts if keeper.child is not None]
        workers = [(keeper, keeper.child) for keeper in self._workers if keeper.child is not None]
        for _, child in (*fronts, *workers):
            child.send(Drain())
        await asyncio.gather(*(self._until_drained(keeper, child) for keeper, child in workers))
        self._log.info("workers drained")
        await asyncio.gather(*(self._until_drained(keeper, child) for keeper, child in fronts))
        self._log.info("fronts drained")
        couriers = [(keeper, keeper.child) for keeper in self._couriers if keeper.child is not None]
        for group in (fronts, workers, couriers):
            for _, child in group:
                child.send(Stop())
            await asyncio.gather(*(asyncio.shield(child.ended) for _, child in group))

    def kill_all(self) -> None:
        """SIGKILL what still runs."""
        for keeper in (*self._drained, *self._couriers):
            keeper.retire()
            if keeper.child is not None:
                keeper.child.kill()

    async def _until_drained(self, keeper: Keeper, child: Child) -> None:
        """Return when the child has drained or ended."""
        drained = asyncio.create_task(self._drained[keeper].wait())
        try:
            await asyncio.wait((drained, child.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
