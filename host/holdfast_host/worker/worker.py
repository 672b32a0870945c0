"""One worker's parts, each given what it needs of the others, and nobody all of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast_host.core.clock import Clock, SystemClock
from holdfast_host.storage.jobs import POOLS
from holdfast_host.storage.store import StoreBrokenError
from holdfast_host.wire.control.routing import RouteBook
from holdfast_host.wire.pages.running_turns_page import RunningPage
from holdfast_host.worker.alarms.deliveries import Alarms
from holdfast_host.worker.alarms.queries import alarm_readers
from holdfast_host.worker.calls.actor_calls import Calls
from holdfast_host.worker.calls.courier_link import CourierLink
from holdfast_host.worker.calls.outbound import OutboundRequests
from holdfast_host.worker.calls.peers import Peers
from holdfast_host.worker.commits.committer import Committer
from holdfast_host.worker.commits.confirming_gate import ConfirmingGate
from holdfast_host.worker.commits.gate import Gate
from holdfast_host.worker.commits.replies import Replies
from holdfast_host.worker.commits.store_leader import StoreLeader
from holdfast_host.worker.commits.sweeper import Sweeper
from holdfast_host.worker.deliveries.dispatch import Rest
from holdfast_host.worker.deliveries.isolation import Isolation
from holdfast_host.worker.health import Health
from holdfast_host.worker.housekeeping import Housekeeping
from holdfast_host.worker.inspection.activity import Activity
from holdfast_host.worker.inspection.queries import Inspection
from holdfast_host.worker.inspection.report import Report
from holdfast_host.worker.inspection.slow_turns import SlowTurns
from holdfast_host.worker.jobs.away import Away
from holdfast_host.worker.jobs.deliveries import Jobs
from holdfast_host.worker.jobs.queries import job_readers
from holdfast_host.worker.jobs.timers import Timers
from holdfast_host.worker.jobs.triggers import Triggers
from holdfast_host.worker.loop import Loop
from holdfast_host.worker.measures import Measures
from holdfast_host.worker.reception import Reception
from holdfast_host.worker.running.executor import Executor
from holdfast_host.worker.running.loads import Loads
from holdfast_host.worker.running.traced import TracedExecutor
from holdfast_host.worker.shards import Shards, SharedStore
from holdfast_host.worker.sockets.queries import socket_readers
from holdfast_host.worker.sockets.reception import Sockets
from holdfast_host.worker.threads.compute_slots import ComputeSlots
from holdfast_host.worker.threads.inbox import Inbox
from holdfast_host.worker.threads.leadership import Leadership
from holdfast_host.worker.threads.poller import Poller
from holdfast_host.worker.tracing.measures import TracedMeasures
from holdfast_host.worker.tracing.tracer import Tracer
from holdfast_host.worker.turns.deployments import Deployments
from holdfast_host.worker.turns.directory import Directory
from holdfast_host.worker.turns.function_pool import Functions
from holdfast_host.worker.turns.mailboxes import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.engine import SandboxEngine
    from holdfast_host.storage.store import Store
    from holdfast_host.wire.control.routing import Routing
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.tracing.spans import SpanSink
    from holdfast_host.worker.turns.turn import Turn


class Worker:
    """The parts of one worker; they live as long as the process."""

    def __init__(
        self,
        store: Store,
        engine: SandboxEngine,
        limits: Limits,
        output: Output,
        routing: Routing,
        *,
        number: int,
        compute_slots: int,
        on_broken_store: Callable[[StoreBrokenError], None],
        on_failure: Callable[[BaseException], None],
        clock: Clock | None = None,
        running_page: RunningPage | None = None,
        courier: str = "",
        spans: SpanSink | None = None,
    ) -> None:
        """`spans` takes those of turns; without it nothing is traced, and nothing is spent on it."""
        self.limits = limits
        self.output = output
        self.store = store
        self._on_failure = on_failure
        self.routes = routes = RouteBook(routing)
        self.running: dict[Turn, int] = {}  # with its record on the page
        tracer = None if spans is None else Tracer(spans, number)
        self.measures = Measures() if tracer is None else TracedMeasures(tracer)
        self.replies = Replies(self.measures)
        # Threads.
        self.poller = Poller()
        self.inbox = Inbox(self.poller)
        self.leadership = Leadership(self.inbox.post)
        self.compute = ComputeSlots(compute_slots)
        # Instances in memory, and what waits for them.
        self.deployments = Deployments(engine, limits)
        self.directory = Directory(store, limits)
        refuse = self.replies.refuse
        self.mailboxes = Mailboxes(self.directory, self.deployments, limits, refuse, self.running)
        gate_class = ConfirmingGate if store.settles_later else Gate
        self.gate = gate_class(max((group for _, group in store.reached().values()), default=1))
        self.functions = Functions(
            self.mailboxes,
            self.deployments,
            limits,
            refuse,
            settled=lambda: self.gate.settled,
            tell=self.replies.send,
            interrupt=lambda entry, error: self.outbound.interrupt(entry, error),
        )
        # What turns lead to.
        self.peers = Peers(routes, self.poller, limits)
        self.calls = Calls(
            number,
            routes,
            limits,
            gate=self.gate,
            mailboxes=self.mailboxes,
            directory=self.directory,
            deployments=self.deployments,
            peers=self.peers,
            tracer=tracer,
        )
        self.courier = CourierLink(courier, self.poller, limits)
        self.outbound = OutboundRequests(
            limits, gate=self.gate, leadership=self.leadership, link=self.courier, tracer=tracer
        )
        clock = clock or SystemClock()
        parts: dict[str, Any] = {
            "store": store,
            "limits": limits,
            "output": output,
            "clock": clock,
            "leadership": self.leadership,
            "gate": self.gate,
            "mailboxes": self.mailboxes,
            "directory": self.directory,
            "deployments": self.deployments,
            "killed": Isolation(),
            "rest": Rest(),
        }
        away = Away(
            worker=number,
            routing=routes,
            limits=limits,
            mailboxes=self.mailboxes,
            peers=self.peers,
            courier=self.courier,
            tracer=tracer,
        )
        self.alarms = Alarms(**parts)
        self.runs, self.job_calls, self.job_requests = (Jobs(pool=pool, away=away, **parts) for pool in POOLS)
        self.timers = Timers(self.alarms, (self.runs, self.job_calls, self.job_requests), clock, parts["rest"])
        self.triggers = Triggers(number, routes, self.deployments, self.mailboxes, output)
        self.sockets = Sockets(
            store=store,
            limits=limits,
            output=output,
            clock=clock,
            leadership=self.leadership,
            gate=self.gate,
            mailboxes=self.mailboxes,
            directory=self.directory,
            deployments=self.deployments,
            replies=self.replies,
        )
        self.sweeper = Sweeper(store, self.gate, self.mailboxes, self.leadership, self.measures)
        self.shards = self._share(store)
        self.committer = Committer(
            store=store,
            leadership=self.leadership,
            gate=self.gate,
            sweeper=self.sweeper,
            replies=self.replies,
            measures=self.measures,
            on_settled=self.timers.settle,
            on_broken_store=on_broken_store,
        )
        load = store.attach(StoreLeader(self.leadership, self.inbox, self.poller, self.committer, self._fail))
        self.loads = None if load is None else Loads(load, self.mailboxes, self.measures)
        self.slow_turns = SlowTurns(output)
        make_executor = Executor if tracer is None else partial(TracedExecutor, tracer=tracer)
        self.executor = make_executor(
            store=store,
            limits=limits,
            output=output,
            clock=clock,
            leadership=self.leadership,
            inbox=self.inbox,
            compute=self.compute,
            deployments=self.deployments,
            directory=self.directory,
            mailboxes=self.mailboxes,
            functions=self.functions,
            calls=self.calls,
            outbound=self.outbound,
            sockets=self.sockets,
            gate=self.gate,
            committer=self.committer,
            replies=self.replies,
            measures=self.measures,
            slow_turns=self.slow_turns,
            running=self.running,
            page=running_page or RunningPage.create(),
            on_failure=self._fail,
        )
        # What is asked from outside.
        self.health = Health(store, self.leadership, self.committer.in_flight_s)
        self.inspection = Inspection(
            store,
            self.directory,
            self.deployments,
            self.mailboxes,
            limits,
            post=self.inbox.post,
            reply=self.replies.send,
        )
        self.inspection.readers["logs"] = output.read
        self.inspection.readers |= alarm_readers(store) | job_readers(store)
        self.inspection.readers |= socket_readers(store, self.sockets.is_live)
        self.report = Report(
            measures=self.measures,
            health=self.health,
            mailboxes=self.mailboxes,
            deployments=self.deployments,
            directory=self.directory,
            leadership=self.leadership,
            committer=self.committer,
            gate=self.gate,
            alarms=self.alarms,
            jobs=self.timers.jobs,
            output=output,
        )
        self.activity = Activity(
            running=self.running,
            mailboxes=self.mailboxes,
            directory=self.directory,
            functions=self.functions,
            gate=self.gate,
            measures=self.measures,
            sweeper=self.sweeper,
            leadership=self.leadership,
            compute=self.compute,
            alarms=self.alarms,
            jobs=self.timers.jobs,
        )
        self.reception = Reception(
            limits=limits,
            poller=self.poller,
            mailboxes=self.mailboxes,
            functions=self.functions,
            calls=self.calls,
            inspection=self.inspection,
            replies=self.replies,
            sockets=self.sockets,
        )
        self.housekeeping = Housekeeping(
            mailboxes=self.mailboxes,
            directory=self.directory,
            functions=self.functions,
            gate=self.gate,
            committer=self.committer,
            peers=self.peers,
            courier=self.courier,
            health=self.health,
            slow_turns=self.slow_turns,
            triggers=self.triggers,
            calls=self.calls,
            shards=self.shards,
            running=self.running,
        )
        self.loop = Loop(
            limits=limits,
            leadership=self.leadership,
            inbox=self.inbox,
            poller=self.poller,
            mailboxes=self.mailboxes,
            timers=self.timers,
            sockets=self.sockets,
            executor=self.executor,
            loads=self.loads,
            gate=self.gate,
            committer=self.committer,
            sweeper=self.sweeper,
            replies=self.replies,
            slow_turns=self.slow_turns,
            housekeeping=self.housekeeping,
            running=self.running,
        )

    def _share(self, store: Store) -> Shards | None:
        """What takes on shards and gives them away, over a store that several share."""
        if not isinstance(store, SharedStore) or not isinstance(self.gate, ConfirmingGate):
            return None
        self.mailboxes.is_ours = store.owns
        return Shards(
            store=store,
            gate=self.gate,
            directory=self.directory,
            deployments=self.deployments,
            timers=self.timers,
            sweeper=self.sweeper,
        )

    def start(self) -> None:
        """Begin to lead; nothing of it is anybody else's from now on."""
        self.leadership.start(self.loop.lead, self._fail)

    def _fail(self, error: BaseException) -> None:
        """The leader cannot go on: the store is broken, or we are. End the process, which is told so."""
        if isinstance(error, StoreBrokenError):
            self.committer.break_off(error)
        else:
            self._on_failure(error)
