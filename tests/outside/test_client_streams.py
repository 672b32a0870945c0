"""Streams and sockets of `holdfast.client`, against a real host."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from itertools import islice

import pytest

from holdfast import ActorCallError
from holdfast.client import AsyncClient, Client, Event
from tests.harness import components
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

TOKEN = "token-of-twenty-characters"


@pytest.fixture(scope="module")
def chat_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with a room whose news can be followed, and a token; tests end its fronts."""
    data = tmp_path_factory.mktemp("chat") / "data"
    with HostProcess(data) as host:
        deploy(host, components.built(components.GUESTS / "chat"))
    with HostProcess(data, environment={"HOLDFAST_TOKEN": TOKEN}) as host:
        yield host


@pytest.mark.slow
def test_who_follows_events_misses_nothing_and_hears_nothing_twice_whatever_breaks(chat_host: HostProcess) -> None:
    with Client(chat_host.url, TOKEN, retries=8) as client:
        room = client.actor("Room", "follow")
        events = client.events("Room", "follow", "/news", last_event_id="0")
        heard: list[Event] = []
        for text in ("one", "two", "three"):
            room.publish(text)
            heard.append(next(events))
            chat_host.kill("front")
        again = client.events("Room", "follow", "/news", last_event_id=heard[0].id)
        assert [each.data for each in islice(again, 2)] == ["two", "three"]

    assert [each.data for each in heard] == ["one", "two", "three"]


def test_a_loop_follows_events_too(chat_host: HostProcess) -> None:
    async def follow() -> list[str]:
        found: list[str] = []
        async with AsyncClient(chat_host.url, TOKEN, retries=8) as client:
            for text in ("one", "two"):
                await client.actor("Room", "loop").publish(text)
            async for event in client.events("Room", "loop", last_event_id="0"):
                found.append(event.data)
                if len(found) == 2:
                    break
        return found

    assert asyncio.run(follow()) == ["one", "two"]


def test_a_stream_that_is_refused_says_why(chat_host: HostProcess) -> None:
    with Client(chat_host.url, TOKEN) as client, pytest.raises(ActorCallError, match="UnknownActorTypeError"):
        next(client.events("Absent", "x"))


def test_sockets_are_opened_under_the_token(chat_host: HostProcess) -> None:
    async def talk() -> str | bytes:
        async with AsyncClient(chat_host.url, TOKEN) as client, client.socket("Room", "talk", "/?user=bob") as socket:
            return await socket.recv()

    with Client(chat_host.url, TOKEN) as client, client.socket("Room", "talk", "/?user=ann") as socket:
        assert socket.recv(30) == "welcome ann"
        socket.send("hi")
        assert socket.recv(30) == "1 ann: hi"
        assert asyncio.run(talk()) == "welcome bob"


def test_a_client_without_the_package_for_sockets_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with Client("http://127.0.0.1:9") as client, pytest.raises(ModuleNotFoundError, match=r"holdfast\[sockets\]"):
        client.socket("Room", "x")
