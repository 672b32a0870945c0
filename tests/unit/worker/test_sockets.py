"""Sockets at a worker: what is accepted, events as turns, and what is sent behind its commit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.sockets.frames import Auto, Open, Send, read_socket, serial_of, socket_text
from holdfast_host.worker.turns.turn_sockets import TurnSockets
from tests.unit.worker.socket_stage import SocketStage, steps, to
from tests.unit.worker.stage import TYPE

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
