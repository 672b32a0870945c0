"""Calls that come to a worker which does not own their instance, and its own calls that come to such a one."""

from __future__ import annotations

import queue
from collections.abc import Callable

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import StoredInstance
from holdfast_host.wire.calls.moved import MOVED
from tests.unit.worker.stage import Stage
from tests.unit.worker.test_calls import calling_stage, error_of


def disown(stage: Stage, *names: bytes) -> None:
    """The worker has these no more."""
    is_ours: Callable[[StoredInstance], bool] = lambda stored: stored.name not in names  # noqa: E731
    stage.do(lambda: setattr(stage.worker.mailboxes, "is_ours", is_ours))


def held(stage: Stage) -> set[bytes]:
    """The instances in its memory."""
    found: queue.SimpleQueue[set[bytes]] = queue.SimpleQueue()
    stage.do(lambda: found.put({each.stored.name for each in stage.worker.directory.all()}))
    return found.get(timeout=10)


def test_a_call_of_an_instance_that_is_another_workers_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    assert stage.call("a", "add", 1) == (200, 1)
    disown(stage, b"a", b"c")
    refused = stage.call("a", "add", 1)

    assert error_of(refused) == (MOVED, "HostUnavailableError")
    assert stage.call("b", "add", 1) == (200, 1)
    assert error_of(stage.call("c", "read")) == (MOVED, "HostUnavailableError")
    assert b"c" not in held(stage), "nothing is held of what it never owned"
    disown(stage)
    assert stage.call("a", "add", 1) == (200, 2)


def test_writes_on_their_way_are_seen_by_the_next_turn_where_an_instance_stays_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was to be given away, and is not: what it wrote meanwhile is not durable yet, and no past."""
    stage = calling_stage(monkeypatch)
    stage.store.hold()
    write = stage.client.send("a", "add", 1)
    stage.store.wait_held()
    disown(stage, b"a")
    refused = stage.call("a", "add", 1)
    disown(stage)
    again = stage.client.send("a", "add", 1)
    stage.store.let_go()

    assert error_of(refused) == (MOVED, "HostUnavailableError")
    assert stage.client.wait(write) == (200, 1)
    assert stage.client.wait(again) == (200, 2)


def test_a_call_between_actors_is_sent_again_until_its_callee_is_somebodys(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = calling_stage(monkeypatch)
    disown(stage, b"b")
    calling = stage.client.send("a", "call_out", ["b", "add", 5])
    moved: queue.SimpleQueue[int] = queue.SimpleQueue()
    while True:
        stage.do(lambda: moved.put(len(stage.worker.calls._moved)))
        if moved.get(timeout=10):
            break
    disown(stage)

    assert stage.client.wait(calling) == (200, 5)
    assert stage.call("b", "read") == (200, 5)


def test_a_call_between_actors_ends_where_its_callee_is_nobodys_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that says that it has not run."""
    stage = calling_stage(monkeypatch, Limits(resend_timeout_s=0.05))
    disown(stage, b"b")
    refused = stage.call("a", "call_out", ["b", "add", 5])

    assert "T/b: no worker has owned it for so long; the call did not run" in str(refused)
    disown(stage)
    assert stage.call("b", "read") == (200, 0)
