"""Sockets: messages as turns, what is sent behind their commit, closes heard once, topics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.contract.guest.drivers import Driver, SocketEnd, Subject

NewSubject = Callable[..., Subject]
Connect = Callable[..., SocketEnd]
HEARD_S = 10.0


@pytest.fixture
def meeting(subject: NewSubject) -> Subject:
    """An instance with sockets."""
    return subject("Meeting")


@pytest.fixture
def connect(driver: Driver, meeting: Subject) -> Iterator[Connect]:
    """Opens clients to it, each with its name; `connect("ann")`."""
    with ExitStack() as clients:

        def open_client(user: str, path: str = "/ws", *, by_function: bool = False) -> SocketEnd:
            mark = "&" if "?" in path else "?"
            client = driver.socket(meeting.type, meeting.name, f"{path}{mark}user={user}", by_function=by_function)
            clients.callback(client.end)
            if path == "/ws":
                assert client.receive() == f"welcome {user}"
            return client

        yield open_client


def tell(client: SocketEnd, *steps: list[Any]) -> None:
    client.send(json.dumps(steps))


def answer(client: SocketEnd, *steps: list[Any]) -> Any:
    """What the last of the steps says."""
    tell(client, *steps)
    return json.loads(client.receive())


def heard(meeting: Subject, count: int) -> list[Any]:
    """What the instance heard of closed sockets, once there is so much."""
    assert meeting.driver.wait(lambda: len(meeting.call("heard").typed) >= count, HEARD_S)
    found: list[Any] = meeting.call("heard").typed
    return found


@pytest.mark.parametrize("by_function", [False, True])
def test_who_is_accepted_hears_a_first_word_and_whoever_speaks_is_answered(
    connect: Connect, meeting: Subject, by_function: bool
) -> None:
    ann = connect("ann", by_function=by_function)

    assert answer(ann, ["seen"]) == ["ann", [0, 1], ["user:ann"]]
    ann.send(b"\x00\xff")
    assert ann.receive() == b"\xff\x00"
    assert meeting.call("do", ["count"], ["count", "user:ann"], ["count", "user:bob"]).typed == [1, 1, 0]


def test_nobody_is_accepted_by_another_answer_or_a_handler_that_fails(driver: Driver, meeting: Subject) -> None:
    assert driver.refused_socket(meeting.type, meeting.name, "/plain") == (403, "no socket here")
    status, _ = driver.refused_socket(meeting.type, meeting.name, "/fail?user=ann")

    assert status == 500
    assert meeting.call("do", ["count"]).typed == [0]


def test_a_broadcast_reaches_all_those_with_a_tag_or_all_but_some(connect: Connect, meeting: Subject) -> None:
    ann, bob = connect("ann"), connect("bob")

    tell(ann, ["say", "all"], ["say", "for bob", "user:bob"], ["others", "but ann"])
    meeting.call("do", ["say", "from a call"])

    assert [ann.receive() for _ in range(2)] == ["all", "from a call"]
    assert [bob.receive() for _ in range(4)] == ["all", "for bob", "but ann", "from a call"]


def test_a_message_whose_handler_fails_commits_and_sends_nothing_and_its_socket_stays(
    connect: Connect, meeting: Subject
) -> None:
    ann = connect("ann")

    tell(ann, ["put", "k", 1], ["say", "never"], ["fail"])
    tell(ann, ["undone"], ["say", "next"])

    assert ann.receive() == "next"
    assert meeting.call("get", "k").typed is None


def test_an_instance_that_leaves_memory_keeps_its_sockets_and_what_belongs_to_them(
    connect: Connect, meeting: Subject, driver: Driver
) -> None:
    ann = connect("ann")
    for number in range(1, 4):
        driver.evict(meeting.type, meeting.name)

        assert answer(ann, ["seen"]) == ["ann", list(range(number + 1)), ["user:ann"]]
    assert meeting.call("do", ["count"]).typed == [1]


def test_the_death_of_the_worker_closes_no_socket_and_what_was_committed_is_there(
    connect: Connect, meeting: Subject, driver: Driver
) -> None:
    ann, bob = connect("ann"), connect("bob")
    meeting.call("do", ["auto", "ping", "pong"])
    assert answer(ann, ["put", "k", 1], ["count"]) == 2
    driver.kill_workers()

    assert answer(ann, ["seen"]) == ["ann", [0, 1], ["user:ann"]]
    tell(bob, ["say", "still here"])
    assert [each.receive() for each in (ann, bob)] == ["still here"] * 2
    ann.send("ping")
    assert ann.receive() == "pong"
    assert meeting.call("get", "k").typed == 1
    assert meeting.call("heard").typed == []


def test_what_a_client_closes_is_heard_once_and_not_listed_any_more(connect: Connect, meeting: Subject) -> None:
    ann, bob = connect("ann"), connect("bob")

    ann.close(4001, "bye")

    assert heard(meeting, 1) == [["ann", 4001, "bye", True, False]]
    assert answer(bob, ["count"]) == 1


def test_what_the_actor_closes_hears_its_last_word_and_no_more(connect: Connect, meeting: Subject) -> None:
    ann, bob = connect("ann"), connect("bob")

    tell(bob, ["close", "user:ann", 4002, "enough"], ["count"])

    assert json.loads(bob.receive()) == 1, "from that turn on"
    assert ann.receive() == "last"
    assert ann.closed() == (4002, "enough")
    assert heard(meeting, 1) == [["ann", 4002, "enough", True, False]]


def test_a_text_that_the_host_answers_wakes_nobody(connect: Connect, meeting: Subject) -> None:
    ann = connect("ann")
    meeting.call("do", ["auto", "ping", "pong"])

    ann.send("ping")
    assert ann.receive() == "pong"
    assert [level for level, _ in meeting.log if level == "error"] == [], "it is no message for the handler"
    meeting.call("do", ["auto", None])
    assert answer(ann, ["count"]) == 1


def test_a_message_that_is_too_large_is_refused_where_it_is_sent(connect: Connect) -> None:
    said = answer(connect("ann"), ["large", (1 << 20) + 1])

    assert "a message of 1048577 bytes, the limit is 1048576 bytes" in said


def test_an_instance_that_is_erased_closes_its_sockets_and_hears_nothing(
    connect: Connect, meeting: Subject, driver: Driver
) -> None:
    ann = connect("ann")

    driver.delete(meeting.type, meeting.name)

    assert ann.closed()[0] == 1001
    assert meeting.call("do", ["count"]).typed == [0]
    assert meeting.call("heard").typed == []


def test_who_follows_a_topic_gets_what_it_missed_and_then_what_comes(connect: Connect, meeting: Subject) -> None:
    for number in range(1, 4):
        assert meeting.call("do", ["publish", f"n{number}", "news"]).typed == [number]
    late, new = connect("late", "/follow?after=1"), connect("new", "/follow")
    assert meeting.call("do", ["publish", "n4"]).typed == [4]

    def events(client: SocketEnd, count: int) -> list[Any]:
        found = [json.loads(client.receive()) for _ in range(count)]
        return [[each["id"].partition("-")[0], each["event"], each["data"]] for each in found]

    assert events(late, 3) == [["2", "news", "n2"], ["3", "news", "n3"], ["4", None, "n4"]]
    assert events(new, 1) == [["4", None, "n4"]]


def test_who_is_too_far_behind_is_told_so_first(connect: Connect, meeting: Subject) -> None:
    for number in range(1, 5):
        meeting.call("do", ["publish", f"n{number}", None, 2])

    far = connect("far", "/follow?after=1")

    assert [json.loads(far.receive())["event"], json.loads(far.receive())["data"]] == ["reset", "n3"]
