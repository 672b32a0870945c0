"""Sockets as clients see them: real ones, before a real host."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.harness import components
from tests.harness.deploying import deploy, next_version
from tests.harness.host import HostProcess

CHAT = components.GUESTS / "chat"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def chat_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with two workers and the chat; for tests that end no process."""
    with HostProcess(tmp_path_factory.mktemp("chat") / "data", "--workers", "2") as host:
        deploy(host, components.built(CHAT))
        yield host


class Chat:
    """A host, and the clients that a test opens on it."""

    def __init__(self, host: HostProcess) -> None:
        self.host = host
        self._clients = ExitStack()

    def open(self, room: str, user: str, *, direct: bool = False, more: str = "", **options: Any) -> ClientConnection:
        """A client that has had its welcome."""
        base = self.host.url.replace("http:", "ws:")
        path = f"/v1/actors/Room/{room}/ws?user={user}" if direct else f"/fn/chat/ws?room={room}&user={user}"
        client: ClientConnection = self._clients.enter_context(connect(base + path + more, **options))
        assert client.recv(PATIENCE_S) == f"welcome {user}"
        return client

    def ask(self, room: str, method: str, *arguments: Any) -> Any:
        """What a call returns, once there is a worker for it."""
        with self.host.caller() as caller:
            answer = self.until(lambda: (said := caller.call("Room", room, method, *arguments)).status != 503 and said)
        assert answer.status == 200, answer
        return answer.value

    def until(self, said: Callable[[], Any]) -> Any:
        """What it says once it is true."""
        ends_at = time.monotonic() + PATIENCE_S
        while not (found := said()):
            assert time.monotonic() < ends_at, found
            time.sleep(0.02)
        return found

    def closed(self, room: str, count: int) -> list[Any]:
        """What the instance was told of its closed sockets, once there are so many."""
        found: list[Any] = self.until(lambda: (told := self.ask(room, "closed")) and len(told) >= count and told)
        return found

    def end(self) -> None:
        self._clients.close()


@pytest.fixture
def chat(chat_host: HostProcess) -> Iterator[Chat]:
    made = Chat(chat_host)
    yield made
    made.end()


def code_of(client: ClientConnection) -> int:
    """What the client was closed with."""
    try:
        while True:
            client.recv(PATIENCE_S)
    except ConnectionClosed as error:
        return 1006 if error.rcvd is None else error.rcvd.code


@pytest.mark.slow
@pytest.mark.parametrize("direct", [False, True])
def test_a_message_is_a_turn_and_what_it_broadcasts_reaches_all(chat: Chat, direct: bool) -> None:
    room = f"all-{direct}"
    ann, bob = chat.open(room, "ann", direct=direct), chat.open(room, "bob", direct=direct)
    ann.send("hi")

    assert [each.recv(PATIENCE_S) for each in (ann, bob)] == ["1 ann: hi"] * 2
    bob.send(b"\x01\x02")
    assert bob.recv(PATIENCE_S) == b"\x02\x01"
    assert chat.ask(room, "said") == 1


def test_a_handler_that_raises_sends_nothing_and_its_socket_stays(chat: Chat) -> None:
    ann = chat.open("raises", "ann")
    ann.send("raise")
    ann.send("still here")

    assert ann.recv(PATIENCE_S) == "1 ann: still here"


def test_a_fetch_that_raises_after_it_accepted_opens_nothing(chat: Chat) -> None:
    with pytest.raises(InvalidStatus) as refused:
        chat.open("fails", "ann", more="&fail=yes")

    assert refused.value.response.status_code == 500
    assert chat.ask("fails", "count") == 0
    assert chat.ask("fails", "closed") == []


def test_each_close_is_told_once_with_who_closed_and_how(chat: Chat) -> None:
    ann, bob, eve = (chat.open("closes", user) for user in ("ann", "bob", "eve"))
    ann.close(4001, "bye")
    chat.closed("closes", 1)
    bob.send("close")
    assert code_of(bob) == 4000
    chat.closed("closes", 2)
    eve.socket.shutdown(2)
    told = chat.closed("closes", 3)

    assert told == [["ann", 4001, "bye", True], ["bob", 4000, "as you wish", True], ["eve", 1006, "", False]]
    assert chat.ask("closes", "count") == 0


def test_an_evicted_instance_keeps_its_sockets_and_wakes_for_a_message(chat: Chat) -> None:
    ann = chat.open("sleeps", "ann")
    with chat.host.caller() as caller:
        assert caller.request("POST", "/v1/instances/Room/sleeps/evict").value == {"evicted": True}
        ann.send("good morning")
        assert ann.recv(PATIENCE_S) == "1 ann: good morning"


def test_a_text_that_the_host_answers_wakes_no_instance(chat: Chat) -> None:
    ann = chat.open("pings", "ann")
    chat.ask("pings", "answer_pings", "pong")
    with chat.host.caller() as caller:
        caller.request("POST", "/v1/instances/Room/pings/evict")
        ann.send("ping")
        assert ann.recv(PATIENCE_S) == "pong"
        assert caller.request("GET", "/v1/instances/Room/pings").value["active"] is False


def test_sockets_are_listed_and_one_is_closed_from_outside(chat: Chat) -> None:
    ann, bob = chat.open("listed", "ann"), chat.open("listed", "bob")
    with chat.host.caller() as caller:
        listed = caller.request("GET", "/v1/instances/Room/listed/sockets").value
        page = caller.request("GET", "/v1/instances/Room/listed/sockets?limit=1").value
        rest = caller.request("GET", f"/v1/instances/Room/listed/sockets?limit=1&cursor={page['cursor']}").value
        first = listed["sockets"][0]
        path = f"/v1/instances/Room/listed/sockets/{first['id']}"
        answers = [caller.request("DELETE", f"{path}?code=4010&reason=out") for _ in range(2)]

    assert [(each["tags"], each["attachment"], each["kind"]) for each in listed["sockets"]] == [
        (["user:ann"], {"user": "ann"}, "websocket"),
        (["user:bob"], {"user": "bob"}, "websocket"),
    ]
    assert page["sockets"] + rest["sockets"] == listed["sockets"]
    assert [(each.status, each.value.get("error", {}).get("name")) for each in answers] == [
        (200, None),
        (404, "UnknownSocketError"),
    ]
    assert code_of(ann) == 4010
    bob.send("alone")
    assert bob.recv(PATIENCE_S) == "1 bob: alone"
    assert chat.closed("listed", 1) == [["ann", 4010, "out", True]]


@pytest.mark.slow
def test_the_death_of_a_worker_closes_no_socket_and_each_close_is_told_once(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host:
        deploy(host, components.built(CHAT))
        chat = Chat(host)
        chat.ask("dies", "answer_pings", "pong")
        clients = [chat.open("dies", f"u{number}") for number in range(5)]
        for number in range(1, 4):
            clients[0].send("hi")
            assert {each.recv(PATIENCE_S) for each in clients} == {f"{number} u0: hi"}
            host.kill("worker")

        clients[1].send("ping")
        assert clients[1].recv(PATIENCE_S) == "pong"
        assert chat.ask("dies", "count") == 5
        assert chat.ask("dies", "closed") == []
        clients[2].close(4001, "bye")
        assert chat.closed("dies", 1) == [["u2", 4001, "bye", True]]
        clients[0].send("still here")
        assert {each.recv(PATIENCE_S) for each in clients[:2]} == {"4 u0: still here"}
        chat.end()


@pytest.mark.slow
def test_the_death_of_a_front_is_a_close_for_each_of_its_sockets(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host:
        deploy(host, components.built(CHAT))
        chat = Chat(host)
        clients = [chat.open("front", f"u{number}") for number in range(5)]
        host.kill("front")

        assert {code_of(each) for each in clients} == {1006}
        told = chat.closed("front", 5)
        assert sorted(each[:2] for each in told) == [[f"u{number}", 1006] for number in range(5)]
        chat.open("front", "again")
        chat.end()


@pytest.mark.slow
def test_a_host_that_stops_says_so_and_what_was_open_is_closed_at_the_next_start(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host:
        deploy(host, components.built(CHAT))
        chat = Chat(host)
        ann = chat.open("stops", "ann")
        host.stop()
        assert code_of(ann) == 1012
        host.start()

        assert chat.closed("stops", 1) == [["ann", 1006, "", False]]


@pytest.mark.slow
def test_a_deploy_closes_no_socket(tmp_path: Path) -> None:
    with HostProcess(tmp_path / "data") as host:
        chat_component = components.built(CHAT)
        deploy(host, chat_component)
        chat = Chat(host)
        ann = chat.open("deploys", "ann")
        deploy(host, next_version(chat_component, tmp_path))
        ann.send("hi")

        assert ann.recv(PATIENCE_S) == "1 ann: hi"
        chat.end()


def _read(stream: httpx.Response, count: int) -> list[dict[str, str]]:
    """The next events of an event stream."""
    events: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in stream.iter_lines():
        if line:
            name, _, value = line.partition(":")
            if name in {"id", "event", "data"}:
                current[name] = value.removeprefix(" ")
        elif "data" in current:
            events.append(current)
            current = {}
            if len(events) == count:
                break
    return events


def _follow(chat: Chat, room: str, after: str = "") -> AbstractContextManager[httpx.Response]:
    """Follow its topic behind the event of that id."""
    headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
    return httpx.stream("GET", f"{chat.host.url}/fn/chat/events?room={room}", headers=headers, timeout=PATIENCE_S)


def test_an_event_stream_follows_a_topic_and_takes_it_up_again(chat: Chat) -> None:
    with _follow(chat, "news") as stream:
        chat.ask("news", "publish", "one")
        chat.ask("news", "publish", "two")
        first = _read(stream, 2)
    chat.ask("news", "publish", "three")
    with _follow(chat, "news", first[0]["id"]) as stream:
        again = _read(stream, 2)

    assert [each["data"] for each in first + again] == ["one", "two", "two", "three"]


def test_who_leaves_a_topic_and_comes_again_at_random_gets_each_event_once_and_in_order(chat: Chat) -> None:
    count, chance = 150, random.Random(3)
    chat.ask("changing", "publish", "0")
    with _follow(chat, "changing") as stream:
        chat.ask("changing", "publish", "1")
        [event] = _read(stream, 1)
    with ThreadPoolExecutor(1) as publisher:
        publishing = publisher.submit(
            lambda: [chat.ask("changing", "publish", str(number)) for number in range(2, count)]
        )
        after, seen = event["id"], [event["data"]]
        while len(seen) < count - 1:
            with _follow(chat, "changing", after) as stream:
                events = _read(stream, min(chance.randrange(1, 20), count - 1 - len(seen)))
            after = events[-1]["id"]
            seen += [f"{each.get('event', '')}{each['data']}" for each in events]
        publishing.result()

    assert seen == [str(number) for number in range(1, count)]


def test_three_mebibytes_that_somebody_missed_arrive(chat: Chat) -> None:
    """It is more than may wait for a client that takes nothing."""
    with _follow(chat, "long") as stream:
        chat.ask("long", "publish", "first")
        [first] = _read(stream, 1)
    for number in range(48):
        chat.ask("long", "publish", f"{number} {'x' * (64 << 10)}")
    with _follow(chat, "long", first["id"]) as stream:
        missed = _read(stream, 48)

    assert [int(each["data"].split()[0]) for each in missed] == list(range(48))
    assert sum(len(each["data"]) for each in missed) > 3 << 20


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="`make apt` installs chromium")
@pytest.mark.parametrize("under_prefix", [False, True])
def test_a_browser_opens_both_from_a_functions_page_and_nothing_from_one_without_an_origin(
    chat: Chat, under_prefix: bool, tmp_path: Path
) -> None:
    port = chat.host.url.rpartition(":")[2]
    page = f"{chat.host.url}/fn/chat/" if under_prefix else f"http://chat.localhost:{port}/"
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path}",
    )
    with subprocess.Popen(
        ["chromium", *options, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            seen = json.loads(chat.until(lambda: chat.ask("report from /done", "reported")))
        finally:
            browser.kill()
    chat.ask("report from /done", "report", None)

    if under_prefix:
        assert seen == ["closed 1006  false"]
    else:
        assert seen == [
            "welcome page",
            "1 page: héllo",
            "event 1 from the page",
            "closed 4000 as you wish true",
        ]
