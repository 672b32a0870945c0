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
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.protocol import Drain, Stop


class StopOrder:
    """One orderly stop; made when it begins."""

    def __init__(
        self,
        fronts: Sequence[SupervisedProcess],
        workers: Sequence[SupervisedProcess],
        log: EventLog,
        couriers: Sequence[SupervisedProcess] = (),
    ) -> None:
        self._fronts = fronts
        self._workers = workers
        self._couriers = couriers
        self._log = log
        self._drained: dict[SupervisedProcess, asyncio.Event] = {
            process: asyncio.Event() for process in (*fronts, *workers)
        }

    def note_drained(self, process: SupervisedProcess) -> None:
        """This process has said `drained`."""
        self._drained[process].set()

    async def run(self) -> None:
        """Stop all in order; returns when every child has ended and been waited for."""
        for process in (*self._drained, *self._couriers):
            process.retire()
            if process.child is not None and not process.up:
                process.child.kill()
        fronts = [(process, process.child) for process in self._fronts if process.child is not None]
        workers = [(process, process.child) for process in self._workers if process.child is not None]
        for _, child in (*fronts, *workers):
            child.send(Drain())
        await asyncio.gather(*(self._until_drained(process, child) for process, child in workers))
        self._log.info("workers drained")
        await asyncio.gather(*(self._until_drained(process, child) for process, child in fronts))
        self._log.info("fronts drained")
        couriers = [(process, process.child) for process in self._couriers if process.child is not None]
        for group in (fronts, workers, couriers):
            for _, child in group:
                child.send(Stop())
            await asyncio.gather(*(asyncio.shield(child.ended) for _, child in group))

    def kill_all(self) -> None:
        """SIGKILL what still runs."""
        for process in (*self._drained, *self._couriers):
            process.retire()
            if process.child is not None:
                process.child.kill()

    async def _until_drained(self, process: SupervisedProcess, child: Child) -> None:
        """Return when the child has drained or ended."""
        drained = asyncio.create_task(self._drained[process].wait())
        try:
            await asyncio.wait((drained, child.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
