"""Who is next: of events to a worker, of messages to a crowd, and who goes where clients hold too much."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from holdfast_host.core.limits import MIB, Limits
from holdfast_host.front.sockets import deliveries, event_flow
from holdfast_host.front.sockets.client import ClientSocket
from holdfast_host.front.sockets.deliveries import PIECE_SOCKETS, Closing, Deliveries, Delivery, Receiver, Sent
from holdfast_host.front.sockets.event_flow import EVENTS_MAX, FUNCTION_BYTES_MAX, SOCKET_EVENTS_MAX, EventFlow
from holdfast_host.front.sockets.rooms import Room
from holdfast_host.front.sockets.slow_clients import SlowClients
from holdfast_host.wire.calls.frames import EVENT_SLOT, Call, unpack_call
from holdfast_host.wire.pages.state_page import EVENT_SLOTS, StatePage
from holdfast_host.wire.sockets.frames import Send, SendKind

HEAD_BYTES = 5  # of a frame


class Talker:
    """A socket with so many messages, of so many bytes each."""

    def __init__(self, room: Room, messages: int, message_bytes: int = 1) -> None:
        self.room = room
        self.left = messages
        self._bytes = message_bytes
        self.under_way = 0
        self.is_waiting = self.is_stalled = False

    @property
    def has_more(self) -> bool:
        return self.left > 0

    def give_next(self) -> bool:
        if not self.left:
            return False
        self.left -= 1
        self.room.flow.give(cast("ClientSocket", self), self.room, b"socket_message", b"x" * self._bytes)
        return True


class Worker:
    """A flow, and what it has sent."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.flow = EventFlow()
        self.words = StatePage.create(EVENT_SLOTS).words
        self.resume()

    def resume(self) -> None:
        self.flow.resume(lambda frame: self.calls.append(unpack_call(frame[HEAD_BYTES:])), self.words)

    def room(self, name: str, function: str = "chat") -> Room:
        return Room(self.flow, 7, name.encode(), function, 0)

    def offer(self, *talkers: Talker) -> None:
        for each in talkers:
            self.flow.offer(cast("ClientSocket", each))

    def answer(self, count: int | None = None) -> None:
        answered = self.calls[:count]
        del self.calls[: len(answered)]
        for each in answered:
            self.flow.reply(each.slot)


def test_a_message_has_a_slot_of_the_page_also_where_what_comes_before_it_ends_other_clients() -> None:
    worker = Worker()
    ending = [Talker(worker.room(f"ending {number}"), 1) for number in range(3)]

    class Cutting(Talker):
        def give_next(self) -> bool:
            worker.offer(*ending)  # its pong was too much for the host: these are cut
            return super().give_next()

    worker.offer(*(Talker(worker.room(f"room {number}"), 1) for number in range(EVENTS_MAX - 1)))
    worker.offer(Cutting(worker.room("cutting"), 1))

    assert len(worker.calls) == EVENTS_MAX
    assert worker.calls[-1].name == b"cutting"
    assert max(each.slot for each in worker.calls) < EVENT_SLOT + EVENT_SLOTS
    worker.answer()
    assert [each.name for each in worker.calls] == [b"ending 0", b"ending 1", b"ending 2"]


def test_a_worker_has_so_many_events_under_way_and_then_instances_take_turns() -> None:
    worker = Worker()
    talkers = [Talker(worker.room(f"room {number}"), 10) for number in range(400)]
    worker.offer(*talkers)

    assert len(worker.calls) == EVENTS_MAX
    given = []
    while worker.calls:
        given += [each.name for each in worker.calls]
        worker.answer()
    assert len(given) == 4_000
    assert worker.flow.under_way == 0
    late = given[EVENTS_MAX : EVENTS_MAX + 100]
    assert len(set(late)) == 100  # one of each, before anybody's next


@pytest.mark.parametrize(("bounded", "flood"), [(True, SOCKET_EVENTS_MAX), (False, EVENTS_MAX)])
def test_a_client_that_floods_leaves_others_their_place_unless_it_had_no_window(
    monkeypatch: pytest.MonkeyPatch, bounded: bool, flood: int
) -> None:
    if not bounded:
        monkeypatch.setattr(event_flow, "SOCKET_EVENTS_MAX", 1 << 20)
        monkeypatch.setattr(event_flow, "INSTANCE_EVENTS_MAX", 1 << 20)
    worker = Worker()
    worker.offer(Talker(worker.room("flooded"), 3_000), Talker(worker.room("quiet"), 1))

    given = [each.name for each in worker.calls]
    assert given.count(b"flooded") == flood
    assert (b"quiet" in given) == bounded


def test_a_function_has_half_of_the_bytes_at_most_and_others_go_on() -> None:
    worker = Worker()
    greedy = [Talker(worker.room(f"greedy {number}", "greedy"), 8, MIB) for number in range(20)]
    modest = Talker(worker.room("modest", "modest"), 5)
    worker.offer(*greedy, modest)

    sent = [each.name for each in worker.calls]
    assert sum(name.startswith(b"greedy") for name in sent) == FUNCTION_BYTES_MAX // MIB
    assert sent.count(b"modest") == 5
    while worker.calls:
        worker.answer(1)
    assert all(each.left == 0 for each in greedy)
    assert not worker.flow._bytes_of


def test_a_flow_without_a_worker_takes_nothing_and_goes_on_in_order_with_the_next_one() -> None:
    worker = Worker()
    talker = Talker(worker.room("a"), 3)
    worker.offer(talker)
    before = [each.slot for each in worker.calls]
    worker.flow.pause()
    worker.calls.clear()
    late = Talker(worker.room("b"), 2)
    worker.offer(late)

    assert (worker.calls, late.left) == ([], 2)
    worker.resume()
    assert [each.slot for each in worker.calls[:3]] == before
    assert [each.name for each in worker.calls] == [b"a"] * 3 + [b"b"] * 2


class Listener(Receiver):
    """A socket that notes what it gets."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self._name = name

    def take(self, delivery: Delivery) -> None:
        self._log.append(f"{self._name} {delivery.frame[2:].decode()}")

    def close(self, closing: Closing) -> None:
        self._log.append(f"{self._name} closed {closing.code}")


def test_a_crowds_message_goes_out_in_pieces_between_which_others_have_theirs() -> None:
    async def body() -> None:
        log: list[str] = []
        count = PIECE_SOCKETS * 3
        listeners: dict[int, Receiver] = {number: Listener(log, "crowd") for number in range(count)}
        listeners[count] = Listener(log, "quiet")
        handing = Deliveries(listeners.get)
        flow = Worker().flow
        crowd, quiet = Room(flow, 7, b"crowd", "f", 0), Room(flow, 7, b"quiet", "f", 0)
        taken: list[str] = []

        def send(room: Room, serials: tuple[int, ...], text: bytes) -> None:
            sent = Sent(Send(SendKind.TEXT, serials, text), room, lambda: taken.append(text.decode()))
            handing.add(room, sent)

        send(crowd, tuple(range(count)), b"1")
        send(crowd, (0,), b"2")
        await asyncio.sleep(0)
        send(quiet, (count,), b"hi")
        handing.add(crowd, Closing((0,), crowd, 1000, ""))
        await handing.settled()

        assert log.index("quiet hi") == PIECE_SOCKETS
        assert log[-2:] == ["crowd 2", "crowd closed 1000"]
        assert taken == ["hi", "1", "2"]
        assert crowd.deliveries is None

    asyncio.run(body())


def test_without_pieces_others_would_have_theirs_behind_all_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mechanism: the crowd's second message is before what another room was sent meanwhile."""
    crowd_size = PIECE_SOCKETS * 3
    monkeypatch.setattr(deliveries, "PIECE_SOCKETS", crowd_size)

    async def body() -> None:
        log: list[str] = []
        listeners: dict[int, Receiver] = {number: Listener(log, "crowd") for number in range(crowd_size)}
        listeners[crowd_size] = Listener(log, "quiet")
        handing, flow = Deliveries(listeners.get), Worker().flow
        for name, serials in (("crowd", range(crowd_size)), ("quiet", (crowd_size,))):
            room = Room(flow, 7, name.encode(), "f", 0)
            handing.add(room, Sent(Send(SendKind.TEXT, tuple(serials), b"hi"), room, lambda: None))
        await handing.settled()

        assert log.index("quiet hi") == crowd_size

    asyncio.run(body())


def test_without_a_cut_what_slow_clients_do_not_take_would_grow_past_every_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the mechanism."""
    monkeypatch.setattr(SlowClients, "_cut", lambda self, socket, why: None)
    monkeypatch.setattr(SlowClients, "_shed", lambda self: None)

    class Slow:
        unsent_bytes = 0

    async def body() -> None:
        slow = SlowClients(Limits(front_untaken_bytes_max=250, socket_unsent_bytes_max=100))
        clients: list[Any] = [Slow() for _ in range(4)]
        for each in clients:
            slow.watch(each)
        for number in range(1, 101):
            for each in clients:
                each.unsent_bytes = number * 100
                slow.grew(each)
        slow._looking.cancel()  # type: ignore[union-attr]

        assert slow.unsent_bytes == 40_000

    asyncio.run(body())


@pytest.mark.limit("front_untaken_bytes_max")
def test_where_all_clients_together_take_too_little_those_go_that_have_waited_longest() -> None:
    async def body() -> None:
        cut: list[int] = []

        class Slow:
            def __init__(self, number: int) -> None:
                self.number = number
                self.unsent_bytes = 0

            def cut(self, code: int, reason: str) -> None:
                cut.append(self.number)

        slow = SlowClients(Limits(front_untaken_bytes_max=250, socket_unsent_bytes_max=1_000))
        clients: list[Any] = [Slow(number) for number in range(4)]
        for each in clients:
            slow.watch(each)
        for each in clients:
            each.unsent_bytes = 100
            slow.grew(each)
        slow.forget(clients[3])
        slow._looking.cancel()  # type: ignore[union-attr]

        assert cut == [0, 1]
        assert slow.unsent_bytes == 100

    asyncio.run(body())


@pytest.mark.limit("front_untaken_bytes_max")
def test_who_takes_some_goes_after_those_who_take_nothing_and_nobody_else_is_looked_at() -> None:
    async def body() -> None:
        cut: list[int] = []
        asked: list[int] = []

        class Slow:
            def __init__(self, number: int) -> None:
                self.number = number
                self.left = 100

            @property
            def unsent_bytes(self) -> int:
                asked.append(self.number)
                return self.left

            def __hash__(self) -> int:
                asked.append(self.number)
                return id(self)

            def cut(self, code: int, reason: str) -> None:
                cut.append(self.number)

        slow = SlowClients(Limits(front_untaken_bytes_max=10_000))
        clients: list[Any] = [Slow(number) for number in range(100)]
        for each in clients:
            slow.watch(each)
        clients[0].left = 90
        slow._look()
        clients[0].left = 100
        slow.grew(clients[0])
        asked.clear()
        clients[50].left = 101
        slow.grew(clients[50])
        slow._looking.cancel()  # type: ignore[union-attr]

        assert cut == [1]
        assert set(asked) == {1, 50}

    asyncio.run(body())
