"""Thousands of histories of sockets whose worker dies: what they show, and what each mechanism is for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from holdfast_host.front.sockets import recovery
from holdfast_host.front.sockets.rooms import Room
from holdfast_host.front.sockets.table import SocketTable
from holdfast_host.storage.store import StoredInstance
from holdfast_host.wire.pages.send_page import NO_GROUP, SendPage
from holdfast_host.wire.pages.state_page import ENDED, EventFate, fate_of_event
from holdfast_host.worker.sockets.events import MessageEvent
from holdfast_host.worker.sockets.front_links import FrontLink, Part
from holdfast_host.worker.sockets.outgoing import Outgoing
from tests.unit.front.sockets.deaths_model import histories
from tests.unit.front.sockets.handshakes_model import ComingAndGoing
from tests.unit.front.sockets.links_model import BreakingLink

Without = Callable[[pytest.MonkeyPatch], None]


def test_sockets_that_stay_open_through_deaths_have_missed_nothing_and_heard_nothing_twice() -> None:
    found, deaths, closes = asyncio.run(histories(range(300)))

    assert found == []
    assert deaths > 1_000
    assert closes > 100


def _without_a_send_page(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FrontLink, "note", lambda self, part: None)


def _blind_for_what_waits_for_no_group(patch: pytest.MonkeyPatch) -> None:
    note = FrontLink.note

    def blind(self: FrontLink, part: Part) -> None:
        if part.group != NO_GROUP:
            note(self, part)

    patch.setattr(FrontLink, "note", blind)


def _noted_when_they_leave(patch: pytest.MonkeyPatch) -> None:
    note, let_out = FrontLink.note, Outgoing.let_out

    def late(self: Outgoing, part: Part) -> None:
        if part.link is not None and not part.link.is_over:
            note(part.link, part)
        let_out(self, part)

    patch.setattr(FrontLink, "note", lambda self, part: None)
    patch.setattr(Outgoing, "let_out", late)


def _without_a_word_for_what_only_sent(patch: pytest.MonkeyPatch) -> None:
    note = MessageEvent.note

    def silent(self: MessageEvent, word: int) -> None:
        if word != ENDED:
            note(self, word)

    patch.setattr(MessageEvent, "note", silent)


def _with_the_unknown_taken_for_heard(patch: pytest.MonkeyPatch) -> None:
    def judge(word: int, reached: int) -> EventFate:
        found = fate_of_event(word, reached)
        return EventFate.OVER if found is EventFate.UNKNOWN else found

    patch.setattr(recovery, "fate_of_event", judge)


def _without_the_verdict_of_the_page(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "fate_of_event", lambda word, reached: EventFate.NOT_BEGUN)


def _with_what_was_under_way_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "fate_of_event", lambda word, reached: EventFate.OVER)


def _with_a_worker_in_between_overlooked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "is_next", lambda before, after, partition: True)


@pytest.mark.parametrize(
    "without",
    [
        _without_a_send_page,
        _blind_for_what_waits_for_no_group,
        _noted_when_they_leave,
        _without_a_word_for_what_only_sent,
        _with_the_unknown_taken_for_heard,
        _without_the_verdict_of_the_page,
        _with_what_was_under_way_forgotten,
        _with_a_worker_in_between_overlooked,
    ],
    ids=lambda each: each.__name__.strip("_"),
)
def test_each_mechanism_is_needed(
    without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    found, _, _ = asyncio.run(histories(range(1_000), until_wrong=True))

    assert found


def test_sockets_that_come_and_go_through_deaths_have_a_row_and_a_connection_or_neither() -> None:
    found, deaths, _ = asyncio.run(histories(range(100), of=ComingAndGoing))

    assert found == []
    assert deaths > 300


def _without_an_open_that_is_said_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FrontLink, "is_offered", lambda self, owner, serial: False)


def _with_an_open_said_again_whose_own_one_has_still_to_leave(patch: pytest.MonkeyPatch) -> None:
    def is_offered(self: FrontLink, owner: StoredInstance, serial: int) -> bool:
        return self.standing is not None and self.is_first and serial in self.standing.offers

    patch.setattr(FrontLink, "is_offered", is_offered)


def _without_the_close_of_what_is_no_socket(patch: pytest.MonkeyPatch) -> None:
    def refuse(self: SocketTable, room: Room, serial: int) -> None:
        self._leave(room)

    patch.setattr(SocketTable, "_refuse", refuse)


@pytest.mark.slow
@pytest.mark.parametrize(
    "without",
    [
        _without_an_open_that_is_said_again,
        _with_an_open_said_again_whose_own_one_has_still_to_leave,
        _without_the_close_of_what_is_no_socket,
        _without_a_send_page,
    ],
    ids=lambda each: each.__name__.strip("_"),
)
def test_each_mechanism_of_handshakes_is_needed(
    without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    found, _, _ = asyncio.run(histories(range(1_000), until_wrong=True, of=ComingAndGoing))

    assert found


def test_a_link_that_breaks_between_living_ends_leaves_no_socket_open_that_has_missed_something() -> None:
    found, _, closes = asyncio.run(histories(range(300), of=BreakingLink))

    assert found == []
    assert closes > 1_000


def _with_a_break_taken_for_a_death(patch: pytest.MonkeyPatch) -> None:
    """What the front reads is what a worker has left that may still write there."""
    patch.setattr(recovery, "is_same_worker", lambda before, after: False)


def _without_a_mark_for_what_the_worker_sends_to_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SendPage, "lose_everything", lambda self: None)


@pytest.mark.parametrize(
    "without",
    [_with_a_break_taken_for_a_death, _without_a_mark_for_what_the_worker_sends_to_nobody],
    ids=lambda each: each.__name__.strip("_"),
)
def test_each_mechanism_of_links_that_break_is_needed(
    without: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    found, _, _ = asyncio.run(histories(range(1_000), until_wrong=True, of=BreakingLink))

    assert found
