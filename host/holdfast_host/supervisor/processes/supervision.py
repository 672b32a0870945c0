"""Keeping one child running: start it, see that it answers, replace it when it dies.

The invariant: a successor starts only after its predecessor has been killed *and waited for*. A stopped process still
sits in its transaction, so a signal alone is no proof that it is gone. Order of stopping is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.processes.backoff import BackOff
from holdfast_host.supervisor.processes.child import Child
from holdfast_host.wire.control.protocol import ChildNews, Ready

Launch = Callable[[Callable[[ChildNews], None]], Awaitable[Child]]


class LaunchWithdrawnError(Exception):
    """A launch found, before its child was there, that the host has begun to stop."""


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """How long signs of life are waited for; seconds."""

    ping_every_s: float = 1.0
    pings_unanswered_max: int = 10  # counted, not timed: a host that was itself stopped for a while kills nobody
    start_s: float = 60.0
    closing_s: float = 1.0  # from the end of the channel to the end of the process


class Phase(Enum):
    """Where a supervised process is."""

    STARTING = "started, not ready yet"
    UP = "ready"
    DOWN = "ended, to be replaced"
    OVER = "ended, not replaced any more"


class SupervisedProcess:
    """A process that is kept running from `run` until `retire`, child after child; event loop's thread only."""

    def __init__(
        self,
        label: str,
        launch: Launch,
        log: EventLog,
        *,
        probe_times: ProbeTimes,
        on_message: Callable[[SupervisedProcess, ChildNews], None],
        on_phase: Callable[[SupervisedProcess], None],
    ) -> None:
        self.label = label
        self.child: Child | None = None
        self.phase = Phase.DOWN
        self.failed_starts = 0  # in a row, none of them ready
        self.last_code: int | None = None
        self.deaths = 0  # that nobody asked for
        self.stalled = False  # a worker's: its commit hangs
        self.shortage: str | None = None  # a worker's: why nothing of it may grow
        self.hung = False  # the last child, killed for leaving pings unanswered
        self._launch = launch
        self._log = log
        self._probe_times = probe_times
        self._on_message = on_message
        self._on_phase = on_phase
        self._backoff = BackOff()
        self._retired = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def up(self) -> bool:
        """True while the child is ready."""
        return self.phase is Phase.UP

    def retire(self) -> None:
        """Replace the child no more; `run` returns when it has ended."""
        self._retired.set()

    def note_stall(self, *, stalled: bool) -> None:
        """A worker's commit does not end; or has."""
        self.stalled = stalled
        if stalled:
            self._log.error(f"{self.label}: a commit does not end, the host is not ready")
        else:
            self._log.warning(f"{self.label}: the commit has ended")

    def note_room(self, shortage: str | None) -> None:
        """Why nothing of a worker may grow; None where it may again."""
        self.shortage = shortage
        if shortage is not None:
            self._log.error(f"{self.label}: {shortage}: nothing may grow, the host is not ready")
        else:
            self._log.warning(f"{self.label}: there is room again")

    async def run(self) -> None:
        """Keep the child running; returns after `retire`, when the last child has been waited for."""
        loop = asyncio.get_running_loop()
        while not self._retired.is_set():
            began = loop.time()
            was_ready = False
            try:
                was_ready = await self._live_once()
            except LaunchWithdrawnError:
                self._retired.set()
            except OSError as error:
                self._log.error(f"{self.label} cannot be started", error=error)
            self.failed_starts = 0 if was_ready else self.failed_starts + 1
            self._enter(Phase.DOWN)
            if not self._retired.is_set():
                await self._pause(self._backoff.delay_after(loop.time() - began, was_ready))
        self._enter(Phase.OVER)

    async def _live_once(self) -> bool:
        """One child from start to end; True when it had been ready."""
        self._ready.clear()
        self.stalled = self.hung = False
        self.shortage = None
        self._enter(Phase.STARTING)
        self.child = child = await self._launch(self._receive)
        self._log.info(f"{self.label} started", pid=child.pid)
        if self._retired.is_set():
            child.kill()
        watch = asyncio.create_task(self._watch(child))
        try:
            code = await asyncio.shield(child.ended)
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            if not child.ended.done():
                child.kill()
        self.child = None
        self.last_code = code
        if self._retired.is_set() and code == 0:
            self._log.info(f"{self.label} stopped", pid=child.pid)
        else:
            self.deaths += 1
            self._log.warning(f"{self.label} died", pid=child.pid, code=code, ready=self._ready.is_set())
        return self._ready.is_set()

    async def _watch(self, child: Child) -> None:
        """Kill a child that does not start, does not answer, or closed its channel without ending."""
        watchers = {
            asyncio.create_task(self._see_closing(child)),
            asyncio.create_task(self._see_hanging(child)),
        }
        try:
            await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
            child.kill()
        finally:
            for each in watchers:
                each.cancel()

    async def _see_closing(self, child: Child) -> None:
        """Return when the channel has ended and the process has not followed it in time."""
        await child.closed.wait()
        await asyncio.sleep(self._probe_times.closing_s)
        self._log.warning(f"{self.label} closed its channel but runs on: killed", pid=child.pid)

    async def _see_hanging(self, child: Child) -> None:
        """Return when the child does not become ready in time, or leaves too many pings unanswered."""
        try:
            async with asyncio.timeout(self._probe_times.start_s):
                await self._ready.wait()
        except TimeoutError:
            self._log.error(f"{self.label} not ready in time: killed", pid=child.pid, limit_s=self._probe_times.start_s)
            return
        while child.unanswered_pings < self._probe_times.pings_unanswered_max:
            child.ping()
            await asyncio.sleep(self._probe_times.ping_every_s)
        self.hung = True
        self._log.error(f"{self.label} hangs: killed", pid=child.pid, unanswered_pings=child.unanswered_pings)

    def _receive(self, message: ChildNews) -> None:
        """A message of the current child."""
        if isinstance(message, Ready):
            self._ready.set()
            self._enter(Phase.UP)
        self._on_message(self, message)

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._on_phase(self)

    async def _pause(self, delay_s: float) -> None:
        """Wait before the successor starts, unless retired meanwhile."""
        if delay_s == 0:
            return
        self._log.error(f"{self.label} keeps dying", deaths=self._backoff.deaths, next_start_in_s=delay_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._retired.wait()
