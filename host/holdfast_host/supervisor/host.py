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

from holdfast_host.core.child_process import private_bytes
from holdfast_host.core.config import HostConfig
from holdfast_host.core.logs import EventLog, adopt_logging
from holdfast_host.supervisor.courier import CourierLaunch
from holdfast_host.supervisor.crashes.attribution import CrashAttribution
from holdfast_host.supervisor.deploys.component_store import Compile, ComponentStore
from holdfast_host.supervisor.deploys.deploys import Deploys
from holdfast_host.supervisor.deploys.rollout import ProcessRollout, without_sources
from holdfast_host.supervisor.operations import Operations
from holdfast_host.supervisor.processes.activity import collect_activity
from holdfast_host.supervisor.processes.child import Child, Programs, spawn_child
from holdfast_host.supervisor.processes.measures import collect_measures
from holdfast_host.supervisor.processes.stop_order import StopOrder
from holdfast_host.supervisor.processes.supervision import Keeper, Phase, ProbeTimes
from holdfast_host.supervisor.secrets.operations import Secrets
from holdfast_host.supervisor.startup import HostResources, open_resources
from holdfast_host.wire.control import (
    ChildNews,
    CommitStalled,
    Drained,
    Fatal,
    FrontStart,
    HostHealth,
    JsonObject,
    Ready,
    Request,
    RoomChanged,
    Unloadable,
    Withdraw,
    WorkerStart,
)
from holdfast_host.wire.operations import (
    CollectActivity,
    CollectMeasures,
    DeleteSecret,
    FurtherOperation,
    ListQuarantined,
    ListSecrets,
    ReleaseFunction,
    ReleaseInstance,
    SetSecret,
)

FAILED_STARTS_MAX: Final = 3  # of one child in a row, while the host itself is starting
_DEATHS_BY_CODE: Final = (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL)
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Receive = Callable[[ChildNews], None]


def serve(
    config: HostConfig,
    announce: Callable[[str], None],
    compile_component: Compile,
    *,
    programs: Programs | None = None,
    patience: ProbeTimes | None = None,
) -> int:
    """Run a host until it is told to stop; blocks.

    Args:
        config: what the operator said.
        announce: called once, with the URL, when every process is ready.
        compile_component: how a component is compiled.
        programs: the children's command lines.
        patience: how long to wait for their signs of life.

    Returns:
        The exit code: 0 after a stop in order, 1 when the host failed or had to be killed.

    Raises:
        ConfigurationError: the directory or the address cannot be had.
    """
    adopt_logging("supervisor", config.log_level, config.log_format)
    log = EventLog(config.log_level, log_format=config.log_format)
    with open_resources(config, log) as resources:

        async def run() -> int:
            host = Host(config, resources, compile_component, log, programs or Programs(), patience or ProbeTimes())
            return await host.run(announce)

        return asyncio.run(run())


class Host:
    """The running host: its keepers, its registry, its end. Made inside the event loop; `run` is its life."""

    def __init__(
        self,
        config: HostConfig,
        resources: HostResources,
        compile_component: Compile,
        log: EventLog,
        programs: Programs,
        patience: ProbeTimes,
    ) -> None:
        self._config = config
        self._resources = resources
        self._log = log
        self._programs = programs
        self._patience = patience
        workers = len(resources.worker_listeners)
        self._attribution = CrashAttribution(resources.quarantine, resources.registry, workers, log)
        self._workers = [self._worker(number) for number in range(len(resources.worker_listeners))]
        self._fronts = [self._front(number) for number in range(config.fronts)]
        launch_courier = CourierLaunch(config, resources, programs.courier)
        self._courier = self._keeper("courier", launch_courier)
        self._courier_kept: asyncio.Task[None] | None = None
        self._all = [*self._workers, *self._fronts]
        self._components = ComponentStore(
            resources.directory, resources.registry, compile_component, config.limits, log
        )
        self._grants = launch_courier.grants
        rollout = ProcessRollout(
            self._workers,
            self._fronts,
            log,
            courier=self._courier,
            grants=self._grants,
            need_courier=self._need_courier,
        )
        self._secrets = Secrets(resources.vault, resources.registry, rollout.tell_secrets, log)
        self._deploys = Deploys(resources.registry, rollout, self._components, config.limits, log, config.outbound)
        self._operations = Operations(
            resources.registry,
            self._deploys,
            config.domain,
            resources.url,
            log,
            self._perform,
            resources.vault.all,
            self._components.bytes_of,
        )
        self._exit_code = 0
        self._announced = False
        self._changed = asyncio.Event()  # a child's phase
        self._stop_asked = asyncio.Event()
        self._kill_asked = asyncio.Event()
        self._stop: StopOrder | None = None
        self._repairs: set[asyncio.Task[None]] = set()

    async def run(self, announce: Callable[[str], None]) -> int:
        """Start everything, announce it, keep it running, stop it; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number).name)
        keepers: list[asyncio.Task[None]] = []
        try:
            await self._or_stop(self._components.restore())
            if not self._stop_asked.is_set():
                keepers = [asyncio.create_task(self._keep(keeper)) for keeper in self._all]
                if self._grants():
                    self._need_courier()
                await self._or_stop(self._until_ready())
            if not self._stop_asked.is_set():
                self._announced = True
                announce(self._resources.url)
                self._log.info("ready", url=self._resources.url, workers=len(self._workers), fronts=len(self._fronts))
            await self._stop_asked.wait()
            await self._stop_all()
        finally:
            for keeper in (*self._all, self._courier):
                keeper.retire()
                if keeper.child is not None:
                    keeper.child.kill()
            await asyncio.gather(*keepers, *([] if self._courier_kept is None else [self._courier_kept]))
            self._attribution.close()
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)
        self._log.info("stopped", exit_code=self._exit_code)
        return self._exit_code

    def request_stop(self, reason: str, *, exit_code: int = 0) -> None:
        """Begin to stop in order; the highest exit code asked for counts."""
        self._exit_code = max(self._exit_code, exit_code)
        for keeper in (*self._all, self._courier):
            keeper.retire()
        if not self._stop_asked.is_set():
            self._log.info("stopping", reason=reason)
            self._stop_asked.set()

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
        self._resources.listener.close()
        if self._resources.root_listener is not None:
            self._resources.root_listener.close()
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

    async def _keep(self, keeper: Keeper) -> None:
        """Run a keeper; its own failure is a bug, and ends the host rather than leave a child unwatched."""
        try:
            await keeper.run()
        except Exception as error:
            self._log.error(f"the keeper of {keeper.label} failed", error=repr(error))
            self.request_stop(f"{keeper.label} is not watched any more", exit_code=1)

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
        while not all(keeper.up for keeper in self._all):
            self._changed.clear()
            await self._changed.wait()

    def _need_courier(self) -> None:
        """Keep a courier from now on; without a function that asks outside there is none."""
        if self._courier_kept is None:
            self._courier_kept = asyncio.create_task(self._keep(self._courier))

    def _worker(self, number: int) -> Keeper:
        """The keeper of one worker; each start carries the catalog of that moment."""
        listener = self._resources.worker_listeners[number]

        async def launch(receive: Receive) -> Child:
            keeper = self._workers[number]
            if keeper.failed_starts or keeper.last_code in _DEATHS_BY_CODE:
                await self._components.restore(doubt=True)  # what it loads may be damaged in a way that kills it

            running_fd = self._attribution.prepare(number)

            def start() -> WorkerStart:
                return WorkerStart(
                    worker=number,
                    data=str(self._resources.directory.root),
                    listen_fd=listener.fileno(),
                    routing=self._resources.routing,
                    catalog=self._resources.registry.catalog(),
                    limits=self._config.limits,
                    log_level=self._config.log_level,
                    log_format=self._config.log_format,
                    check_arguments=self._config.check_arguments,
                    secrets=self._resources.vault.values(),
                    running_fd=running_fd,
                    quarantined=self._attribution.quarantined(),
                    new_data=self._resources.registry.next_type_id() == 1,
                    courier=str(self._resources.courier_listener.getsockname()),
                )

            inherited = (listener.fileno(), self._resources.lock_fd, running_fd)
            return await spawn_child(f"worker {number}", self._programs.worker, start, inherited, receive)

        return self._keeper(f"worker {number}", launch)

    def _front(self, number: int) -> Keeper:
        """The keeper of one front."""
        listener, root = self._resources.listener, self._resources.root_listener

        async def launch(receive: Receive) -> Child:
            def start() -> FrontStart:
                return FrontStart(
                    front=number,
                    data=str(self._resources.directory.root),
                    listen_fd=listener.fileno(),
                    url=self._resources.url,
                    domain=self._config.domain,
                    token=self._config.token,
                    routing=self._resources.routing,
                    catalog=without_sources(self._resources.registry.catalog()),
                    limits=self._config.limits,
                    log_level=self._config.log_level,
                    log_format=self._config.log_format,
                    allowed_hosts=(self._config.listen.host, *self._config.allowed_hosts),
                    trusted_proxies=self._config.trusted_proxies,
                    known_heads=self._config.known_heads,
                    root_fd=-1 if root is None else root.fileno(),
                    root_function=self._config.root_function,
                )

            inherited = (listener.fileno(), self._resources.lock_fd, *([] if root is None else [root.fileno()]))
            return await spawn_child(f"front {number}", self._programs.front, start, inherited, receive)

        return self._keeper(f"front {number}", launch)

    def _keeper(self, label: str, launch: Callable[[Receive], Any]) -> Keeper:
        return Keeper(
            label,
            launch,
            self._log,
            patience=self._patience,
            on_message=self._on_message,
            on_phase=self._on_phase,
        )

    def _on_message(self, keeper: Keeper, message: ChildNews) -> None:
        """What a child says of itself."""
        match message:
            case Ready():
                pass  # its keeper has seen it
            case Request():
                if keeper.child is not None:
                    self._operations.accept(keeper.child, message)
            case Withdraw():
                if keeper.child is not None:
                    self._operations.withdraw(keeper.child, message.id)
            case Drained():
                if self._stop is not None:
                    self._stop.note_drained(keeper)
            case Unloadable():
                self._repair(keeper, message)
            case CommitStalled():
                self._note_stall(keeper, message.stalled)
            case RoomChanged():
                self._note_room(keeper, message.shortage)
            case Fatal():
                self._log.error(f"{keeper.label} cannot go on: the host stops", reason=message.reason)
                self.request_stop(f"{keeper.label}: {message.reason}", exit_code=1)
            case _:
                assert_never(message)

    def _note_stall(self, keeper: Keeper, stalled: bool) -> None:
        keeper.stalled = stalled
        if stalled:
            self._log.error(f"{keeper.label}: a commit does not end, the host is not ready")
        else:
            self._log.warning(f"{keeper.label}: the commit has ended")
        self._tell_health()

    def _note_room(self, keeper: Keeper, shortage: str | None) -> None:
        keeper.shortage = shortage
        if shortage is not None:
            self._log.error(f"{keeper.label}: {shortage}: nothing may grow, the host is not ready")
        else:
            self._log.warning(f"{keeper.label}: there is room again")
        self._tell_health()

    async def _perform(self, operation: FurtherOperation) -> JsonObject:
        """What fronts ask for that is not about functions."""
        match operation:
            case CollectMeasures():
                return await self._measure()
            case CollectActivity():
                return await collect_activity(self._workers, self._attribution.running, operation.limit)
            case ListQuarantined():
                return self._attribution.show(operation.after, operation.limit)
            case ReleaseInstance():
                return await self._attribution.release_instance(operation.type_id, operation.name, self._workers)
            case ReleaseFunction():
                return await self._attribution.release_function(operation.function, self._workers)
            case ListSecrets():
                return self._secrets.list()
            case SetSecret():
                return await self._secrets.set(operation.name, operation.value, operation.sealed_for)
            case DeleteSecret():
                return await self._secrets.delete(operation.name)
            case _:
                assert_never(operation)

    async def _measure(self) -> JsonObject:
        couriers = [] if self._courier_kept is None else [self._courier]
        counted = await collect_measures(workers=self._workers, fronts=self._fronts, couriers=couriers)
        own = {"deploys_waiting": self._components.waiting, "private_bytes": private_bytes()}
        return {**counted, "quarantined": self._attribution.measures(), **own}

    def _repair(self, keeper: Keeper, message: Unloadable) -> None:
        """A worker runs without a function whose compiled file it cannot load."""
        self._log.error(f"{keeper.label} cannot load {message.function!r}", reason=message.reason)
        task = asyncio.create_task(self._deploys.repair(message.function))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _on_phase(self, keeper: Keeper) -> None:
        """A child started, got ready or died."""
        self._changed.set()
        if keeper.phase is Phase.DOWN and keeper in self._workers:
            self._attribution.after_death(self._workers.index(keeper), self._workers)
        self._operations.withdraw_of_gone_fronts()
        if keeper.phase is Phase.DOWN and keeper.failed_starts >= FAILED_STARTS_MAX and not self._announced:
            self._log.error(
                f"{keeper.label} does not start", attempts=keeper.failed_starts, exit_code_of_last=keeper.last_code
            )
            self.request_stop(f"{keeper.label} does not start", exit_code=1)
        self._tell_health()

    def _tell_health(self) -> None:
        """Tell the fronts which workers are up, and whether the host is stopping."""
        health = HostHealth(
            [keeper.up for keeper in self._workers],
            stalled=[number for number, keeper in enumerate(self._workers) if keeper.stalled],
            short=[number for number, keeper in enumerate(self._workers) if keeper.shortage is not None],
            stopping=self._stop_asked.is_set(),
        )
        for front in self._fronts:
            if front.child is not None:
                front.child.send(health)
