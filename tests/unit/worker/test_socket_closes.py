"""Each close runs once: of clients, of instances, of sockets whose front or worker has gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.storage.store import Ending, SocketRow
from holdfast_host.wire.sockets.frames import serial_of, socket_text
from holdfast_host.worker.sockets.reception import Sockets
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.socket_stage import Front, SocketStage, handlers, left_by_a_dead_worker, steps, to
from tests.unit.worker.stage import TYPE

# Closing.


def test_a_close_removes_the_row_with_what_its_handler_writes_and_runs_once(room: SocketStage) -> None:
    socket = room.front.accept("a")
    slots = [room.front.closed("a", socket, 1001) for _ in range(2)]

    assert [room.front.wait(slot)[0] for slot in slots] == [200, 200]
    room.settle()
    assert room.told() == ["close"]
    assert room.events[0]["code"] == 1001
    assert room.rows("a") == {}
    assert room.run("a", ["get", "closed"], ["count"]) == [1, 0]


def test_a_socket_is_not_listed_in_its_own_close(room: SocketStage) -> None:
    seen: list[Any] = []
    room.handler = lambda turn, event: seen.append(json.loads(turn.sockets.list(None, b"", 9)))
    socket = room.front.accept("a")

    room.front.wait(room.front.closed("a", socket))

    assert seen == [{"sockets": []}]


def test_what_the_instance_closes_is_not_listed_and_hears_no_more_from_that_commit_on(room: SocketStage) -> None:
    one, two = room.front.accept("a"), room.front.accept("a")
    told = len(room.front.told)

    room.run("a", ["send", to(one), "last"], ["close", to(one), 4000], ["send", {}, "after"])
    room.front.wait(room.front.say("a", one, steps(["put", "heard", 1])))

    room.front.wait_told(lambda each: len(each) == told + 3)
    assert room.front.texts(one) == ["last"]
    assert room.front.texts(two) == ["after"]
    assert room.front.closes() == [(4000, (serial_of(one),))]
    assert room.run("a", ["count"], ["get", "heard"]) == [1, None]
    assert set(room.rows("a")) == {one, two}, "until the front says that it is closed"
    room.front.wait(room.front.closed("a", one, 4000))
    assert set(room.rows("a")) == {two}


@pytest.mark.limit("socket_retries_max")
def test_a_close_that_fails_is_tried_three_times_more_and_then_given_up(room: SocketStage) -> None:
    def fail(turn: Turn, event: dict[str, Any]) -> None:
        turn.storage.put(b"n", b"1")
        raise HoldfastError("not today")

    room.handler = fail
    socket = room.front.accept("a")
    assert room.front.wait(room.front.closed("a", socket)) == (200, None), "the front's slot does not wait for retries"
    for attempts, delay_s in ((1, 1), (2, 4), (3, 16)):
        room.settle()
        assert len(room.events) == attempts
        assert room.rows("a")[socket].ending == Ending(1000, "bye", clean=True, tries=attempts)
        room.advance(delay_s - 0.01)
        assert len(room.events) == attempts
        room.advance(0.02)

    assert len(room.events) == 4
    assert room.rows("a") == {}
    assert room.worker.sockets.closings.given_up == 1
    assert room.run("a", ["get", "n"]) == [None]


def test_a_close_whose_commit_is_lost_is_tried_again(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.store.lose_next([b"a"])

    room.front.wait(room.front.closed("a", socket))
    assert list(room.rows("a")) == [socket]
    room.advance(1.1)

    assert room.told() == ["close", "close"]
    assert room.rows("a") == {}
    assert room.run("a", ["get", "closed"]) == [1]


def test_one_that_broke_a_rule_is_told_by_socket_error_where_there_is_one(room: SocketStage) -> None:
    first, second = room.front.accept("a"), room.front.accept("a")

    room.front.wait(room.front.closed("a", first, 1009, clean=False, method="error"))
    handlers(room, "socket_message", "socket_close")
    room.front.wait(room.front.closed("a", second, 1009, clean=False, method="error"))

    assert room.told() == ["error", "close"]


def test_a_type_without_a_handler_costs_no_activation(room: SocketStage) -> None:
    socket = room.front.accept("a")
    handlers(room, "socket_message")
    room.settle()
    room.stage.do(lambda: room.worker.directory.evict_all(room.worker.gate.settled))

    room.front.wait(room.front.closed("a", socket))
    room.settle()

    assert room.rows("a") == {}
    entry = room.stage.do(lambda: room.worker.directory.find(TYPE, b"a"))
    assert entry is None or entry.sandbox is None


def test_no_more_closes_are_under_way_than_the_limit(room: SocketStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast_host.worker.sockets.closings.UNDER_WAY_MAX", 2)
    sockets = [room.front.accept(f"n{n}") for n in range(8)]
    room.store.hold()
    for n, socket in enumerate(sockets):
        room.front.closed(f"n{n}", socket)
    room.store.wait_held()

    assert room.stage.do(lambda: room.worker.sockets.closings.occupancy()["under_way"]) <= 2
    room.store.let_go()
    room.settle()
    assert len(room.events) == 8


# Who has gone.


def test_the_sockets_of_a_front_that_has_gone_are_closed_and_at_once_neither_listed_nor_sent_to(
    room: SocketStage,
) -> None:
    other = Front(room.worker, front=8)
    gone, kept = [room.front.accept("a") for _ in range(5)], other.accept("a")
    room.store.hold()
    room.front.close()
    while room.stage.do(lambda: room.worker.sockets.is_live(gone[0])):
        pass
    slot = room.stage.client.send("a", "run", [["list"], ["send", {}, "still"]])
    room.store.let_go()

    assert room.stage.client.wait(slot)[1][0] == [socket_text(kept)]
    room.settle()
    assert [(each["code"], each["clean"]) for each in room.events] == [(1006, False)] * 5
    assert list(room.rows("a")) == [kept]
    other.wait_told(lambda _: other.texts(kept) == ["still"])


def test_a_link_that_broke_has_ended_all_sockets_from_before_it(room: SocketStage) -> None:
    old = room.front.accept("a")
    room.front.close()
    again = Front(room.worker, front=7, serial=5)
    new = again.accept("a")
    room.settle()

    assert room.told() == ["close"]
    assert list(room.rows("a")) == [new]
    assert old != new


def test_a_link_that_comes_before_the_end_of_the_one_before_it_ends_its_sockets_too(room: SocketStage) -> None:
    old = room.front.accept("a")
    room.run("a", *[["send", to(old), "x" * 1_000_000]] * 3)
    outgoing = room.worker.sockets.outgoing
    assert room.stage.do(lambda: outgoing.waiting_bytes) > 1_000_000
    again = Front(room.worker, front=7, serial=5)
    new = again.accept("a")
    room.front.close()
    room.settle()

    assert room.told() == ["close"]
    assert list(room.rows("a")) == [new]
    assert room.stage.do(lambda: outgoing.waiting_bytes) == 0


def test_a_socket_that_opens_when_its_front_has_gone_is_closed(room: SocketStage) -> None:
    socket = room.front.offer()
    room.store.hold()
    room.front.ask("a", {"accept": socket_text(socket)}, socket)
    room.store.wait_held()
    room.front.close()
    while room.stage.do(lambda: bool(room.worker.sockets.outgoing._links)):
        pass
    room.store.let_go()
    room.settle()

    assert room.told() == ["close"]
    assert room.rows("a") == {}


def test_a_successor_closes_what_a_dead_worker_left_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SocketStage(monkeypatch)
    sockets = [before.front.accept(name) for name in ("a", "a", "b")]
    before.front.closed("a", sockets[0])
    before.settle()

    after = SocketStage(monkeypatch, store=left_by_a_dead_worker(before.store), front=7, serial=100)
    after.settle()

    assert sorted(each["socket"]["id"] for each in after.events) == [socket_text(each) for each in sockets[1:]]
    assert after.rows("a") == after.rows("b") == {}
    assert after.run("a", ["get", "closed"]) == [2]


def test_an_attempt_that_killed_its_worker_counts_as_failed_and_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SocketStage(monkeypatch)
    sockets = {name: before.front.accept(name) for name in ("a", "b", "c")}
    store = left_by_a_dead_worker(before.store)
    for name, row in store._rows.items():
        for socket, each in list(row.sockets.items()):
            if name[1] in (b"a", b"b"):
                row.sockets[socket] = each._replace(ending=Ending(1006, "", clean=False, begun=True))

    running: list[str] = []
    most: list[int] = []

    def note(turn: Turn, event: dict[str, Any]) -> None:
        running.append(event["socket"]["id"])
        most.append(len(running))
        turn.sync()
        running.pop()

    after = SocketStage(monkeypatch, store=store, serial=100, handler=note)
    after.settle()
    assert [each["socket"]["id"] for each in after.events] == [socket_text(sockets["c"])]
    assert after.rows("a")[sockets["a"]].ending == Ending(1006, "", clean=False, tries=1, killed=True)
    after.advance(1.1)

    assert len(after.events) == 3
    assert max(most) == 1
    assert after.rows("a") == after.rows("b") == {}


def test_an_attempt_that_a_predecessor_may_have_begun_is_noted_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SocketStage(monkeypatch)
    socket = before.front.accept("a")
    store = left_by_a_dead_worker(before.store)
    stored: list[SocketRow | None] = []

    def look(turn: Turn, event: dict[str, Any]) -> None:
        stored.append(store.socket(turn.entry.stored, socket))

    after = SocketStage(monkeypatch, store=store, serial=100, handler=look)
    after.settle()

    assert [each.ending.begun for each in stored if each is not None and each.ending is not None] == [True]
    assert after.rows("a") == {}


def test_who_waits_for_one_that_killed_its_worker_does_not_wait_until_that_may_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = SocketStage(monkeypatch)
    for name in ("a", "b"):
        before.front.accept(name)
    store = left_by_a_dead_worker(before.store)
    for row in store._rows.values():
        for socket, each in list(row.sockets.items()):
            row.sockets[socket] = each._replace(ending=Ending(1006, "", clean=False, begun=True))
    heard: list[str] = []

    def fail(turn: Turn, event: dict[str, Any]) -> None:
        heard.append(turn.entry.stored.name.decode())
        if heard[0] == heard[-1]:
            raise HoldfastError("not today")

    after = SocketStage(monkeypatch, store=store, serial=100, handler=fail)
    after.settle()
    after.clock.advance(1.1)
    closings = after.worker.sockets.closings
    while (after.stage.do(closings.occupancy)["waiting"], after.stage.do(lambda: len(closings._aside))) != (1, 1):
        pass
    (first,) = heard
    after.stage.do(lambda: after.worker.mailboxes.set_quarantined([(TYPE, first)]))
    after.advance(5)

    assert heard == [first, "b" if first == "a" else "a"]


def test_of_two_instances_that_accepted_one_handshake_each_has_events_and_a_close_of_its_own(
    room: SocketStage,
) -> None:
    def fail(turn: Turn, event: dict[str, Any]) -> None:
        if turn.entry.stored.name == b"loser" and event["event"] == "close":
            raise HoldfastError("not today")

    room.handler = fail
    socket = room.front.offer()
    for name in ("loser", "winner"):
        assert room.front.wait(room.front.ask(name, {"accept": socket_text(socket)}, socket))[0] == 200
    room.front.wait(room.front.closed("loser", socket, 1006, clean=False))
    room.front.wait(room.front.say("winner", socket, steps()))
    room.front.wait(room.front.closed("winner", socket))
    room.settle()

    assert room.told() == ["close", "message", "close"]
    assert room.rows("winner") == {}
    assert list(room.rows("loser")) == [socket]


@pytest.mark.parametrize("waits", ["a close", "an event"])
def test_a_leader_sleeps_while_its_worker_drains_whatever_would_be_due(room: SocketStage, waits: str) -> None:
    def fail(turn: Turn, event: dict[str, Any]) -> None:
        raise HoldfastError("not today")

    room.handler = fail
    socket = room.front.accept("a")
    if waits == "a close":
        room.front.wait(room.front.closed("a", socket))
        room.settle()
    else:
        room.stage.do(lambda: room.worker.directory.evict_all(room.worker.gate.settled))
        room.stage.do(lambda: setattr(room.worker.directory, "is_full", True))
        slot = room.front.say("a", socket, steps())
        while not room.worker.sockets._aside:
            room.stage.do(lambda: None)
    room.stage.do(lambda: setattr(room.worker.mailboxes, "draining", True))
    room.clock.advance(10)
    if waits == "an event":
        assert room.front.wait(slot)[0] == 503
    room.stage.do(lambda: None)

    assert not room.worker.sockets.is_due()
    assert room.stage.do(lambda: room.worker.sockets.wait_s(0.5)) == 0.5


def test_a_round_asks_nothing_of_sockets_that_are_silent(room: SocketStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker's plain calls pay for the sockets of its instances is the look at one attribute."""
    room.front.accept("a")
    room.settle()
    room.run("a", ["count", "x"])
    asked: list[str] = []

    def release(_: Sockets, generation: int) -> bool:
        asked.append(f"release {generation}")
        return True

    def wait_s(_: Sockets, longest_s: float) -> float:
        asked.append("wait_s")
        return longest_s

    monkeypatch.setattr(Sockets, "release", release)
    monkeypatch.setattr(Sockets, "wait_s", wait_s)

    room.run("a", ["count", "x"])
    assert asked == []


def test_an_attempt_whose_commit_is_lost_behind_its_note_has_killed_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SocketStage(monkeypatch)
    before.front.accept("a")
    store = left_by_a_dead_worker(before.store)
    losses = [[b"a"]]

    def lose_once(turn: Turn, event: dict[str, Any]) -> None:
        turn.storage.put(b"n", b"1")
        if losses:
            store.lose_next(losses.pop())

    after = SocketStage(monkeypatch, store=store, serial=100, handler=lose_once)
    after.settle()
    after.advance(1.1)

    assert after.told() == ["close", "close"]
    assert after.rows("a") == {}
