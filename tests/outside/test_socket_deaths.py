"""Sockets through random deaths of their worker, before a real host: who stays open has missed nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.harness import components, processes
from tests.harness.deploying import deploy, next_version
from tests.harness.host import HostProcess
from tests.harness.idle_crowd import IdleCrowd
from tests.harness.mutants.host import command
from tests.harness.repeats import repeats
from tests.outside.test_sockets import CHAT, PATIENCE_S, Chat

ROOMS = ("red", "blue")
TALKERS = 4  # of each room
QUIET = 3  # who only are there
AHEAD_MAX = 20  # messages that a client has not heard yet
IDLE_BYTES = 16  # of the worker for a socket: no table
NOISE_BYTES = 512 << 10  # by which two workers that do the same differ

Harm = Callable[[HostProcess], object]

pytestmark = pytest.mark.slow


@dataclass
class Talker:
    """A client that says numbers in turn, some of which are only passed on, and notes what it hears."""

    room: str
    user: str
    client: ClientConnection
    heard: list[str] = field(default_factory=list)
    said: int = 0
    code: int | None = None

    async def listen(self) -> None:
        try:
            async for message in self.client:
                self.heard.append(str(message))
        except ConnectionClosed as error:
            self.code = 1006 if error.rcvd is None else error.rcvd.code
        else:
            self.code = self.client.close_code

    @property
    def own(self) -> list[int]:
        """The numbers of its own that came back, in order."""
        mark = f"{self.user}: "
        return [int(each.split(mark)[1].split()[-1]) for each in self.heard if mark in each]

    async def talk(self) -> None:
        while self.code is None and self.said - len(self.own) < AHEAD_MAX:
            text = f"pass on {self.said}" if self.said % 3 == 0 else str(self.said)
            self.said += 1
            try:
                await self.client.send(text)
            except ConnectionClosed:
                return


async def _open(host: HostProcess, room: str, user: str) -> Talker:
    url = f"{host.url.replace('http:', 'ws:')}/fn/chat/ws?room={room}&user={user}"
    talker = Talker(room, user, await connect(url, ping_interval=None))
    assert await asyncio.wait_for(talker.client.recv(), PATIENCE_S) == f"welcome {user}"
    return talker


class Crowd:
    """Those who talk, each in the place of one who was told to come again, and those who only are there."""

    def __init__(self, host: HostProcess) -> None:
        self.host = host
        self.all: list[Talker] = []
        self._listening: list[asyncio.Task[None]] = []

    async def join(self, room: str) -> None:
        talker = await _open(self.host, room, f"{room}{len(self.all)}")
        self.all.append(talker)
        self._listening.append(asyncio.create_task(talker.listen()))

    @property
    def talking(self) -> list[Talker]:
        return [each for each in self.all if each.code is None and each.room != "quiet"]

    async def talk(self, for_s: float) -> None:
        """At least so long, and until somebody was heard."""
        loop = asyncio.get_running_loop()
        ends_at, before = loop.time() + for_s, self.heard
        while loop.time() < ends_at or self.heard <= before:
            for room in ROOMS:
                if sum(each.room == room for each in self.talking) < TALKERS:
                    await self.join(room)
            for each in self.talking:
                await each.talk()
            await asyncio.sleep(0.005)

    @property
    def heard(self) -> int:
        return sum(len(each.own) for each in self.all)

    async def leave(self) -> None:
        """Once all that they have said has come back."""
        async with asyncio.timeout(PATIENCE_S):
            while any(len(each.own) < each.said for each in self.talking):  # noqa: ASYNC110 # they hear
                await asyncio.sleep(0.02)
        for each in self.all:
            await each.client.close()
        await asyncio.gather(*self._listening)


async def _through(host: HostProcess, harms: Iterable[Harm]) -> list[Talker]:
    crowd, chance = Crowd(host), random.Random(7)
    for _ in range(QUIET):
        await crowd.join("quiet")
    for harm in harms:
        await crowd.talk(chance.uniform(0.05, 0.2))
        await asyncio.to_thread(harm, host)
    await crowd.talk(0.2)
    await crowd.leave()
    return crowd.all


def _kill(host: HostProcess) -> None:
    host.kill("worker")


def _evict(host: HostProcess) -> None:
    with host.caller() as caller:
        for room in ROOMS:
            caller.request("POST", f"/v1/instances/Room/{room}/evict")


def _assert_nothing_is_missing(host: HostProcess, talkers: list[Talker]) -> None:
    """Neither of numbers, as long as one was there, nor of what those said who stayed; each has come and gone once."""
    assert all(each.code in {1000, 1012} for each in talkers), Counter(each.code for each in talkers)
    for each in talkers:
        numbers = [int(text.split()[0]) for text in each.heard if text[0].isdigit()]
        assert not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert each.own == list(range(each.said if each.code == 1000 else len(each.own)))
        others = Counter(text for text in each.heard if text.startswith("passed on"))
        assert not [text for text, count in others.items() if count > 1]
    chat = Chat(host)
    for room in (*ROOMS, "quiet"):
        there = [each for each in talkers if each.room == room]
        told = chat.closed(room, len(there))
        assert sorted(user for user, *_ in told) == sorted(each.user for each in there)
        assert (chat.ask(room, "opened"), chat.ask(room, "count")) == (len(there), 0)
    chat.end()


@pytest.mark.repeats
def test_who_stays_open_through_kills_deploys_and_evictions_has_heard_every_number_once_and_was_heard_each_time(
    tmp_path: Path,
) -> None:
    component = components.built(CHAT)
    versions = itertools.cycle((next_version(component, tmp_path), component))
    rounds = itertools.repeat((_kill, _evict, lambda host: deploy(host, next(versions))), repeats(4, 20))
    with HostProcess(tmp_path / "data") as host:
        deploy(host, component)
        talkers = asyncio.run(_through(host, itertools.chain(*rounds)))
        stayed = [each for each in talkers if each.code == 1000]

        assert [each.user for each in stayed if each.room == "quiet"] == [f"quiet{number}" for number in range(QUIET)]
        assert sum(each.said for each in stayed) >= TALKERS
        _assert_nothing_is_missing(host, talkers)


@pytest.mark.repeats
def test_links_that_break_between_living_ends_end_their_sockets_at_both_and_nobody_misses_a_number(
    tmp_path: Path,
) -> None:
    order = tmp_path / "cut"

    def cut(host: HostProcess) -> None:
        order.touch()
        _wait_for(lambda: not order.exists(), 1)

    with HostProcess(tmp_path / "data", command=command(f"cut_links={order}")) as host:
        deploy(host, components.built(CHAT))
        before = host.pids()
        talkers = asyncio.run(_through(host, [cut] * repeats(6, 60)))

        assert host.pids() == before
        assert {each.code for each in talkers if each.room == "quiet"} == {1012}
        _assert_nothing_is_missing(host, talkers)


@pytest.mark.repeats
def test_opens_and_closes_are_equal_through_deaths_of_workers_fronts_and_all(tmp_path: Path) -> None:
    chance, users = random.Random(11), itertools.count()
    with HostProcess(tmp_path / "data") as host:
        deploy(host, components.built(CHAT))
        chat = Chat(host)
        for victim in ("worker", "front", "all") * repeats(1, 10):
            for _ in range(3):
                with suppress(ConnectionError, InvalidHandshake, ConnectionClosed):  # it may come while nobody is there
                    client = chat.open("mixed", f"u{next(users)}", open_timeout=PATIENCE_S)
                    client.send("hi")
                    if chance.random() < 0.3:
                        client.close()
            if victim == "all":
                host.kill_all()
                host.start()
            else:
                host.kill(victim)
        chat.end()
        opened = chat.ask("mixed", "opened")
        told = chat.closed("mixed", opened)

        assert opened >= 3
        assert len(told) == opened
        assert [user for user, count in Counter(user for user, *_ in told).items() if count > 1] == []
        assert chat.ask("mixed", "count") == 0


@pytest.mark.repeats
def test_an_idle_crowd_stays_through_death_after_death_of_its_worker_which_keeps_nothing_of_it(tmp_path: Path) -> None:
    each_has, count = 100, repeats(1_000, 20_000)
    rooms = [f"idle{number}" for number in range(count // each_has)]
    with HostProcess(tmp_path / "data", "--fronts", "3") as host, ExitStack() as clients:
        deploy(host, components.built(CHAT))
        chat = Chat(host)
        _replace_worker(chat)
        without = _worker_bytes(chat)
        crowds = [clients.enter_context(IdleCrowd(host.url, rooms[first::3], each_has)) for first in range(3)]
        _wait_for(lambda: sum(each.seen().open for each in crowds), count)
        for _ in range(repeats(3, 10)):
            _replace_worker(chat)
            assert {chat.ask(room, "count") for room in rooms[::10]} == {each_has}
        _replace_worker(chat)
        chat.until(lambda: _worker_bytes(chat) - without < NOISE_BYTES + IDLE_BYTES * count)

        for each in crowds:
            each.say("hi")
        _wait_for(lambda: sum(each.seen().texts.total() for each in crowds), count)
        assert sum((each.seen().texts for each in crowds), Counter()) == {"1 u: hi": count}
        assert [each.seen().closed for each in crowds] == [0, 0, 0]
        assert [room for room in rooms[::10] if chat.ask(room, "closed")] == []


def _replace_worker(chat: Chat) -> None:
    """Its successor has run a turn, of an instance that it has dropped again."""
    chat.host.kill("worker")
    chat.ask("quiet", "count")
    with chat.host.caller() as caller:
        assert caller.request("POST", "/v1/instances/Room/quiet/evict").value == {"evicted": True}


def _worker_bytes(chat: Chat) -> int:
    return processes.anonymous_bytes(chat.host.pids()["worker"][0])


def _wait_for(seen: Callable[[], int], count: int) -> None:
    """Return when there are so many; there are some more every now and then."""
    last, ends_at = 0, time.monotonic() + PATIENCE_S
    while last < count:
        if (now := seen()) > last:
            last, ends_at = now, time.monotonic() + PATIENCE_S
        assert time.monotonic() < ends_at, f"{last} of {count}"
        time.sleep(0.05)
