"""The supervisor as a whole: what `holdfast serve` runs.

It owns the lock, the sockets, the registry, the routing table and the order of starting and stopping; HTTP is the
fronts', guest code the workers'. Everything runs on one event loop in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any, Final, assert_never

from holdfast_host.core.config import HostConfig
from holdfast_host.core.logs import EventLog, adopt_logging
from holdfast_host.supervisor.archive.opening import open_archive
from holdfast_host.supervisor.audit.operations import Audit
from holdfast_host.supervisor.backups import Backups
from holdfast_host.supervisor.central_store import watch_seats
from holdfast_host.supervisor.cluster.standby import Standby, StandbyEndedError
from holdfast_host.supervisor.courier import CourierLaunch
from holdfast_host.supervisor.crashes.attribution import CrashAttribution
from holdfast_host.supervisor.deploys.component_store import Compile, ComponentStore
from holdfast_host.supervisor.deploys.deploys import Deploys
from holdfast_host.supervisor.deploys.rollout import ProcessRollout
from holdfast_host.supervisor.following import Follow, follow_others
from holdfast_host.supervisor.further_operations import FurtherOperations
from holdfast_host.supervisor.launching import FrontLaunch, WorkerLaunch
from holdfast_host.supervisor.live_settings import LiveSettings
from holdfast_host.supervisor.operations import Operations
from holdfast_host.supervisor.processes.child import Programs
from holdfast_host.supervisor.processes.health import health_of
from holdfast_host.supervisor.processes.stop_order import StopOrder
from holdfast_host.supervisor.processes.supervision import Launch, Phase, ProbeTimes, SupervisedProcess
from holdfast_host.supervisor.secrets.operations import Secrets
from holdfast_host.supervisor.startup import HostResources, open_resources
from holdfast_host.supervisor.tenants.operations import Tenants
from holdfast_host.supervisor.tenants.quotas import TenantQuotas
from holdfast_host.supervisor.tokens.operations import TokenOperations
from holdfast_host.supervisor.tokens.telling import TokenNews
from holdfast_host.wire.control.audit import RequestsRefused
from holdfast_host.wire.control.protocol import (
    ChildNews,
    CommitStalled,
    Drained,
    Fatal,
    HostHealth,
    LiveFronts,
    NewRouting,
    Ready,
    Request,
    RoomChanged,
    Unloadable,
    Withdraw,
)
from holdfast_host.wire.control.tokens import TokensUsed

FAILED_STARTS_MAX: Final = 3  # of one child in a row, while the host itself is starting
_DEATHS_BY_CODE: Final = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL)
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    config: HostConfig,
    announce: Callable[[str], None],
    compile_component: Compile,
    *,
    programs: Programs | None = None,
    probe_times: ProbeTimes | None = None,
    reread: Callable[[], HostConfig] | None = None,
) -> int:
    """Run a host until it is told to stop; blocks.

    Args:
        config: what the operator said.
        announce: called once, with the URL, when every process is ready.
        compile_component: how a component is compiled.
        programs: the children's command lines.
        probe_times: how long to wait for their signs of life.
        reread: what the operator says now, for SIGHUP; without it that stops the host.

    Returns:
        The exit code: 0 after a stop in order, 1 when the host failed or had to be killed.

    Raises:
        ConfigurationError: the directory or the address cannot be had.
    """
    adopt_logging("supervisor", config.log_level, config.log_format)
    log = EventLog(config.log_level, log_format=config.log_format)
    settings = LiveSettings(config, log, reread)
    try:
        standby = Standby(settings.manager, compile_component)
        with settings.keeping_asks(), open_resources(config, log, standby) as resources:

            async def run() -> int:
                parts = programs or Programs(), probe_times or ProbeTimes()
                return await Host(config, settings, resources, compile_component, log, *parts).run(announce)

            return asyncio.run(run())
    except StandbyEndedError:
        log.info("stopped", exit_code=0)
        return 0


class Host:
    """The running host: its processes, its registry, its end. Made inside the event loop; `run` is its life."""

    def __init__(
        self,
        config: HostConfig,
        settings: LiveSettings,
        resources: HostResources,
        compile_component: Compile,
        log: EventLog,
        programs: Programs,
        probe_times: ProbeTimes,
    ) -> None:
        self._config = config
        self._settings = settings
        self._resources = resources
        self._log = log
        self._probe_times = probe_times
        workers = len(resources.worker_listeners)
        self._attribution = CrashAttribution(resources.quarantine, resources.registry, workers, log)
        self._components = ComponentStore(
            resources.directory, resources.registry, compile_component, config.limits, log, resources.shared_components
        )
        self._quotas = TenantQuotas(resources.registry, log)
        self._workers = [self._worker(number, programs) for number in range(workers)]
        fronts = range(config.fronts)
        self._front_launches = [FrontLaunch(each, config, resources, programs.front, settings) for each in fronts]
        self._fronts = [self._process(f"front {number}", launch) for number, launch in enumerate(self._front_launches)]
        launch_courier = CourierLaunch(config, resources, programs.courier, settings, self._quotas)
        self._courier = self._process("courier", launch_courier)
        self._courier_kept: asyncio.Task[None] | None = None
        self._all = [*self._workers, *self._fronts]
        self._grants = launch_courier.grants
        rollout = ProcessRollout(
            self._workers,
            self._fronts,
            log,
            courier=self._courier,
            grants=self._grants,
            outbound_limits=self._quotas.for_courier,
            need_courier=self._need_courier,
        )
        self._secrets = Secrets(resources.vault, resources.registry, rollout.tell_secrets, log)
        token_news = TokenNews(self._fronts)
        self._tokens = TokenOperations(resources.tokens, config.limits, token_news.tell, log)
        self._rollout = rollout
        self._deploys = Deploys(
            resources.registry,
            rollout,
            self._components,
            config.limits,
            log,
            config.outbound,
            note_deploy=self._quotas.note_deploy,
        )
        self._tenants = Tenants(
            resources.registry,
            self._deploys,
            (self._tokens, self._secrets),
            lambda: rollout.publish(resources.registry.catalog()),
            self._quotas,
            rollout,
            log,
        )
        backups = Backups(resources, self._workers, log)
        self._audit = Audit(resources.audit, log)
        self._archive = open_archive(config, resources, backups.take, log)
        further = FurtherOperations(
            resources=resources,
            workers=self._workers,
            fronts=self._fronts,
            couriers=lambda: [] if self._courier_kept is None else [self._courier],
            attribution=self._attribution,
            components=self._components,
            secrets=self._secrets,
            tenants=self._tenants,
            tokens=self._tokens,
            token_news=token_news,
            audit=self._audit,
            backups=backups,
            archive=self._archive,
        )
        self._operations = Operations(
            resources.registry,
            self._deploys,
            config.domain,
            resources.url,
            log,
            further.perform,
            resources.vault.all,
            self._components.bytes_of,
        )
        self._manager = settings.manager
        self._exit_code = 0
        self._announced = False
        self._changed = asyncio.Event()  # a child's phase
        self._stop_asked = asyncio.Event()
        self._kill_asked = asyncio.Event()
        self._stop: StopOrder | None = None
        self._seats_watched: asyncio.Task[None] | None = None
        self._repairs: set[asyncio.Task[None]] = set()

    async def run(self, announce: Callable[[str], None]) -> int:
        """Start everything, announce it, keep it running, stop it; returns the exit code."""
        loop, manager = asyncio.get_running_loop(), self._manager
        stopping = [each for each in _STOP_SIGNALS if each != signal.SIGHUP or not self._settings.can_reread]
        for number in stopping:
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number).name)
        heart = self._resources.heart
        if heart is not None:
            heart.on_over(lambda: loop.call_soon_threadsafe(self._end_taken_over))
        settings = self._settings.watch(self._fronts, [*self._workers, self._courier])
        quotas = self._quotas.watch(self._rollout)
        watching = [asyncio.create_task(each) for each in (settings, manager.keep_alive(), self._following(), quotas)]
        if self._archive is not None:
            self._archive.begin()
            watching.append(asyncio.create_task(self._archive.watch(self._tell_health)))
        supervised: list[asyncio.Task[None]] = []
        try:
            await self._or_stop(self._components.restore())
            if not self._stop_asked.is_set():
                supervised = [asyncio.create_task(self._supervise(process)) for process in self._all]
                if self._grants():
                    self._need_courier()
                await self._or_stop(self._until_ready())
            if not self._stop_asked.is_set():
                self._announced = True
                self._seats_watched = asyncio.create_task(self._watch_seats())
                watching.append(self._seats_watched)
                announce(self._resources.url)
                manager.ready()
                self._log.info("ready", url=self._resources.url, workers=len(self._workers), fronts=len(self._fronts))
            await self._stop_asked.wait()
            await self._stop_all()
        finally:
            for task in watching:
                task.cancel()
            for process in (*self._all, self._courier):
                process.retire()
                if process.child is not None:
                    process.child.kill()
            await asyncio.gather(*supervised, *([] if self._courier_kept is None else [self._courier_kept]))
            self._attribution.close()
            self._audit.close()
            if self._archive is not None:
                await self._archive.aclose()
            if heart is not None:
                heart.on_over(lambda: None)
            for number in stopping:
                loop.remove_signal_handler(number)
        self._log.info("stopped", exit_code=self._exit_code)
        return self._exit_code

    async def _watch_seats(self) -> None:
        await watch_seats(self._resources, self._workers, self._tell_routing, self._deploys.one_at_a_time, self._log)

    def _tell_routing(self, news: NewRouting) -> None:
        for process in self._all:
            if process.child is not None:
                process.child.send(news)

    async def _following(self) -> None:
        follow: dict[str, Follow] = {"registry": self._tenants.follow, "secrets": self._secrets.follow}
        follow |= {"tokens": self._tokens.follow, "quarantine": lambda: self._attribution.follow(self._workers)}
        await follow_others(self._resources.moved, follow, self._log)

    def request_stop(self, reason: str, *, exit_code: int = 0) -> None:
        """Begin to stop in order; the highest exit code asked for counts."""
        self._exit_code = max(self._exit_code, exit_code)
        for process in (*self._all, self._courier):
            process.retire()
        if self._seats_watched is not None:
            self._seats_watched.cancel()  # no worker is to come up again
        if not self._stop_asked.is_set():
            self._log.info("stopping", reason=reason)
            self._manager.stopping()
            self._stop_asked.set()

    def _end_taken_over(self) -> None:
        """Another host has the shards: nothing that ours still do counts."""
        self._log.error("another host has taken this one over: was it stopped, or cut off from the store?")
        self.request_stop("taken over by another host", exit_code=1)
        self._kill_asked.set()

    def _on_signal(self, name: str) -> None:
        """The first one stops in order, the second one kills."""
        if self._stop_asked.is_set():
            self._log.warning("killing all processes", reason=f"second {name}")
            self._kill_asked.set()
        else:
            self.request_stop(name)

    async def _stop_all(self) -> None:
        """The orderly stop, within its time."""
        self._stop = StopOrder(self._fronts, self._workers, self._log, [self._courier])
        for listener in filter(None, (self._resources.listener, self._resources.root_listener)):
            listener.close()
        self._tell_health()
        order = asyncio.create_task(self._stop_in_order(self._stop))
        killed = asyncio.create_task(self._kill_asked.wait())
        limit_s = self._config.limits.stop_timeout_s
        await asyncio.wait((order, killed), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not order.done():
            self._exit_code = max(self._exit_code, 1)
            if not killed.done():
                self._log.error("not stopped in time: killing all processes", limit_s=limit_s)
            self._stop.kill_all()
        killed.cancel()
        await order

    async def _stop_in_order(self, order: StopOrder) -> None:
        """Changes of the registry end first: their answers go through the fronts."""
        await self._operations.aclose()
        await order.run()

    async def _supervise(self, process: SupervisedProcess) -> None:
        """Supervise a process; a failure of that is a bug, and ends the host rather than leave a child unwatched."""
        try:
            await process.run()
        except Exception as error:
            self._log.error(f"the supervision of {process.label} failed", error=repr(error))
            self.request_stop(f"{process.label} is not watched any more", exit_code=1)

    async def _or_stop(self, work: Any) -> None:
        """Await the work, or cancel it when the host is to stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _until_ready(self) -> None:
        """Return when every child is ready."""
        while not all(process.up for process in self._all):
            self._changed.clear()
            await self._changed.wait()

    def _need_courier(self) -> None:
        """Keep a courier from now on; without a function that asks outside there is none."""
        if self._courier_kept is None:
            self._courier_kept = asyncio.create_task(self._supervise(self._courier))

    def _worker(self, number: int, programs: Programs) -> SupervisedProcess:
        def is_suspect() -> bool:
            worker = self._workers[number]
            return worker.failed_starts > 0 or worker.last_code in _DEATHS_BY_CODE

        launch = WorkerLaunch(
            number,
            self._config,
            self._resources,
            programs.worker,
            self._settings,
            attribution=self._attribution,
            components=self._components,
            quotas=self._quotas,
            is_suspect=is_suspect,
        )
        return self._process(f"worker {number}", launch)

    def _process(self, label: str, launch: Launch) -> SupervisedProcess:
        return SupervisedProcess(
            label,
            launch,
            self._log,
            probe_times=self._probe_times,
            on_message=self._on_message,
            on_phase=self._on_phase,
        )

    def _on_message(self, process: SupervisedProcess, message: ChildNews) -> None:
        """What a child says of itself."""
        match message:
            case Ready():
                pass  # its supervision has seen it
            case Request():
                if process.child is not None:
                    self._operations.accept(process.child, message)
            case Withdraw():
                if process.child is not None:
                    self._operations.withdraw(process.child, message.id)
            case Drained():
                if self._stop is not None:
                    self._stop.note_drained(process)
            case Unloadable():
                self._repair(process, message)
            case CommitStalled():
                process.note_stall(stalled=message.stalled)
                self._tell_health()
            case TokensUsed():
                self._tokens.note_used(message.ids)
            case RequestsRefused():
                self._audit.note_refused(message)
            case RoomChanged():
                process.note_room(message.shortage)
                self._tell_health()
            case Fatal():
                self._log.error(f"{process.label} cannot go on: the host stops", reason=message.reason)
                self.request_stop(f"{process.label}: {message.reason}", exit_code=1)
            case _:
                assert_never(message)

    def _repair(self, process: SupervisedProcess, message: Unloadable) -> None:
        """A worker runs without a function whose compiled file it cannot load."""
        self._log.error(f"{process.label} cannot load {message.function!r}", reason=message.reason)
        task = asyncio.create_task(self._deploys.repair(message.function))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _on_phase(self, process: SupervisedProcess) -> None:
        """A child started, got ready or died."""
        self._changed.set()
        if process.phase is Phase.DOWN and process in self._workers:
            self._attribution.after_death(self._workers.index(process), self._workers)
        if process.phase is Phase.DOWN and process in self._fronts:
            self._front_launches[self._fronts.index(process)].note_end()
        self._operations.withdraw_of_gone_fronts()
        if process.phase is Phase.DOWN and process.failed_starts >= FAILED_STARTS_MAX and not self._announced:
            self._log.error(
                f"{process.label} does not start", attempts=process.failed_starts, exit_code_of_last=process.last_code
            )
            self.request_stop(f"{process.label} does not start", exit_code=1)
        self._tell_health()
        for worker in self._workers:
            if worker.child is not None:
                worker.child.send(LiveFronts([*self._resources.front_numbers.live]))

    def _tell_health(self) -> None:
        """Tell the fronts which workers are up, and whether the host is stopping."""
        complaint = "" if self._archive is None else self._archive.complaint
        self._tell_fronts(health_of(self._workers, stopping=self._stop_asked.is_set(), archive=complaint))

    def _tell_fronts(self, news: HostHealth) -> None:
        for front in self._fronts:
            if front.child is not None:
                front.child.send(news)
