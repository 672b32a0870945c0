"""Sockets of instances that cannot run, are erased or are idle, and messages that wait for a front."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.sockets.frames import Auto, serial_of, untold_bytes_max
from tests.unit.worker.socket_stage import Front, SocketStage, handlers, steps, to
from tests.unit.worker.stage import TYPE

# Where it cannot run.


def test_a_quarantined_instance_has_its_sockets_closed_and_hears_of_it_when_it_is_released(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.stage.do(lambda: room.worker.mailboxes.set_quarantined([(TYPE, "a")]))
    room.stage.do(lambda: room.worker.sockets.look_again())
    room.front.wait_told(lambda _: bool(room.front.closes()))

    assert room.front.closes() == [(1011, (serial_of(socket),))]
    assert room.front.wait(room.front.say("a", socket, steps())) == (200, None)
    assert room.front.wait(room.front.closed("a", socket, 1011)) == (200, None)
    room.settle()
    assert room.events == []
    assert list(room.rows("a")) == [socket]
    room.stage.do(lambda: room.worker.mailboxes.set_quarantined([]))
    room.stage.do(lambda: room.worker.sockets.look_again({TYPE}))
    room.settle()
    assert [each["code"] for each in room.events] == [1011]
    assert room.rows("a") == {}


def test_a_type_that_is_not_deployed_any_more_has_its_sockets_closed_and_hears_of_it_when_it_comes_again(
    room: SocketStage,
) -> None:
    socket = room.front.accept("a")
    room.stage.do(lambda: room.worker.deployments.remove("f"))
    room.stage.do(lambda: room.worker.sockets.look_again())
    room.front.wait_told(lambda _: bool(room.front.closes()))
    room.front.wait(room.front.closed("a", socket, 1001))

    assert room.front.closes() == [(1001, (serial_of(socket),))]
    room.stage.do(room.stage.deploy)
    room.stage.do(lambda: room.worker.sockets.look_again({TYPE}))
    room.settle()
    assert [each["code"] for each in room.events] == [1001]


def test_a_version_that_hears_no_messages_closes_websockets_and_keeps_event_streams(room: SocketStage) -> None:
    websocket, stream = room.front.accept("a"), room.front.accept("a", events=True)

    handlers(room, "fetch")
    room.stage.do(lambda: room.worker.sockets.look_again())

    room.front.wait_told(lambda _: bool(room.front.closes()))
    room.settle()
    assert room.front.closes() == [(1012, (serial_of(websocket),))]
    assert room.run("a", ["count"]) == [2]
    room.run("a", ["send", to(stream), "x"])


def test_an_instance_that_is_erased_has_its_sockets_closed_and_hears_nothing(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.run("a", ["put", "n", 1])

    room.stage.do(lambda: _edit(room, b"delete_instance"))
    room.front.wait_told(lambda _: bool(room.front.closes()))
    room.front.wait(room.front.closed("a", socket, 1001))
    room.settle()

    assert room.front.closes() == [(1001, (serial_of(socket),))]
    assert room.events == []
    assert not room.stored("a").exists


def test_an_auto_response_ends_at_fronts_too_whose_sockets_are_all_being_closed(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.run("a", ["auto", "ping", "pong"], ["close", to(socket), 1000])
    room.run("a", ["auto", "", ""])
    room.front.wait_told(lambda told: Auto(TYPE, b"a", None) in told)


def test_what_fronts_answer_for_an_instance_ends_with_it(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.run("a", ["auto", "ping", "pong"])

    room.stage.do(lambda: _edit(room, b"delete_instance"))
    told = room.front.wait_told(lambda _: bool(room.front.closes()))
    room.front.wait(room.front.closed("a", socket, 1001))

    assert [each for each in told if isinstance(each, Auto)][-1] == Auto(TYPE, b"a", None)


def test_deploys_and_evictions_close_nothing(room: SocketStage) -> None:
    socket = room.front.accept("a")
    for version in range(2, 22):
        room.settle()
        room.stage.do(lambda: room.worker.directory.evict_all(room.worker.gate.settled))
        room.stage.do(partial(room.stage.deploy, version))
        room.stage.do(lambda: room.worker.sockets.look_again({TYPE}))

    assert room.front.wait(room.front.say("a", socket, steps(["send", {}, "here"]))) == (200, None)
    room.front.wait_told(lambda _: room.front.texts(socket) == ["here"])
    assert room.front.closes() == []


# What waits for a front.


@pytest.mark.limit("front_ahead_bytes")
def test_messages_go_no_further_ahead_than_a_front_takes_and_replies_overtake_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = SocketStage(monkeypatch, limits=Limits(front_ahead_bytes=10_000))
    one, two = room.front.accept("a"), room.front.accept("b")

    room.run("a", *[["send", to(one), "x" * 1000]] * 50)
    room.run("b", *[["send", to(two), "y" * 1000]] * 50, ["close", to(two), 1000])
    room.settle()

    assert 8_000 < room.front.send_bytes <= 10_000
    assert room.front.closes() == [], "it keeps its place"
    while len(room.front.texts(one)) + len(room.front.texts(two)) < 100:
        ahead = room.front.send_bytes
        room.front.taken(ahead)
        room.front.wait_told(partial(_is_ahead, room.front, ahead))
        room.stage.do(lambda: None)
        lead = len(room.front.texts(one)) - len(room.front.texts(two))
        assert lead <= 12 or len(room.front.texts(one)) == 50, "instances have their turns"
    room.front.wait_told(lambda _: bool(room.front.closes()))
    assert room.stage.do(lambda: room.worker.sockets.outgoing.waiting_bytes) == 0


@pytest.mark.limit("front_ahead_bytes")
def test_what_a_front_has_taken_and_not_told_keeps_no_message_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front says nothing of the last few that it took: whoever waited for that would wait for ever."""
    limits = Limits(front_ahead_bytes=64_000)
    room = SocketStage(monkeypatch, limits=limits)
    socket = room.front.accept("a")

    room.run("a", ["send", to(socket), "x" * 900])
    room.run("a", ["send", to(socket), "y" * 64_000])
    room.front.wait_told(lambda _: len(room.front.texts(socket)) == 2)
    assert room.front.send_bytes > limits.front_ahead_bytes
    room.run("a", ["send", to(socket), "z"])
    room.settle()

    assert len(room.front.texts(socket)) == 2, "now it is further ahead than that"
    room.front.taken(room.front.send_bytes - untold_bytes_max(limits.front_ahead_bytes))
    room.front.wait_told(lambda _: len(room.front.texts(socket)) == 3)


@pytest.mark.limit("front_unsent_bytes_max")
def test_who_misses_what_may_not_wait_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(front_ahead_bytes=10_000, front_unsent_bytes_max=20_000)
    room = SocketStage(monkeypatch, limits=limits)
    slow, other = room.front.accept("a"), room.front.accept("b")

    room.run("a", *[["send", to(slow), "x" * 1000]] * 50)
    room.run("b", ["send", to(other), "y"])
    room.front.wait_told(lambda _: bool(room.front.closes()))

    assert room.front.closes() == [(1012, (serial_of(slow),))]
    room.front.taken(room.front.send_bytes)
    room.front.wait_told(lambda _: room.front.texts(other) == ["y"])


@pytest.mark.limit("worker_unsent_bytes_max")
def test_past_what_all_may_wait_the_largest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(front_ahead_bytes=1_000, worker_unsent_bytes_max=20_000)
    room = SocketStage(monkeypatch, limits=limits)
    large, small = room.front.accept("a"), room.front.accept("b")

    room.run("b", *[["send", to(small), "y" * 500]] * 5)
    room.run("a", *[["send", to(large), "x" * 1000]] * 30)
    room.front.wait_told(lambda _: bool(room.front.closes()))

    assert {serials for _, serials in room.front.closes()} == {(serial_of(large),)}


def test_a_worker_holds_nothing_of_sockets_whose_instances_are_idle(room: SocketStage) -> None:
    for n in range(200):
        room.front.accept(f"n{n}")
    room.settle()
    room.stage.do(lambda: room.worker.directory.evict_all(room.worker.gate.settled))

    worker = room.worker
    links = worker.sockets.outgoing._links.values()
    held = room.stage.do(lambda: [len(worker.directory), len(worker.sockets.closings), *[len(x.queues) for x in links]])
    assert held == [0, 0, 0]


def _is_ahead(front: Front, of_bytes: int, told: list[Any]) -> bool:
    return front.send_bytes > of_bytes


def _edit(room: SocketStage, edit: bytes) -> None:
    request = Call(0, TYPE, 0, CallKind.EDIT, 0, b"a", edit, b"", b"")
    room.worker.mailboxes.submit(None, request, None)
