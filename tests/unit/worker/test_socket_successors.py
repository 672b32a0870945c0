"""Sockets that outlive a worker: what its successor makes of what the front says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast_host.wire.pages.send_page import owner_mark
from holdfast_host.wire.sockets.frames import Auto, Open, serial_of, socket_text
from holdfast_host.wire.sockets.standing import Closing, StandingSockets
from holdfast_host.worker.sockets import scan
from tests.unit.worker.socket_stage import Front, SocketStage, left_by_a_dead_worker, to
from tests.unit.worker.stage import TYPE

A = owner_mark(TYPE, b"a")


class Successor:
    """A worker after one that had three sockets of `a`, and their front, which lives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: list[Any]) -> None:
        before = SocketStage(monkeypatch)
        if steps:
            before.run("a", *steps)
        self.sockets = [before.front.accept("a") for _ in range(3)]
        before.settle()
        store = left_by_a_dead_worker(before.store)
        self.stage = SocketStage(monkeypatch, store=store, front=99, awaits=(7, 99))

    @property
    def serials(self) -> list[int]:
        return [serial_of(each) for each in self.sockets]

    def come(self, **facts: Any) -> Front:
        """The front is there, and says that."""
        return Front(self.stage.worker, 7, 100, standing=StandingSockets(100, **facts))


@pytest.fixture
def successor(monkeypatch: pytest.MonkeyPatch) -> Successor:
    return Successor(monkeypatch)


# The successor.


def test_sockets_that_their_front_names_stand_and_what_was_sent_before_it_came_reaches_them(
    successor: Successor,
) -> None:
    stage, sockets = successor.stage, successor.sockets
    listed = stage.run("a", ["list"], ["send", {}, "early"])[0]
    stage.settle()
    front = successor.come(open=dict.fromkeys(successor.serials, A))

    assert listed == [socket_text(each) for each in sockets]
    front.wait_told(lambda _: front.texts(sockets[2]) == ["early"])
    stage.settle()
    front.say("a", sockets[0], json.dumps([["send", {}, "hi"]]))
    front.wait_told(lambda _: front.texts(sockets[2]) == ["early", "hi"])
    assert stage.told() == ["message"]
    assert sorted(stage.rows("a")) == sockets


def test_a_socket_that_its_front_does_not_name_is_closed_and_one_that_is_closing_as_it_says(
    successor: Successor,
) -> None:
    first, second, third = successor.serials
    closing = [Closing(second, A, 1012, clean=False, broke=False, reason="lost")]
    successor.come(open={first: A, third: owner_mark(TYPE, b"another")}, closing=closing)
    stage = successor.stage
    while len(stage.rows("a")) > 1:
        stage.settle()

    assert sorted((each["code"], each["reason"]) for each in stage.events) == [(1006, ""), (1012, "lost")]
    assert list(stage.rows("a")) == successor.sockets[:1]
    assert stage.run("a", ["list"])[0] == [socket_text(successor.sockets[0])]


def test_a_front_that_ends_before_it_has_come_is_a_close_for_each_of_its_sockets(successor: Successor) -> None:
    stage = successor.stage
    stage.run("a", ["send", {}, "to nobody"])
    stage.stage.do(lambda: stage.worker.sockets.know_fronts([99]))
    while stage.rows("a"):
        stage.settle()

    assert [each["code"] for each in stage.events] == [1006] * 3
    assert stage.stage.do(lambda: stage.worker.sockets.outgoing.waiting_bytes) == 0


def test_an_open_that_may_be_lost_is_said_again_and_so_are_the_auto_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    successor = Successor(monkeypatch, ["auto", "ping", "pong"])
    first, second, third = successor.serials
    front = successor.come(open={first: A, second: A}, offers=[third])

    told = front.wait_told(lambda told: len(told) == 2)
    assert sorted(told, key=lambda each: isinstance(each, Open)) == [
        Auto(TYPE, b"a", "ping", "pong"),
        Open(successor.sockets[2], events=False, type_id=TYPE, name=b"a", again=True),
    ]
    assert sorted(successor.stage.rows("a")) == successor.sockets


def test_an_auto_response_is_said_again_also_where_something_was_committed_while_the_rows_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    successor = Successor(monkeypatch, ["auto", "ping", "pong"])
    successor.stage.settle()
    settled = iter([1, 2])
    successor.stage.worker.sockets._scan._settled = lambda: next(settled, 3)
    front = successor.come(open=dict.fromkeys(successor.serials, A))

    assert front.wait_told(bool) == [Auto(TYPE, b"a", "ping", "pong")]


def test_an_auto_response_is_said_again_as_it_is_when_an_instances_later_rows_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = SocketStage(monkeypatch)
    before.run("a", ["auto", "ping", "old"])
    sockets = [before.front.accept("a"), before.front.accept("a"), Front(before.worker, 8).accept("a")]
    before.settle()
    stage = SocketStage(monkeypatch, store=left_by_a_dead_worker(before.store), front=99, awaits=(7, 8, 99))
    stage.settle()
    Front(stage.worker, 7, 100, standing=StandingSockets(100, open=dict.fromkeys(map(serial_of, sockets[:2]), A)))
    stage.settle()
    monkeypatch.setattr(scan, "_PAGE", 2)
    read, rows = stage.store.socket_page, stage.store._rows[TYPE, b"a"].sockets

    def page(after: bytes, entries_max: int) -> Any:
        if after:
            rows[0] = rows[0]._replace(attachment=b"new")  # a turn has committed that, and told the fronts
        return read(after, entries_max)

    monkeypatch.setattr(stage.store, "socket_page", page)
    other = Front(stage.worker, 8, 100, standing=StandingSockets(100, open={serial_of(sockets[2]): A}))

    assert other.wait_told(bool)[0] == Auto(TYPE, b"a", "ping", "new")


def test_a_socket_that_was_offered_before_a_link_broke_is_closed_where_it_is_accepted_after_that(
    room: SocketStage,
) -> None:
    accepted, offered = room.front.accept("a"), room.front.offer()
    room.front.close()
    while room.stage.do(lambda: room.worker.sockets.is_live(accepted)):
        pass
    front = Front(room.worker, 7, 100)
    assert front.wait(front.ask("a", {"accept": socket_text(offered)}, offered))[0] == 200
    room.settle()

    assert [each["code"] for each in room.events] == [1006, 1006]
    assert room.rows("a") == {}
    assert front.told == []


def test_what_a_front_has_said_of_its_sockets_is_forgotten_once_all_rows_are_compared_with_it(
    successor: Successor,
) -> None:
    successor.come(open=dict.fromkeys(successor.serials[:2], A))
    stage = successor.stage
    while len(stage.rows("a")) > 2:
        stage.settle()
    link = stage.worker.sockets.outgoing._links[7]

    assert link.standing is None
    assert [stage.worker.sockets.is_live(each) for each in successor.sockets] == [True, True, False]


def test_more_than_may_wait_for_a_front_that_does_not_come_closes_those_who_miss_it(successor: Successor) -> None:
    stage = successor.stage
    for _ in range(18):
        stage.run("a", ["send", to(successor.sockets[0]), "x" * 1_000_000])
    front = successor.come(open=dict.fromkeys(successor.serials, A))

    front.wait_told(lambda _: bool(front.closes()))
    assert front.closes()[0] == (1012, (successor.serials[0],))
