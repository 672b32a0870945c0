"""A worker does what its supervisor says, and answers each question once, under its number."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast, get_args
from unittest.mock import Mock

import pytest

from holdfast_host.core.errors import InternalError
from holdfast_host.core.limits import Limits
from holdfast_host.wire.control import protocol as control
from holdfast_host.wire.control.backup_orders import CopyPartition, HoldCommits, ReleaseCommits
from holdfast_host.wire.control.catalog import ActorType, Catalog, Deployment
from holdfast_host.wire.control.messages import Message
from holdfast_host.wire.control.quotas import CountedStored, CountStored, Quotas, TakeQuotas
from holdfast_host.wire.control.starts import WorkerStart
from holdfast_host.wire.sockets.frames import socket_number
from holdfast_host.worker.commits.backup import BackupCut
from holdfast_host.worker.control import ControlChannel
from holdfast_host.worker.main import WorkerProcess
from tests.unit.worker.stage import TYPE, Stage

DEPLOYMENT = Deployment("f", "fn_1", 2, "ab", "/absent.cwasm", (ActorType("T", TYPE, ()),))


class Supervised:
    """A worker on a stage, and the supervisor's end of its control channel."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.stops: queue.Queue[None] = queue.Queue()
        self.snapshots: list[Mock] = []  # that were taken
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(10)
        self._lines = self.socket.makefile("rb")
        worker = stage.worker
        stage.do(
            lambda: ControlChannel(
                theirs,
                worker,
                lambda: self.stops.put(None),
                b"",
                measures=worker.report.read,
                activity=worker.activity.report,
                backup=BackupCut(worker.committer, self._take),
            )
        )

    def _take(self) -> Mock:
        self.snapshots.append(Mock())
        return self.snapshots[-1]

    def tell(self, message: Message) -> None:
        self.socket.sendall(control.pack_message(message))

    def hear(self) -> control.FromChild:
        return control.read_from_child(self._lines.readline())


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    made = Supervised(Stage(monkeypatch))
    assert made.stage.call("a", "add", 1) == (200, 1)
    yield made
    assert made.stage.failures.empty()


Answers = Callable[[control.FromChild], bool]


def failed(message: control.FromChild) -> bool:
    return isinstance(message, control.Failed) and message.id == 7 and message.error.name == "InternalError"


def unavailable(message: control.FromChild, says: str) -> bool:
    return isinstance(message, control.Failed) and message.id == 7 and says in message.error.message


# The engine of the stage loads nothing: that is what Prepare and Describe find.
ANSWERS: list[tuple[control.WorkerOrder, Answers]] = [
    (control.Prepare(DEPLOYMENT, id=7), failed),
    (control.Describe(DEPLOYMENT, id=7), failed),
    (control.Switch(DEPLOYMENT, id=7), lambda it: it == control.Done(7)),
    (control.Remove("f", id=7), lambda it: it == control.Done(7)),
    (control.Occupied([TYPE, TYPE + 1], id=7), lambda it: it == control.FoundTypes(7, [TYPE])),
    (control.Armed([TYPE], id=7), lambda it: it == control.FoundTypes(7, [])),
    (control.Connected([TYPE], id=7), lambda it: it == control.FoundTypes(7, [])),
    (control.TakeSecrets({"A": "b"}, id=7), lambda it: it == control.Done(7)),
    (control.KeepAway([(TYPE, "b")], id=7), lambda it: it == control.Done(7)),
    (TakeQuotas(Quotas({"acme": 7}), id=7), lambda it: it == control.Done(7)),
    (
        CountStored([TYPE, TYPE + 1], id=7),
        lambda it: isinstance(it, CountedStored) and it.instances == 1 and it.bytes > 0,
    ),
    (control.Measure(id=7), lambda it: isinstance(it, control.Measured) and it.measures["types"][0]["type"] == "T"),
    (control.ShowActivity(20, id=7), lambda it: isinstance(it, control.ShownActivity) and it.id == 7),
    (HoldCommits(id=7), lambda it: it == control.Done(7)),
    (ReleaseCommits(keep=True, id=7), lambda it: unavailable(it, "did not stop committing at one moment")),
    (CopyPartition(0, "nowhere", id=7), lambda it: unavailable(it, "there is no snapshot to copy")),
    (control.AcquireShards(id=7), failed),
    (control.GiveShards([1], 1, id=7), failed),
    (control.Ping(7), lambda it: it == control.Pong(7)),
    (control.Drain(), lambda it: it == control.Drained()),
]


@pytest.mark.parametrize(("order", "answers"), ANSWERS, ids=[type(order).__name__ for order, _ in ANSWERS])
def test_each_order_is_obeyed_and_answered_once(supervised: Supervised, order: Message, answers: Answers) -> None:
    stage = supervised.stage
    stage.do(lambda: stage.worker.deployments.prepare(DEPLOYMENT, (stage.loaded(2),)))
    supervised.tell(order)
    heard = supervised.hear()
    supervised.tell(control.Ping(99))

    assert answers(heard), heard
    assert supervised.hear() == control.Pong(99)


def test_the_orders_above_are_all_but_news_and_the_end(supervised: Supervised) -> None:
    supervised.tell(control.Stop())
    supervised.stops.get(timeout=10)

    answered = {type(order) for order, _ in ANSWERS}
    assert answered | {
        control.LiveFronts,
        control.NewRouting,
        control.NewLimits,
        control.NewLogLevel,
        control.Stop,
    } == set(get_args(control.WorkerOrder))


def test_a_tenant_has_so_many_calls_under_way_and_one_more_is_refused_until_one_is_answered(
    supervised: Supervised,
) -> None:
    stage = supervised.stage
    supervised.tell(TakeQuotas(Quotas({"default": 1}), id=1))
    assert supervised.hear() == control.Done(1)
    [quota] = stage.worker.mailboxes.call_quotas.by_tenant.values()
    answered = [stage.call("a", "add", 1)[0] for _ in range(3)]  # one after another
    stage.do(lambda: setattr(quota, "under_way", 1))
    refused = stage.call("a", "add", 1)
    stage.do(quota.release)

    assert answered == [200, 200, 200]
    assert (refused[0], refused[1]["error"]["name"]) == (429, "MailboxFullError")
    assert "1 calls of the tenant 'default' are under way at its worker, the limit is 1" in str(refused)
    assert quota.under_way == 0
    assert stage.call("a", "add", 1)[0] == 200
    supervised.tell(TakeQuotas(Quotas(), id=2))
    assert supervised.hear() == control.Done(2)
    assert stage.worker.mailboxes.call_quotas.by_tenant == {}


def test_the_sockets_of_a_front_that_lives_are_open_until_it_does_not(supervised: Supervised) -> None:
    sockets, open_ = supervised.stage.worker.sockets, []
    for numbers in ([7, 8], [8], []):
        supervised.tell(control.LiveFronts(numbers))
        supervised.tell(control.Ping(1))
        assert supervised.hear() == control.Pong(1)
        open_.append([sockets.is_live(socket_number(front, 1)) for front in (7, 8)])

    assert open_ == [[True, True], [False, True], [False, False]]


def test_what_begins_after_new_limits_is_bounded_by_them(supervised: Supervised) -> None:
    """A method's time and a mailbox are among those that change; what else differs there does not."""
    stage = supervised.stage
    wanted = stage.limits.replace(method_timeout_s=0.1, mailbox_turns_max=7, value_bytes_max=8)
    supervised.tell(control.NewLimits(wanted))
    supervised.tell(control.Ping(1))
    assert supervised.hear() == control.Pong(1)

    status, body = stage.call("a", "compute", 20)
    assert (status, body["error"]["name"]) == (504, "ActorMethodTimeoutError")
    assert (stage.limits.mailbox_turns_max, stage.limits.value_bytes_max) == (7, Limits().value_bytes_max)


def test_who_is_kept_away_does_not_run_until_others_are_named(supervised: Supervised) -> None:
    supervised.tell(control.KeepAway([(TYPE, "a")], id=1))
    assert supervised.hear() == control.Done(1)
    refused = supervised.stage.call("a", "add", 1)
    supervised.tell(control.KeepAway([], id=2))
    assert supervised.hear() == control.Done(2)

    assert (refused[0], refused[1]["error"]["name"]) == (503, "ActorQuarantinedError")
    assert supervised.stage.call("a", "add", 1) == (200, 2)


@pytest.mark.parametrize("line", [b'{"kind":"dance"}', b'{"kind":"ping"}', b"\xff"])
def test_what_no_supervisor_says_ends_the_worker_with_a_sentence(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    supervised = Supervised(Stage(monkeypatch))
    supervised.socket.sendall(line + b"\n")
    failure = supervised.stage.failures.get(timeout=10)

    assert isinstance(failure, InternalError)
    assert "does not read" in failure.message


def test_a_second_start_ends_the_worker_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    supervised = Supervised(stage)
    supervised.tell(WorkerStart(0, "", -1, stage.routing, Catalog(1), stage.limits))

    assert "started once" in str(supervised.stage.failures.get(timeout=10))


def test_nothing_is_committed_or_answered_while_commits_are_held_and_all_of_it_afterwards(
    supervised: Supervised,
) -> None:
    stage = supervised.stage
    supervised.tell(HoldCommits(id=1))
    assert supervised.hear() == control.Done(1)
    slot = stage.client.send("a", "add", 1)
    with pytest.raises(TimeoutError):
        stage.client.wait(slot, timeout_s=0.3)
    assert stage.do(lambda: stage.worker.gate.flight) is None
    supervised.tell(ReleaseCommits(keep=True, id=2))
    assert supervised.hear() == control.Done(2)
    assert stage.client.wait(slot) == (200, 2)

    supervised.tell(CopyPartition(0, "file", id=3))
    assert supervised.hear() == control.Done(3)
    [snapshot] = supervised.snapshots
    snapshot.copy.assert_called_once_with(0, Path("file"))
    snapshot.close.assert_not_called()


def test_who_is_late_finds_that_the_worker_went_on_and_its_snapshot_is_let_go_of(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast_host.worker.commits.committer.HOLD_MAX_S", 0.05)
    supervised.tell(HoldCommits(id=1))
    assert supervised.hear() == control.Done(1)
    assert supervised.stage.call("a", "add", 1) == (200, 2)
    supervised.tell(ReleaseCommits(keep=True, id=7))
    assert unavailable(supervised.hear(), "did not stop committing at one moment")
    [snapshot] = supervised.snapshots
    snapshot.close.assert_called_once_with()


def test_a_further_backup_lets_go_of_what_the_last_one_left(supervised: Supervised) -> None:
    for number in (1, 3):
        supervised.tell(HoldCommits(id=number))
        assert supervised.hear() == control.Done(number)
        supervised.tell(ReleaseCommits(keep=True, id=number + 1))
        assert supervised.hear() == control.Done(number + 1)
    first, second = supervised.snapshots
    first.close.assert_called_once_with()
    second.close.assert_not_called()


def test_a_worker_that_stops_waits_for_no_copy_of_a_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    """To close an environment that is copied waits until that has ended, which takes minutes where it is large."""
    copies, goes_on = threading.Event(), threading.Event()
    snapshot, process = Mock(), cast("Any", WorkerProcess.__new__(WorkerProcess))

    def copy(*_: object) -> None:
        copies.set()
        goes_on.wait(10)

    snapshot.copy.side_effect = copy
    cut = process._backup = BackupCut(Mock(release=lambda: True, hold=lambda then: then()), lambda: snapshot)
    process._worker, process._store, process._output, process._spans = Mock(), Mock(), Mock(), None
    monkeypatch.setattr("os._exit", Mock())
    cut.hold(lambda: None)
    thread = threading.Thread(target=cut.copy, args=(0, Path("/absent")))
    thread.start()
    assert copies.wait(10)

    process._stop()
    process._store.close.assert_not_called()

    goes_on.set()
    thread.join()
    process._stop()
    process._store.close.assert_called_once_with()
