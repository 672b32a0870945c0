"""A window of slots as plain data: each state, each way out of it, and random histories against what must hold."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, MailboxFullError
from holdfast_host.core.limits import SLOTS, Limits
from holdfast_host.wire.calls.frames import (
    PROTOCOL,
    Call,
    Kind,
    ProtocolError,
    pack_call,
    pack_json,
    split,
    unpack_call,
)
from holdfast_host.wire.calls.window import PendingCall, Reply, Window, read_hello
from holdfast_host.wire.pages.evidence import Opened
from holdfast_host.wire.pages.state_page import BEGUN, LEFT, StatePage

REACHED = 5


class Waiting:
    """Who waits for one call."""

    def __init__(self) -> None:
        self.outcomes: list[Reply | str] = []
        self.gone = False

    def done(self) -> bool:
        return self.gone or bool(self.outcomes)

    def set_result(self, reply: Reply) -> None:
        self.outcomes.append(reply)

    def set_exception(self, error: HoldfastError) -> None:
        self.outcomes.append(type(error).__name__)


class Worker:
    """The lives of the worker at the other end: the page that each writes to."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.life = 0
        self.page: StatePage

    def hello(self, *, same: bool = False, group: int = REACHED) -> list[bytes]:
        self.life += not same
        self.page = StatePage.create()
        return self.window.hello(Opened(100 + self.life, {0: self.life}, {0: group}), self.page)


@pytest.fixture
def window() -> Iterator[Window]:
    made = Window(3, Limits(client_body_bytes_max=1000))
    yield made
    made.close()


def enter(window: Window, frame: bytes = b"frame", body_bytes: int = 0) -> tuple[Waiting, PendingCall]:
    waiting = Waiting()
    return waiting, window.enter(window.take(body_bytes), waiting, frame, 0, body_bytes)


def test_a_call_is_sent_at_once_where_the_worker_is_there_and_else_waits_for_its_hello(window: Window) -> None:
    worker = Worker(window)
    _, early = enter(window, b"early")
    sent_early = early.sent
    again = worker.hello()
    _, late = enter(window, b"late")

    assert (sent_early, again, late.sent) == (False, [b"early"], True)


def test_a_reply_frees_slot_and_bytes_and_reaches_who_waits(window: Window) -> None:
    Worker(window).hello()
    waiting, pending = enter(window, body_bytes=1000)
    with pytest.raises(HoldfastError, match="1000 bytes of unanswered bodies, 1 more exceed the limit of 1000 bytes"):
        window.take(1)
    window.reply(pending.slot, 200, b"1")

    assert waiting.outcomes == [(200, b"1")]
    assert window.unanswered == 0
    assert window.take(1000) == pending.slot


def test_a_reply_for_a_slot_that_waits_for_none_breaks_the_protocol(window: Window) -> None:
    Worker(window).hello()

    for slot in (0, SLOTS - 1, SLOTS, 1 << 31):
        with pytest.raises(ProtocolError, match=f"slot {slot}, which waits for none"):
            window.reply(slot, 200, b"1")


def test_all_slots_taken_is_told_with_the_limit(window: Window) -> None:
    for _ in range(SLOTS):
        enter(window)

    with pytest.raises(HoldfastError, match=f"worker 3 has {SLOTS} unanswered calls, the limit is {SLOTS}"):
        window.take(0)


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        (0, None),
        (1, "HostUnavailableError"),
        (REACHED + 1, "HostUnavailableError"),
        (REACHED, "ActorOutputGateError"),
        (LEFT | 1, "ActorOutputGateError"),
    ],
)
def test_the_successors_hello_sends_again_only_what_has_not_begun(
    window: Window, word: int, outcome: str | None
) -> None:
    worker = Worker(window)
    worker.hello()
    waiting, pending = enter(window, b"deposit")
    worker.page.words[pending.slot] = word
    window.lost()
    again = worker.hello()

    assert again == ([b"deposit"] if outcome is None else [])
    assert waiting.outcomes == ([] if outcome is None else [outcome])
    assert window.unanswered == len(again)


def test_a_worker_that_lives_and_greets_again_gets_no_call_twice(window: Window) -> None:
    worker = Worker(window)
    worker.hello()
    waiting, _ = enter(window)
    window.lost()

    assert worker.hello(same=True) == []
    assert waiting.outcomes == ["ActorOutputGateError"]


@pytest.mark.parametrize("word", [1, REACHED, REACHED + 1, LEFT | 1, LEFT | REACHED])
@pytest.mark.parametrize("same", [False, True])
def test_a_call_with_a_key_goes_to_two_successors_whatever_its_word_says_and_to_no_third(
    window: Window, word: int, same: bool
) -> None:
    worker = Worker(window)
    worker.hello()
    waiting = Waiting()
    pending = window.enter(window.take(0), waiting, b"keyed", 0, 0, keyed=True)
    sent = []
    for _ in range(3):
        worker.page.words[pending.slot] = word
        window.lost()
        sent.append(worker.hello(same=same))

    assert sent == [[b"keyed"], [b"keyed"], []]
    assert len(waiting.outcomes) == 1


def test_a_question_which_leaves_no_evidence_goes_to_two_successors_and_to_no_third(window: Window) -> None:
    """What it is that kills the workers nobody knows: it may be the question."""
    worker = Worker(window)
    waiting = Waiting()
    window.enter(window.take(0), waiting, b"question", 0, 0, question=True)
    sent = []
    for _ in range(4):
        sent.append(worker.hello())
        window.lost()

    assert sent == [[b"question"], [b"question"], [b"question"], []]
    assert waiting.outcomes == ["HostUnavailableError"]


def test_a_call_with_a_key_is_answered_from_the_evidence_where_no_successor_comes(window: Window) -> None:
    worker = Worker(window)
    worker.hello()
    waiting = Waiting()
    pending = window.enter(window.take(0), waiting, b"keyed", 0, 0, keyed=True)
    worker.page.words[pending.slot] = LEFT | 1
    window.lost()
    window.give_up()

    assert waiting.outcomes == ["ActorOutputGateError"]


@pytest.mark.parametrize("first", [REACHED, LEFT | 1])
@pytest.mark.parametrize("later", [0, 1, REACHED + 1])
@pytest.mark.parametrize("successors", [1, 2])
def test_a_call_with_a_key_that_an_earlier_worker_may_have_committed_is_never_said_to_have_done_nothing(
    window: Window, first: int, later: int, successors: int
) -> None:
    worker = Worker(window)
    worker.hello()
    waiting = Waiting()
    pending = window.enter(window.take(0), waiting, b"keyed", 0, 0, keyed=True)
    worker.page.words[pending.slot] = first
    for _ in range(successors):
        window.lost()
        assert worker.hello() == [b"keyed"]
        worker.page.words[pending.slot] = later
    window.lost()
    window.give_up()

    assert waiting.outcomes == ["ActorOutputGateError"]


def test_what_waits_goes_again_in_its_order_but_not_for_those_who_left(window: Window) -> None:
    worker = Worker(window)
    worker.hello()
    calls = [enter(window, b"%d" % number) for number in range(5)]
    calls[1][0].gone = calls[3][0].gone = True
    window.lost()

    assert worker.hello() == [b"0", b"2", b"4"]
    assert window.unanswered == 3


def test_after_giving_up_calls_are_refused_until_the_next_hello(window: Window) -> None:
    worker = Worker(window)
    worker.hello()
    begun, pending = enter(window)
    worker.page.words[pending.slot] = LEFT | 1
    window.lost()
    waiting, _ = enter(window)
    window.give_up()

    assert (begun.outcomes, waiting.outcomes) == (["ActorOutputGateError"], ["HostUnavailableError"])
    with pytest.raises(HoldfastError, match="worker 3 is gone since over 10 s: the call has not begun"):
        window.take(0)
    assert worker.hello() == []
    assert enter(window)[1].sent


def test_only_the_call_that_has_the_slot_is_cancelled(window: Window) -> None:
    Worker(window).hello()
    first, answered = enter(window)
    window.reply(answered.slot, 200, b"1")
    second, running = enter(window)

    assert answered.slot == running.slot
    assert not window.can_cancel(answered.slot, first)
    assert window.can_cancel(running.slot, second)
    window.lost()
    assert not window.can_cancel(running.slot, second)


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [
        (Kind.HELLO, {"protocol": PROTOCOL + 1, "pid": 1, "partitions": {}}, f"speaks protocol {PROTOCOL + 1}"),
        (Kind.HELLO, {"pid": 1, "partitions": {}}, "speaks protocol None"),
        (Kind.HELLO, {"protocol": PROTOCOL}, "without what a worker opened"),
        (Kind.HELLO, {"protocol": PROTOCOL, "pid": 1, "partitions": []}, "without what a worker opened"),
        (Kind.HELLO, {"protocol": PROTOCOL, "pid": 1, "partitions": {"0": 7}}, "without what a worker opened"),
        (Kind.REPLY, {"protocol": PROTOCOL, "pid": 1, "partitions": {}}, "out of turn"),
    ],
)
def test_a_first_frame_that_is_no_hello_of_ours_breaks_the_protocol(
    kind: Kind, facts: dict[str, object], words: str
) -> None:
    with pytest.raises(ProtocolError, match=words):
        read_hello(kind, pack_json(Kind.HELLO, facts)[5:])


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_answer_each_call_once_and_send_none_twice_that_has_begun(seed: int) -> None:
    rng = random.Random(seed)
    window = Window(0, Limits(client_body_bytes_max=200))
    worker = Worker(window)
    calls: list[tuple[Waiting, PendingCall]] = []
    begun: set[bytes] = set()
    for step in range(400):
        move = rng.choice(("enter", "enter", "reply", "begin", "lost", "hello", "give up"))
        open_calls = [each for each in calls if not each[0].done()]
        if move == "enter":
            with contextlib.suppress(MailboxFullError, HostUnavailableError):
                calls.append(enter(window, b"%d" % step, rng.randrange(40)))
        elif move == "begin" and window.up and open_calls:
            pending = rng.choice(open_calls)[1]
            worker.page.words[pending.slot] = rng.choice((1, REACHED, REACHED + 1, LEFT | 1))
            begun.add(pending.frame)
        elif move == "reply" and window.up and open_calls:
            window.reply(rng.choice(open_calls)[1].slot, 200, b"")
        elif move == "lost":
            window.lost()
        elif move == "give up" and not window.up:
            window.give_up()
            assert window.unanswered == 0
        elif move == "hello" and not window.up:
            again = worker.hello()
            assert not begun.intersection(again)
            assert again == sorted(again, key=int)
        assert window.unanswered == len([each for each in calls if not each[0].done()])
        assert sum(each.body_bytes for waiting, each in calls if not waiting.done()) <= 200
    window.close()

    assert all(len(waiting.outcomes) == 1 for waiting, _ in calls)


def test_a_call_that_its_worker_does_not_own_is_taken_back_and_entered_at_another_one(window: Window) -> None:
    """With its own slot there, and whoever waits hears of nothing meanwhile."""
    Worker(window).hello()
    call = Call(0, 7, 0, 0, 0, b"alice", b"add", b"", b"[1]", b"key")
    waiting, slot = Waiting(), window.take(3)
    call.slot = slot
    window.enter(slot, waiting, pack_call(call), 9, 3, keyed=True)
    moved = window.take_back(slot)
    moved.moved_at = 4.5
    other = Window(4, Limits())
    Worker(other).hello()
    enter(other)
    again = other.enter_again(other.take(3), moved)
    [(kind, payload)], rest = split(again.frame)

    assert (window.unanswered, other.unanswered, waiting.outcomes) == (0, 2, [])
    assert (kind, rest) == (Kind.CALL, b"")
    assert unpack_call(payload) == replace(call, slot=again.slot)
    assert again.slot != slot
    assert (again.partition, again.sent, again.moved_at, again.repeats_left) == (9, True, 4.5, moved.repeats_left)
    other.reply(again.slot, 200, b"3")
    assert waiting.outcomes == [(200, b"3")]
    with pytest.raises(ProtocolError):
        window.take_back(slot)
    other.close()


def test_what_a_dead_worker_has_not_begun_is_taken_back_where_its_partition_is_another_one_s(window: Window) -> None:
    """Not what it has begun, nor a question, nor what its successor will have."""
    worker = Worker(window)
    worker.hello()
    calls = [
        (Waiting(), partition, is_question)
        for partition, is_question in ((1, False), (1, False), (2, False), (1, True))
    ]
    pending = [window.enter(window.take(0), who, b"frame", at, 0, False, asks) for who, at, asks in calls]
    assert window.take_back_unbegun(lambda partition: True) == [], "it lives"
    worker.page.words[pending[1].slot] = BEGUN
    window.lost()
    late = window.enter(window.take(0), Waiting(), b"late", 1, 0)

    assert window.take_back_unbegun(lambda partition: partition == 1) == [pending[0], late]
    assert window.unanswered == 3
