"""Who is next: the queue of instances that have mail and no running turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import StoredInstance
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.mailboxes import Mailboxes
from holdfast_host.worker.turns.turn import Turn

NOBODY: Any = None  # neither directory nor deployments are asked


class Post:
    """A mailroom whose instances take whatever comes."""

    def __init__(self) -> None:
        self.mailboxes = Mailboxes(NOBODY, NOBODY, Limits(), answer=lambda turn, error: None, running=())
        self._numbers = 0

    def entry(self, name: str) -> Entry:
        self._numbers += 1
        return Entry(1, name, StoredInstance(0, 1, name.encode(), self._numbers))

    def turn(self, entry: Entry) -> Turn:
        return cast(
            "Turn", SimpleNamespace(entry=entry, delivery=None, is_call=True, label=f"{entry.label}.{len(entry.mail)}")
        )

    def arrive(self, entry: Entry) -> Turn:
        turn, is_first = self.turn(entry), not entry.mail
        self.mailboxes.wait_in(entry, turn)
        if is_first:
            self.mailboxes.requeue(entry)
        return turn


def test_instances_have_their_turns_in_the_order_of_their_mail() -> None:
    post = Post()
    a, b = post.entry("a"), post.entry("b")
    first, second = post.arrive(a), post.arrive(b)

    assert (post.mailboxes.anything_ready(), post.mailboxes.waiting_turns) == (True, 2)
    assert [post.mailboxes.next_turn(), post.mailboxes.next_turn(), post.mailboxes.next_turn()] == [first, second, None]
    assert (post.mailboxes.anything_ready(), post.mailboxes.waiting_turns) == (False, 0)


def test_an_instance_with_a_running_turn_or_without_mail_is_passed_over() -> None:
    post = Post()
    busy, empty, waiting = (post.entry(name) for name in ("busy", "empty", "waiting"))
    post.arrive(busy)
    post.arrive(empty)
    expected = post.arrive(waiting)
    busy.turn = post.turn(busy)
    empty.mail.clear()

    assert post.mailboxes.next_turn() is expected
    assert post.mailboxes.next_turn() is None


def test_what_waits_behind_a_running_turn_is_queued_when_that_one_is_over() -> None:
    post = Post()
    entry = post.entry("a")
    entry.turn = post.turn(entry)
    behind = post.arrive(entry)

    assert post.mailboxes.next_turn() is None
    entry.turn = None
    post.mailboxes.requeue(entry)
    assert post.mailboxes.next_turn() is behind


def test_a_turn_that_is_put_back_is_its_instances_next_one() -> None:
    post = Post()
    a, b = post.entry("a"), post.entry("b")
    first, second, others = post.arrive(a), post.arrive(a), post.arrive(b)
    a.turn = post.mailboxes.next_turn()

    assert a.turn is first
    post.mailboxes.put_back(first)
    assert a.turn is None
    assert [post.mailboxes.next_turn(), post.mailboxes.next_turn()] == [others, first]
    post.mailboxes.requeue(a)
    assert post.mailboxes.next_turn() is second


def test_a_turn_of_a_lobby_gets_its_place_when_its_time_comes_and_waits_where_there_is_none() -> None:
    post = Post()
    lobby, member = post.entry("lobby"), post.entry("member")
    places: list[Entry | None] = [member, None, member]
    lobby.find_place = lambda: places.pop(0)
    first, second = post.turn(lobby), post.turn(lobby)
    for turn in (first, second):
        post.mailboxes.wait_in(lobby, turn)
        post.mailboxes.requeue(lobby)

    assert (post.mailboxes.next_turn(), first.entry, second.entry) == (first, member, lobby)
    assert (post.mailboxes.next_turn(), [*lobby.mail], places) == (None, [second], [member])
    post.mailboxes.requeue(lobby)
    assert (post.mailboxes.next_turn(), second.entry, post.mailboxes.waiting_turns) == (second, member, 0)
