"""Nobody else's call waits for a read of the store: a call is answered while any other one's read is under way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from holdfast_host.storage.store import Alarm, Batch, Changes
from holdfast_host.wire.calls.frames import pack_read
from holdfast_host.wire.control.messages import Message
from holdfast_host.wire.control.protocol import Armed, FoundTypes, Occupied, pack_message
from holdfast_host.worker.commits.backup import BackupCut
from holdfast_host.worker.control import ControlChannel
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.alarm_stage import AlarmStage, fail
from tests.unit.worker.stage import TYPE

READ_S = 0.3
ANSWERED_S = 0.1  # what is well below it, also on a busy machine
WAIT_S = 10.0


class SlowStore(MemoryStore):
    """Each read of what the test has named takes 300 ms, as from a disk that is busy with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: set[str] = set()
        self.under_way = 0
        self.began = threading.Semaphore(0)
        self._counting = threading.Lock()

    def _take_long(self, read: str) -> None:
        if read not in self.slow:
            return
        with self._counting:
            self.under_way += 1
        self.began.release()
        time.sleep(READ_S)
        with self._counting:
            self.under_way -= 1


def _slow(name: str) -> Callable[..., Any]:
    read = getattr(MemoryStore, name)

    def slow(self: SlowStore, *arguments: Any, **options: Any) -> Any:
        self._take_long(name)
        return read(self, *arguments, **options)

    return slow


READS = (
    "look_up", "get", "receipt", "socket", "sockets", "socket_page",
    "scan", "alarm", "due_alarms", "parked_alarms", "alarm_page", "instances",
    "count_keys", "room", "export",
)  # fmt: skip
for each in READS:
    setattr(SlowStore, each, _slow(each))


class SlowStage(AlarmStage):
    """Beside an alarm stage: an instance in memory whose turns read nothing."""

    store: SlowStore

    def __init__(self, monkeypatch: pytest.MonkeyPatch, handler: Any = None) -> None:
        store = SlowStore()
        parked = Alarm(due_us=5, scheduled_us=5, state="parked")
        store.commit(2, [Batch(store.locate(TYPE, b"parked"), Changes(alarm=parked, alarm_changed=True))])
        super().__init__(monkeypatch, handler, store=store, clock=ManualClock())
        self.stage.guests[b"nothing"] = lambda turn, _: None
        self.stage.deploy()
        assert self.stage.call("warm", "nothing") == (200, None)
        self.settle()

    def assert_answered_during(self, *reads: str, begin: Callable[[], object], times: int = 1) -> None:
        """Another instance's call is answered while such a read is under way, and so each time that one is."""
        self.store.slow = set(reads)
        begin()
        for _ in range(times):
            assert self.store.began.acquire(timeout=WAIT_S), f"nothing has read {' or '.join(reads)}"
            began = time.monotonic()
            answer = self.stage.call("warm", "nothing")
            took_s = time.monotonic() - began

            assert answer == (200, None)
            assert self.store.under_way > 0, "the call was answered after the read"
            assert took_s < ANSWERED_S
        self.store.slow = set()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SlowStage:
    return SlowStage(monkeypatch)


def test_no_call_waits_while_a_new_name_is_looked_up(host: SlowStage) -> None:
    slots: list[int] = []
    host.assert_answered_during("look_up", begin=lambda: slots.append(host.stage.client.send("new", "add", 5)))

    assert host.stage.client.wait(slots[0]) == (200, 5)
    assert host.total("new") == 5


def test_no_call_waits_while_a_receipt_is_looked_for(host: SlowStage) -> None:
    slots: list[int] = []
    host.assert_answered_during(
        "receipt", begin=lambda: slots.append(host.stage.client.send("keyed", "add", 5, key=b"ck"))
    )

    assert host.stage.client.wait(slots[0]) == (200, 5)


def test_no_call_waits_while_another_turn_reads(host: SlowStage) -> None:
    slots: list[int] = []
    host.stage.call("other", "add", 5)
    host.assert_answered_during("get", begin=lambda: slots.append(host.stage.client.send("other", "read")))

    assert host.stage.client.wait(slots[0]) == (200, 5)


def test_no_call_waits_while_a_new_name_that_a_turn_calls_is_looked_up(host: SlowStage) -> None:
    host.stage.guests[b"call"] = lambda turn, name: turn.call("T", name, "nothing", b"").decode()
    host.stage.deploy()
    host.stage.call("caller", "nothing")
    slots: list[int] = []
    host.assert_answered_during("look_up", begin=lambda: slots.append(host.stage.client.send("caller", "call", "new")))

    assert host.stage.client.wait(slots[0]) == (200, "null")


def test_no_call_waits_while_the_row_of_a_due_alarm_is_read(host: SlowStage) -> None:
    host.set("a", 1.0)
    host.settle()
    host.assert_answered_during("alarm", begin=lambda: host.clock.advance(1.0))
    host.settle()

    assert host.runs == [("a", 0)]
    assert host.row("a") is None


def test_no_call_waits_while_the_rows_of_many_due_alarms_are_read(host: SlowStage) -> None:
    names = [f"a{number}" for number in range(30)]
    for name in names:
        host.set(name, 1.0)
    host.settle()
    host.assert_answered_during("alarm", begin=lambda: host.clock.advance(1.0), times=len(names))
    host.settle()

    assert sorted(host.runs) == sorted((name, 0) for name in names)


def test_no_call_waits_while_the_row_of_an_alarm_that_failed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    host = SlowStage(monkeypatch, fail)
    host.set("a", 1.0)
    host.settle()
    host.assert_answered_during("alarm", begin=lambda: host.clock.advance(1.0), times=2)
    host.settle()

    row = host.row("a")
    assert row is not None
    assert (row.state, row.retry_count) == ("retrying", 1)


def test_no_call_waits_while_it_is_read_which_alarms_are_due_soon(host: SlowStage) -> None:
    host.set("a", 100.0)
    host.settle()
    host.assert_answered_during("due_alarms", begin=lambda: host.clock.advance(61.0))
    host.settle()
    host.advance(40.0)

    assert host.runs == [("a", 0)]


def test_an_alarm_that_is_set_while_it_is_read_which_are_due_soon_is_not_missed(host: SlowStage) -> None:
    def begin() -> None:
        host.clock.advance(61.0)
        assert host.store.began.acquire(timeout=WAIT_S)
        host.set("a", 5.0)
        host.store.began.release()

    host.assert_answered_during("due_alarms", begin=begin)
    host.settle()
    host.advance(5.0)

    assert host.runs == [("a", 0)]


def test_no_call_waits_while_it_is_read_which_alarms_are_parked(host: SlowStage) -> None:
    take_up = lambda: host.stage.do(lambda: host.stage.worker.alarms.take_up_parked([TYPE]))  # noqa: E731
    host.assert_answered_during("parked_alarms", begin=take_up, times=2)
    host.settle()

    assert host.runs == [("parked", 0)]


def test_no_call_waits_while_the_alarm_of_an_instance_is_read_whose_writes_were_lost(host: SlowStage) -> None:
    host.set("a", 5.0)
    host.settle()
    host.store.lose_next([b"a"])
    host.assert_answered_during("alarm", begin=lambda: host.stage.call("a", "set", host.clock.wall_us()))
    host.settle()
    host.advance(5.0)

    assert host.runs == [("a", 0)]


@pytest.mark.parametrize(
    ("question", "slow"),
    [
        ({"read": "storage", "prefix": "", "start": None, "limit": 10, "bytes_max": 1000}, "scan"),
        ({"read": "value", "key": "total"}, "look_up"),
        ({"read": "instance"}, "alarm"),
        ({"read": "keys", "after": ""}, "count_keys"),
        ({"read": "instances", "prefix": "", "after": "", "limit": 10}, "instances"),
        ({"read": "alarms", "state": "parked", "after": "", "limit": 10}, "alarm_page"),
    ],
)
def test_no_call_waits_while_a_question_about_an_instance_is_read(
    host: SlowStage, question: dict[str, Any], slow: str
) -> None:
    client = host.stage.client
    host.assert_answered_during(
        slow, begin=lambda: client.socket.sendall(pack_read(4000, {"type_id": TYPE, "name": "asked", **question}))
    )

    assert client.wait(4000)[0] == 200


@pytest.mark.parametrize(("ask", "slow"), [(Occupied, "instances"), (Armed, "alarm_page")])
def test_no_call_waits_while_it_is_read_for_a_deploy_what_is_stored_of_a_type(
    host: SlowStage, ask: Callable[..., Message], slow: str
) -> None:
    ours, theirs = socket.socketpair()
    host.stage.do(
        lambda: ControlChannel(
            theirs,
            host.stage.worker,
            lambda: None,
            b"",
            measures=dict,
            activity=lambda limit: ({}, []),
            backup=BackupCut(host.stage.worker.committer, Mock()),
        )
    )
    host.assert_answered_during(slow, begin=lambda: ours.sendall(pack_message(ask(id=1, types=[TYPE, TYPE + 1]))))

    told = ours.recv(1 << 16).strip()
    host.stage.do(lambda: host.stage.worker.poller.remove(theirs.fileno()))  # its end would be that of the process
    ours.close()
    theirs.close()
    assert told == pack_message(FoundTypes(id=1, types=[TYPE])).strip()


def test_no_call_waits_while_the_disk_is_asked_how_much_room_it_has(host: SlowStage) -> None:
    host.assert_answered_during("room", begin=lambda: None)  # the housekeeping asks by itself


def test_a_host_that_stops_waits_for_a_read_before_it_closes_the_store(host: SlowStage) -> None:
    host.set("a", 1.0)
    host.settle()
    host.store.slow = {"alarm"}
    host.clock.advance(1.0)
    assert host.store.began.acquire(timeout=WAIT_S)

    assert host.stage.call("warm", "nothing") == (200, None)
    assert not host.stage.do(lambda: host.stage.worker.loop.is_settled)

    host.settle()

    assert host.stage.do(lambda: host.stage.worker.loop.is_settled)


def test_two_turns_of_one_instance_never_run_while_the_row_of_its_alarm_is_read(host: SlowStage) -> None:
    events: list[str] = []

    def note(turn: Any, word: str) -> None:
        events.append(word)

    host.stage.guests[b"note"] = note
    host.stage.deploy()
    host.handler = lambda turn, info: events.append("alarm")
    host.set("a", 1.0)
    host.settle()
    host.store.slow = {"alarm"}
    host.clock.advance(1.0)
    assert host.store.began.acquire(timeout=WAIT_S)
    slots = [host.stage.client.send("a", "note", word) for word in ("first", "second")]
    for slot in slots:
        host.stage.client.wait(slot)

    assert events == ["alarm", "first", "second"]


def test_an_alarm_whose_instance_loses_writes_while_its_row_is_read_runs_after_all(host: SlowStage) -> None:
    host.set("a", 1.0)
    host.settle()
    host.store.hold()
    host.store.lose_next([b"a"])
    lost = host.stage.client.send("a", "add", 5)
    host.store.wait_held()
    host.store.slow = {"alarm"}
    host.clock.advance(1.0)
    assert host.store.began.acquire(timeout=WAIT_S)
    host.store.let_go()

    assert host.stage.client.wait(lost)[0] == 507
    assert host.store.under_way > 0
    host.settle()
    assert host.runs == [("a", 0)]
    assert host.total("a") == 1


def test_the_stage_knows_every_read_of_a_store() -> None:
    reads_nothing = {"place", "locate", "refusal", "reached", "has_garbage", "settles_later", "attach",
                     "begin_import", "staged_keys", "end_import", "end_idle_imports"}  # fmt: skip
    writes = {"commit", "sweep", "close"}
    controls = {"hold", "wait_held", "complete", "let_go", "break_next", "lose_next", "fill"}
    public = {name for name in vars(MemoryStore) if not name.startswith("_")}

    assert public - reads_nothing - writes - controls == set(READS)
