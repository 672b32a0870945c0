"""What a worker notes of events and sends for a front that may outlive it, and what comes of events at their end."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import StoredInstance
from holdfast_host.wire.calls.frames import EVENT_SLOT
from holdfast_host.wire.pages.send_page import NO_GROUP, NO_SLOT, InFlight, SendPage
from holdfast_host.wire.pages.state_page import BEGUN, ENDED, LEFT, EventFate, fate_of_event
from holdfast_host.wire.sockets.frames import Close, Open, Send, SendKind, serial_of, socket_number
from holdfast_host.wire.sockets.standing import StandingSockets
from holdfast_host.worker.client_connections import ClientConnection
from holdfast_host.worker.sockets.front_links import FrontLink, WaitingFrame
from holdfast_host.worker.sockets.outgoing import Outgoing, SendsExit
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.socket_stage import SocketStage, run_steps, to
from tests.unit.worker.stage import TYPE
from tests.unit.worker.test_socket_successors import A

# What it notes for a front that may outlive it.


def test_whose_frames_wait_for_which_group_is_noted_before_the_commit_until_the_front_has_them(
    room: SocketStage,
) -> None:
    socket = room.front.accept("a")
    room.settle()
    room.front.clears = False
    room.store.hold()
    slot = room.stage.client.send("a", "run", [["put", "k", 1], ["send", to(socket), "hi"]])
    room.store.wait_held()
    noted = room.front.pages.sends.in_flight()
    group = room.stage.do(lambda: room.worker.gate.flight).number
    room.store.let_go()
    room.stage.client.wait(slot)
    room.front.wait_told(lambda _: room.front.texts(socket) == ["hi"])

    assert noted == [InFlight(A, group)]
    assert room.front.pages.sends.in_flight() == noted
    assert not room.front.pages.sends.stands_for_everybody


def test_what_waits_for_no_group_is_noted_too_and_what_fails_is_not(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.settle()
    room.front.clears = False
    room.run("a", ["send", to(socket), "one"], ["send", to(socket), "two"])
    room.stage.call("a", "run", [["send", to(socket), "never"], ["fail"]])

    assert room.front.pages.sends.in_flight() == [InFlight(A, NO_GROUP)]
    room.store.lose_next([b"a"])
    room.stage.call("a", "run", [["put", "k", 1], ["send", to(socket), "lost with it"]])
    assert room.front.pages.sends.in_flight() == [InFlight(A, NO_GROUP)]


@pytest.mark.parametrize(
    ("does", "word"),
    [([["put", "k", 1]], "group"), ([["send", {}, "hi"]], "ended"), ([["put", "k", 1], ["send", {}, "hi"]], "group")],
)
def test_an_events_word_says_the_group_of_its_effects_or_that_it_has_ended(
    room: SocketStage, does: list[Any], word: str
) -> None:
    socket = room.front.accept("a")
    room.settle()
    slot = room.front.say("a", socket, json.dumps(does))
    assert room.front.wait(slot)[0] == 200
    found = room.front.pages.events.words[slot - EVENT_SLOT]

    assert found == (ENDED if word == "ended" else room.worker.gate.settled)


def test_an_event_has_begun_while_its_handler_runs_and_what_let_something_out_is_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, go_on = threading.Event(), threading.Event()

    def handle(turn: Turn, event: dict[str, Any]) -> None:
        running.set()
        assert go_on.wait(20)
        run_steps(turn, [["put", "k", 1], ["sync"], ["put", "k", 2]])

    room = SocketStage(monkeypatch, handler=handle)
    socket = room.front.accept("a")
    slot = room.front.say("a", socket, "[]")
    assert running.wait(20)
    words = room.front.pages.events.words
    begun = words[slot - EVENT_SLOT]
    go_on.set()
    room.front.wait(slot)

    assert begun == BEGUN
    assert words[slot - EVENT_SLOT] == LEFT | room.worker.gate.settled


def test_a_message_whose_writes_were_lost_is_not_taken_for_heard_though_its_group_was_reached(
    room: SocketStage,
) -> None:
    socket = room.front.accept("a")
    room.settle()
    room.store.lose_next([b"a"])
    slot = room.front.say("a", socket, json.dumps([["put", "k", 1]]))
    room.front.wait(slot)

    assert fate_of_event(room.front.pages.events.words[slot - EVENT_SLOT], 1 << 40) is EventFate.UNKNOWN
    assert room.front.closes() == [(1012, (serial_of(socket),))]


def test_no_open_is_said_again_that_this_worker_has_still_to_say_though_its_row_is_there() -> None:
    page, told = SendPage.create(), list[bytes]()
    client = cast(
        "ClientConnection", SimpleNamespace(front=7, pages=SimpleNamespace(sends=page), post=told.append, closed=False)
    )
    outgoing = Outgoing(Limits(), function_of=str, on_orphan=lambda *_: None, on_unsent=lambda _: None)
    outgoing.know([7])
    outgoing.connect(client)
    outgoing.stand(client, StandingSockets(10, offers=[3]), 2)
    link = outgoing.unwalked(socket_number(7, 3))
    assert link is not None
    owner, other = StoredInstance(1, TYPE, b"a"), StoredInstance(2, TYPE, b"b")
    opens = Open(socket_number(7, 3), False, TYPE, b"a")
    leaving = [SendsExit(outgoing, owner, [(opens, (opens.socket,))], group) for group in (5, 6)]
    held = link.is_offered(owner, 3), link.is_offered(other, 3)
    leaving[0].fail(HoldfastError("lost"))
    leaving[1].go()

    assert held == (False, True)
    assert link.is_offered(owner, 3)
    assert told == [opens.pack()]
    assert page.in_flight() == []
    page.close()


def test_the_slots_of_what_may_not_wait_are_cleared_behind_the_close_of_those_who_miss_it() -> None:
    page, told = SendPage.create(), list[bytes]()
    client = cast("ClientConnection", SimpleNamespace(pages=SimpleNamespace(sends=page), post=told.append))
    link, owner = FrontLink(Limits(), is_first=True), StoredInstance(1, TYPE, b"a")
    link.attach(client, page)
    slot = page.take(A, NO_GROUP)
    message = Send(SendKind.TEXT, (1, 2), b"x", type_id=TYPE, name=b"a").pack()
    close = Close(1000, (2,), "bye", TYPE, b"a", slot).pack()
    link.put(owner, "f", WaitingFrame(message, (1, 2), len(message), NO_SLOT))
    link.put(owner, "f", WaitingFrame(close, (), 0, slot))
    link.give_up(owner)
    link.stand(StandingSockets(3), 1)

    closes = [Close.unpack(each[5:]) for each in told]
    assert [(each.code, each.serials, each.slot) for each in closes] == [
        (1000, (2,), NO_SLOT),
        (1012, (1, 2), NO_SLOT),
        (1012, (), slot),
    ]
    page.close()


def test_a_call_that_only_sent_is_marked_as_ended(room: SocketStage) -> None:
    socket = room.front.accept("a")
    room.settle()
    with room.front._sending:
        slot = room.front._slot
    assert room.front.wait(room.front.send("a", "run", [["send", to(socket), "hi"]]))[0] == 200

    assert room.front.page.words[slot] == ENDED


def test_a_link_that_breaks_while_its_worker_lives_leaves_word_that_anybody_may_have_missed_something(
    room: SocketStage,
) -> None:
    socket = room.front.accept("a")
    room.front.close()
    while room.stage.do(lambda: room.worker.sockets.is_live(socket)):
        pass

    assert room.front.pages.sends.stands_for_everybody


# What comes of events at their end.


@pytest.mark.limit("queue_timeout_s")
def test_events_behind_a_turn_that_takes_longer_than_calls_may_wait_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call in the same mailbox finds its time over; an event has none."""
    running, go_on = threading.Event(), threading.Event()

    def handle(turn: Turn, event: dict[str, Any]) -> None:
        running.set()
        assert go_on.wait(20)

    room = SocketStage(monkeypatch, limits=Limits(queue_timeout_s=0.05), handler=handle)
    socket = room.front.accept("a")
    slots = [room.front.say("a", socket, "[]") for _ in range(4)]
    assert running.wait(20)
    call = room.stage.client.send("a", "run", [])
    over_at = time.monotonic() + 0.1
    while time.monotonic() < over_at:
        room.stage.do(lambda: None)
    go_on.set()

    assert [room.front.wait(slot)[0] for slot in slots] == [200] * 4
    assert room.told() == ["message"] * 4
    assert room.stage.client.wait(call)[0] == 503


def test_an_event_whose_turn_has_read_what_was_lost_closes_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has done nothing, and nobody would tell its client."""
    running, go_on = threading.Event(), threading.Event()

    def handle(turn: Turn, event: dict[str, Any]) -> None:
        running.set()
        assert go_on.wait(20)
        run_steps(turn, [["send", {}, "never"]])

    room = SocketStage(monkeypatch, handler=handle)
    socket = room.front.accept("a")
    room.store.lose_next([b"a"])
    room.store.hold()
    written = room.stage.client.send("a", "run", [["put", "k", 1]])
    room.store.wait_held()
    slot = room.front.say("a", socket, "[]")
    assert running.wait(20)
    room.store.let_go()
    assert room.stage.client.wait(written)[0] != 200
    go_on.set()
    room.front.wait(slot)

    room.front.wait_told(lambda _: bool(room.front.closes()))
    assert room.front.closes() == [(1012, (serial_of(socket),))]
    assert room.front.texts(socket) == []
