"""The worker's end of the control channel: deploys, draining, stopping, and EOF when the supervisor is gone.

Loading a component happens on a thread of its own, for it takes 2 to 14 ms, and so does what is read of the disk.
"""

from __future__ import annotations

import os
import socket
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import set_level
from holdfast_host.wire.control.backup_orders import CopyPartition, HoldCommits, ReleaseCommits
from holdfast_host.wire.control.messages import Failure, Message, Question
from holdfast_host.wire.control.protocol import (
    AcquireShards,
    Armed,
    CommitStalled,
    Connected,
    Describe,
    Described,
    Done,
    Drain,
    Drained,
    Failed,
    FoundTypes,
    GaveShards,
    GiveShards,
    KeepAway,
    LiveFronts,
    Measure,
    Measured,
    NewLimits,
    NewLogLevel,
    NewRouting,
    Occupied,
    Ping,
    Pong,
    Prepare,
    Remove,
    RoomChanged,
    ShowActivity,
    ShownActivity,
    Stop,
    Switch,
    TakeSecrets,
    WorkerOrder,
    pack_message,
    read_for_worker,
)
from holdfast_host.wire.control.quotas import CountedStored, CountStored, Quotas, TakeQuotas
from holdfast_host.wire.control.starts import WorkerStart
from holdfast_host.worker.alarms.queries import count_stored, types_with_alarms, types_with_instances
from holdfast_host.worker.inspection.activity import add_places
from holdfast_host.worker.sockets.queries import types_with_sockets
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.threads.poller import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Store
    from holdfast_host.wire.control.routing import RouteBook
    from holdfast_host.worker.calls.peers import Peers
    from holdfast_host.worker.commits.backup import BackupCut
    from holdfast_host.worker.health import Health
    from holdfast_host.worker.jobs.timers import Timers
    from holdfast_host.worker.jobs.triggers import Triggers
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.loop import Loop
    from holdfast_host.worker.shards import Shards
    from holdfast_host.worker.sockets.reception import Sockets
    from holdfast_host.worker.threads.inbox import Inbox
    from holdfast_host.worker.threads.poller import Poller
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn


def take_quotas(worker: Supervised, quotas: Quotas) -> None:
    """Hold tenants to these from now on."""
    worker.store.quotas.set((each.type_ids, each.reason, each.only_new) for each in quotas.full)
    worker.mailboxes.call_quotas.set(quotas.calls)


class Supervised(Protocol):
    """What of a worker the supervisor's orders are about."""

    store: Store
    limits: Limits
    output: Output
    poller: Poller
    deployments: Deployments
    mailboxes: Mailboxes
    timers: Timers
    triggers: Triggers
    sockets: Sockets
    health: Health
    routes: RouteBook
    peers: Peers
    shards: Shards | None  # of a store that several share
    inbox: Inbox
    loop: Loop


@leaders
class ControlChannel:
    """Messages from and to the supervisor."""

    def __init__(
        self,
        connection: socket.socket,
        worker: Supervised,
        on_stop: Callable[[], None],
        received: bytes,
        *,
        measures: Callable[[], JsonObject],
        activity: Callable[[int], tuple[JsonObject, list[tuple[JsonObject, Turn]]]],
        backup: BackupCut,
    ) -> None:
        """`measures()` is what it has counted, `activity(limit)` what it does now, see inspection.activity."""
        self._backup = backup
        self._measures = measures
        self._activity = activity
        self._socket = connection
        self._sending = threading.Lock()  # a message may go in several pieces
        self._worker = worker
        self._on_stop = on_stop
        self._received = received
        worker.poller.add(connection.fileno(), self._read)
        worker.health.on_stall = lambda stalled: self.send(CommitStalled(stalled))
        worker.health.on_shortage = lambda shortage: self.send(RoomChanged(shortage))

    @any_thread
    def send(self, message: Message) -> None:
        """Tell the supervisor; it always reads, so this may block for a moment."""
        line = pack_message(message)
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            os._exit(0)  # the supervisor is gone

    def _read(self, events: int) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the supervisor is gone
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = read_for_worker(line)
            if isinstance(message, WorkerStart):
                raise InternalError("a worker is started once")
            self.obey(message)

    def obey(self, message: WorkerOrder) -> None:
        """Do what the supervisor says, and answer where it asks."""
        worker = self._worker
        match message:
            case Prepare():
                self._apart(self._prepare, message)
            case Switch() | KeepAway() | Remove() | TakeQuotas():
                self._change(message)
            case Occupied() | Armed() | Connected() | CountStored():
                self._apart(self._look_for_types, message)
            case Describe():
                self._apart(self._describe, message)
            case TakeSecrets():
                worker.deployments.set_secrets(message.values)
                self.send(Done(message.id))
            case HoldCommits() | ReleaseCommits() | CopyPartition():
                self._back_up(message)
            case AcquireShards() | GiveShards():
                self._move(message)
            case LiveFronts() | NewRouting() | NewLimits() | NewLogLevel():
                self._take_news(message)
            case Ping():
                self.send(Pong(message.id))
            case Measure():
                self.send(Measured(message.id, self._measures()))
            case ShowActivity():
                facts, placed = self._activity(message.limit)
                self._apart(partial(self._send_activity, facts, placed), message)
            case Drain():
                worker.loop.drain(lambda: self.send(Drained()))
            case Stop():
                self._on_stop()
            case _:
                assert_never(message)

    def _change(self, question: Switch | KeepAway | Remove | TakeQuotas) -> None:
        """What may run has changed."""
        worker = self._worker
        match question:
            case Switch():
                deployment = question.deployment
                worker.deployments.switch(deployment)
                worker.mailboxes.pardon(deployment.function, {each.type_id for each in deployment.types})
                worker.timers.take_up_parked(each.type_id for each in deployment.types)
                worker.triggers.apply(deployment)
                worker.sockets.look_again({each.type_id for each in deployment.types})
            case KeepAway():
                before = worker.mailboxes.quarantined
                worker.mailboxes.set_quarantined(question.instances)
                lifted = {type_id for type_id, _ in before - worker.mailboxes.quarantined}
                worker.timers.take_up_parked(lifted)
                worker.sockets.look_again(lifted)
            case Remove():
                worker.deployments.remove(question.function)
                worker.sockets.look_again()
            case TakeQuotas():
                take_quotas(worker, question.quotas)
        self.send(Done(question.id))

    def _apart(self, do: Callable[[Any], None], question: Question) -> None:
        """On a thread of its own: it takes longer than the leader has."""
        name = f"holdfast-{type(question).__name__.lower()}"
        threading.Thread(target=do, args=(question,), name=name, daemon=True).start()

    def _send_activity(self, facts: JsonObject, placed: list[tuple[JsonObject, Turn]], question: Question) -> None:
        """To see where turns stand takes a while, and may not take it from the leader."""
        add_places(placed)
        self.send(ShownActivity(question.id, facts))

    def _describe(self, question: Describe) -> None:
        """Try what is not deployed yet; the guest may do what it likes with its time."""
        deployment = question.deployment
        output, function = self._worker.output, deployment.function
        try:
            description = self._worker.deployments.describe(
                deployment, lambda traceback: output.guest_traceback(function, function, traceback)
            )
            self.send(Described(question.id, description))
        except HoldfastError as error:
            self._refuse(question, error)
        except Exception as error:
            self._refuse(question, InternalError(f"the sources of {function} cannot be tried: {error}"))

    def _look_for_types(self, question: Occupied | Armed | Connected | CountStored) -> None:
        """Say which of some types are found on disk so, or how much is; all there is may have to be looked at."""
        store, types = self._worker.store, set(question.types)
        try:
            if isinstance(question, CountStored):
                self.send(CountedStored(question.id, *count_stored(store, types)))
                return
            if isinstance(question, Connected):
                found = types_with_sockets(store, types, self._worker.sockets.is_live)
            else:
                found = (types_with_alarms if isinstance(question, Armed) else types_with_instances)(store, types)
            self.send(FoundTypes(question.id, sorted(found)))
        except Exception as error:
            self._refuse(question, InternalError(f"what is stored cannot be read: {error}"))

    def _prepare(self, question: Prepare) -> None:
        deployment = question.deployment
        try:
            types = self._worker.deployments.load(deployment)
        except HoldfastError as error:
            self._refuse(question, error)
            return
        except Exception as error:
            what = f"version {deployment.version} of {deployment.function} does not load: {error}"
            self._refuse(question, InternalError(what))
            return

        def keep() -> None:
            self._worker.deployments.prepare(deployment, types)
            self.send(Done(question.id))

        self._worker.inbox.post(keep)

    def _move(self, question: AcquireShards | GiveShards) -> None:
        """What the worker owns changes, or is to."""
        shards, number = self._worker.shards, question.id
        if shards is None:
            self._refuse(question, InternalError("what a worker of storage in files owns does not change"))
        elif isinstance(question, AcquireShards):
            shards.acquire(lambda: self.send(Done(number)))
        else:
            told = lambda gone: self.send(GaveShards(number, sorted(gone)))  # noqa: E731
            shards.give(question.shards, question.worker, told)

    def _take_news(self, news: LiveFronts | NewRouting | NewLimits | NewLogLevel) -> None:
        """What holds from now on; nobody waits for an answer."""
        worker = self._worker
        match news:
            case LiveFronts():
                worker.sockets.know_fronts(news.numbers)
            case NewRouting():
                if worker.routes.take(news.routing):
                    worker.triggers.follow_routing()
                    worker.peers.follow_routing()
            case NewLimits():
                worker.limits.take(news.limits)
            case NewLogLevel():
                set_level(news.level)
                worker.output.set_level(news.level)
            case _:
                assert_never(news)

    def _back_up(self, question: HoldCommits | ReleaseCommits | CopyPartition) -> None:
        match question:
            case HoldCommits():
                self._backup.hold(partial(self.send, Done(question.id)), archived=question.archived)
            case ReleaseCommits():
                try:
                    self._backup.release(keep=question.keep)
                except HoldfastError as error:
                    self._refuse(question, error)
                else:
                    self.send(Done(question.id))
            case CopyPartition():
                self._apart(self._copy, question)

    def _copy(self, question: CopyPartition) -> None:
        try:
            self._backup.copy(question.partition, Path(question.path))
        except HoldfastError as error:
            self._refuse(question, error)
        else:
            self.send(Done(question.id))

    def _refuse(self, question: Question, error: HoldfastError) -> None:
        self.send(Failed(question.id, Failure.of(error)))
