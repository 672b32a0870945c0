"""Sockets at a worker: events as turns, frames behind their commit, closes once, and who has gone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import Ending, SocketRow
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.sockets.frames import Auto, Open, Send, read_socket, serial_of, socket_text
from holdfast_host.worker.sockets.reception import Sockets
from holdfast_host.worker.turns.turn import Turn
from holdfast_host.worker.turns.turn_sockets import TurnSockets
from tests.unit.worker.socket_stage import Front, SocketStage, left_by_a_dead_worker
from tests.unit.worker.stage import TYPE


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> SocketStage:
    return SocketStage(monkeypatch)


def to(*sockets: int) -> dict[str, Any]:
    return {"ids": [socket_text(each) for each in sockets]}


def steps(*each: list[Any]) -> str:
    return json.dumps(each)


# Accepting.


def test_a_socket_opens_and_hears_its_first_word_when_its_turn_is_durable(room: SocketStage) -> None:
    room.run("a", ["auto", "ping", "pong"])
    room.store.hold()
    socket = room.front.offer()
    first = ["send", to(socket), "welcome"]
    slot = room.front.ask("a", {"accept": socket_text(socket), "protocol": "chat", "steps": [first]}, socket)
    room.store.wait_held()

    assert room.front.told == []
    assert not room.front.answered(slot)
    room.store.let_go()
    room.front.wait(slot)
    told = room.front.wait_told(lambda told: len(told) == 3)
    assert told == [
        Open(socket, events=False, type_id=TYPE, name=b"a", protocol="chat"),
        Auto(TYPE, b"a", "ping", "pong"),
        Send(0, (serial_of(socket),), b"welcome", type_id=TYPE, name=b"a"),
    ]


def test_a_number_that_a_guest_wrote_is_not_accepted(room: SocketStage) -> None:
    """Which socket a turn may accept comes beside the request: a text could name a stranger's."""
    offered, other = room.front.offer(), room.front.offer()
    for accept, offer in ((other, offered), (offered, 0), (0, offered)):
        status, body = room.front.wait(room.front.ask("a", {"accept": socket_text(accept)}, offer))

        assert status >= 400
        assert "this turn may accept" in body["error"]["message"]
    assert room.rows("a") == {}
    assert room.front.told == []


def test_where_the_number_in_a_text_decided_a_guest_would_take_over_a_strangers_handshake(
    room: SocketStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the mechanism: the front is told that the stranger's socket is this instance's."""
    accept = TurnSockets.accept

    def believe(sockets: TurnSockets, socket: bytes, options: bytes) -> None:
        sockets._turn.request = replace(sockets._turn.request, offer=read_socket(socket.decode()))
        accept(sockets, socket, options)

    monkeypatch.setattr(TurnSockets, "accept", believe)
    offered, strangers = room.front.offer(), room.front.offer()
    status, _ = room.front.wait(room.front.ask("a", {"accept": socket_text(strangers)}, offered))

    assert status == 200
    room.front.wait_told(lambda told: told == [Open(strangers, events=False, type_id=TYPE, name=b"a")])


def test_what_is_said_of_a_socket_may_be_as_large_as_its_limits(room: SocketStage) -> None:
    tags = [f"{n}".ljust(256, "x") for n in range(10)]

    socket = room.front.accept("a", tags=tags, attachment="x" * (16_384 - 2))

    assert len(room.rows("a")[socket].attachment) == 16_384
    assert room.run("a", ["count", tags[9]], ["auto", "p" * 2048, "q" * 2048], ["send", {}, "x" * (1 << 20)])[0] == 1


def test_nothing_of_sockets_stays_in_memory_with_an_instance_that_is_evicted(room: SocketStage) -> None:
    room.front.accept("a")
    room.front.accept("a")
    entry = room.stage.do(lambda: room.worker.directory.find(TYPE, b"a"))
    assert entry is not None
    read = entry.pending.stored_sockets
    room.stage.do(entry.evict)

    assert (len(read or ()), entry.pending.stored_sockets) == (2, None)
    assert room.run("a", ["count"])[0] == 2


def test_an_offer_is_accepted_once(room: SocketStage) -> None:
    socket = room.front.accept("a")

    _, body = room.front.wait(room.front.ask("a", {"accept": socket_text(socket)}, socket))

    assert "accepted already" in body["error"]["message"]


@pytest.mark.limit("socket_tags_max", "socket_tag_bytes_max", "socket_attachment_bytes_max")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": ["x" * 257]}, "a tag of 257 bytes, it has 1 to 256 bytes"),
        ({"tags": [""]}, "a tag of 0 bytes"),
        ({"tags": ["a\0b"]}, "must not contain NUL"),
        ({"tags": [str(n) for n in range(11)]}, "11 tags of a socket, the limit is 10"),
        ({"tags": "ab"}, "'tags' is a list of texts"),
        ({"tags": ["\ud800"]}, "lone surrogate"),
        ({"attachment": "x" * 20_000}, "an attachment of 20002 bytes, the limit is 16384 bytes"),
        ({"protocol": "a b"}, "is no name of a subprotocol"),
        ({"events": 1}, "'events' of a socket is true or false"),
    ],
)
def test_bad_options_are_one_sentence_and_accept_nothing(
    room: SocketStage, options: dict[str, Any], message: str
) -> None:
    socket = room.front.offer()

    _, body = room.front.wait(room.front.ask("a", {"accept": socket_text(socket), **options}, socket))

    assert message in body["error"]["message"]
    assert room.rows("a") == {}


@pytest.mark.limit("instance_sockets_max")
def test_an_instance_has_no_more_sockets_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SocketStage(monkeypatch, limits=Limits(instance_sockets_max=2))
    room.front.accept("a")
    room.front.accept("a")
    socket = room.front.offer()

    _, body = room.front.wait(room.front.ask("a", {"accept": socket_text(socket)}, socket))

    assert "2 sockets, the limit is 2" in body["error"]["message"]
    room.front.accept("b")


def test_a_turn_that_fails_has_accepted_nothing_and_sent_nothing(room: SocketStage) -> None:
    old, new = room.front.accept("a"), room.front.offer()
    told = len(room.front.told)
    fails = [["send", to(old), "never"], ["fail"]]
    status, _ = room.front.wait(room.front.ask("a", {"accept": socket_text(new), "steps": fails}, new))
    room.run("a", ["send", to(old), "next"])

    assert status == 500
    assert list(room.rows("a")) == [old]
    following = room.front.wait_told(lambda each: len(each) > told)[told:]
    assert following == [Send(0, (serial_of(old),), b"next", type_id=TYPE, name=b"a")]


# Messages, and what is sent.


def test_a_message_is_a_turn_and_what_it_sends_waits_for_its_commit(room: SocketStage) -> None:
    one, two = room.front.accept("a", tags=["t"]), room.front.accept("a")
    told = len(room.front.told)
    room.store.hold()
    slot = room.front.say("a", one, steps(["put", "n", 1], ["send", {}, "all"], ["send", {"tag": "t"}, "some"]))
    room.store.wait_held()

    assert len(room.front.told) == told
    assert not room.front.answered(slot)
    room.store.let_go()
    assert room.front.wait(slot) == (200, None)
    room.front.wait_told(lambda each: len(each) == told + 2)
    assert room.front.texts(one) == ["all", "some"]
    assert room.front.texts(two) == ["all"]
    [event] = room.events
    assert event["socket"]["id"] == socket_text(one)
    assert event["socket"]["tags"] == ["t"]


def test_one_that_fails_or_undoes_sends_nothing_and_its_socket_stays(room: SocketStage) -> None:
    socket = room.front.accept("a")
    for message in (
        steps(["send", to(socket), "never"], ["fail"]),
        steps(["undone", "send", to(socket), "undone"], ["send", to(socket), "kept"]),
        steps(["send", to(socket), "last"]),
    ):
        assert room.front.wait(room.front.say("a", socket, message)) == (200, None)

    room.front.wait_told(lambda _: room.front.texts(socket)[-1:] == ["last"])
    assert room.front.texts(socket) == ["kept", "last"]
    assert list(room.rows("a")) == [socket]


def test_what_was_sent_before_a_sync_leaves_with_it(room: SocketStage) -> None:
    socket = room.front.accept("a")

    room.front.say("a", socket, steps(["send", to(socket), "early"], ["sync"], ["send", to(socket), "late"], ["fail"]))

    room.front.wait_told(lambda _: room.front.texts(socket) == ["early"])
    room.run("a", ["send", to(socket), "end"])
    room.front.wait_told(lambda _: room.front.texts(socket) == ["early", "end"])


def test_a_turn_that_only_sends_makes_no_batch(room: SocketStage) -> None:
    socket = room.front.accept("a")
    groups = list(room.store.groups)

    room.front.wait(room.front.say("a", socket, steps(["send", to(socket), "x"])))

    room.front.wait_told(lambda _: room.front.texts(socket) == ["x"])
    assert room.store.groups == groups


def test_a_message_whose_effects_are_lost_closes_its_socket(room: SocketStage) -> None:
    """Its client cannot be told an error: it comes again, and finds what is there."""
    socket = room.front.accept("a")
    room.store.lose_next([b"a"])

    room.front.wait(room.front.say("a", socket, steps(["put", "n", 1], ["send", to(socket), "never"])))

    room.front.wait_told(lambda _: bool(room.front.closes()))
    assert room.front.closes() == [(1012, (serial_of(socket),))]
    assert room.front.texts(socket) == []


def test_events_of_a_socket_are_heard_in_order_and_stand_beside_the_mailboxs_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = SocketStage(monkeypatch, limits=Limits(mailbox_turns_max=1))
    socket = room.front.accept("a")
    room.store.hold()
    slots = [room.front.say("a", socket, steps(["put", "n", n], ["sync"])) for n in range(20)]
    room.store.wait_held()
    call = room.stage.client.send("a", "run", [])
    room.store.let_go()

    assert [room.front.wait(slot)[0] for slot in slots] == [200] * 20
    assert room.stage.client.wait(call)[0] == 200
    assert [json.loads(each["message"])[0][2] for each in room.events] == list(range(20))


def test_an_event_without_room_is_tried_again_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SocketStage(monkeypatch)
    socket = room.front.accept("a")

    def fill(full: bool) -> None:
        room.worker.directory.evict_all(room.worker.gate.settled)
        room.worker.directory.is_full = full

    room.settle()
    room.stage.do(lambda: fill(True))
    slots = [room.front.say("a", socket, steps(["put", "n", n])) for n in range(3)]
    room.stage.do(lambda: None)
    room.advance(0.2)
    assert room.events == []
    room.stage.do(lambda: fill(False))
    room.advance(0.2)

    assert [room.front.wait(slot)[0] for slot in slots] == [200] * 3
    assert room.run("a", ["get", "n"]) == [2]


@pytest.mark.limit("socket_auto_response_bytes_max")
@pytest.mark.parametrize(
    ("step", "message"),
    [
        (["send", {}, "x" * 2_000_000], "a message of 2000000 bytes, the limit is 1048576 bytes"),
        (["send", {"ids": 5}, "x"], "'ids' is a list of sockets"),
        (["send", {"tag": 5}, "x"], "'tag' is a text"),
        (["send", [], "x"], "'to' of a socket is a JSON object"),
        (["close", {}, 1006], "1006 is no code to close with"),
        (["close", {}, 999], "999 is no code to close with"),
        (["auto", "x" * 2049, ""], "an auto response whose text has 2049 bytes, the limit is 2048 bytes"),
        (["attach", socket_text(1), "x" * 20_000], "an attachment of 20002 bytes"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence(room: SocketStage, step: list[Any], message: str) -> None:
    room.front.accept("a")

    status, body = room.stage.call("a", "run", [step])

    assert status >= 400
    assert message in body["error"]["message"]


@pytest.mark.limit("turn_sends_max", "turn_send_bytes_max")
def test_a_turn_sends_no_more_than_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SocketStage(monkeypatch, limits=Limits(turn_sends_max=3, turn_send_bytes_max=100))
    socket = room.front.accept("a")
    for sends, message in ((["x"] * 4, "sending 4 messages in one turn"), (["x" * 90, "y" * 9], "sending 107 bytes")):
        _, body = room.stage.call("a", "run", [["send", to(socket), each] for each in sends])

        assert message in body["error"]["message"]
    room.run("a", *[["send", to(socket), "x"]] * 3, ["sync"], *[["send", to(socket), "x"]] * 3)
    room.run("a", ["send", to(socket), "x" * 96])
    _, body = room.stage.call("a", "run", [["auto", "p", str(n)] for n in range(4)])
    assert "sending 4 messages in one turn" in body["error"]["message"]


@pytest.mark.limit("turn_write_bytes_max")
def test_attachments_are_among_what_a_turn_may_write_each_as_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SocketStage(monkeypatch, limits=Limits(turn_write_bytes_max=20_000))
    one, two = (socket_text(room.front.accept("a")) for _ in range(2))
    _, body = room.stage.call("a", "run", [["attach", each, "x" * 10_000] for each in (one, two)])

    assert "in one turn exceeds the limit of 20000 bytes (an attachment, " in body["error"]["message"]
    room.run("a", *[["attach", one, "x" * 10_000]] * 5, ["put", "k", "x" * 5_000])


def test_only_the_own_sockets_are_meant(room: SocketStage) -> None:
    own, others = room.front.accept("a"), room.front.accept("b")

    room.run("a", ["send", to(others, own), "x"], ["close", to(others), 1000])

    room.front.wait_told(lambda _: room.front.texts(own) == ["x"])
    assert room.front.texts(others) == []
    assert room.front.closes() == []
    assert room.run("a", ["count"]) == [1]


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
    _handlers(room, "socket_message", "socket_close")
    room.front.wait(room.front.closed("a", second, 1009, clean=False, method="error"))

    assert room.told() == ["error", "close"]


def test_a_type_without_a_handler_costs_no_activation(room: SocketStage) -> None:
    socket = room.front.accept("a")
    _handlers(room, "socket_message")
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

    _handlers(room, "fetch")
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


def _handlers(room: SocketStage, *names: str) -> None:
    loaded = replace(room.stage.loaded(2), handlers=frozenset({*names}))
    room.stage.do(lambda: room.worker.deployments._by_type.update({TYPE: loaded}))


def _edit(room: SocketStage, edit: bytes) -> None:
    request = Call(0, TYPE, 0, CallKind.EDIT, 0, b"a", edit, b"", b"")
    room.worker.mailboxes.submit(None, request, None)
