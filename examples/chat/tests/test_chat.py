import json
from contextlib import suppress
from datetime import timedelta

import pytest

from holdfast import ActorCallError, Request
from holdfast.testing import Closing, NotAcceptedError


@pytest.fixture
def host_secrets():
    return {"SESSION_KEY": "a key for tests"}


def log_in(host, name):
    """The cookie that a browser keeps."""
    answer = host.fetch(Request("http://chat.localhost/rooms/lobby", "POST", body=f"name={name}"))
    assert answer.status == 303
    return answer.headers["Set-Cookie"].partition(";")[0]


def come_in(host, name, *, page="p1", after="0", room="lobby"):
    return host.socket(None, "", f"/rooms/{room}?page={page}&after={after}", {"Cookie": log_in(host, name)})


def heard(client):
    """What it has got since the last look: (event, what it says) each."""
    found = []
    with suppress(LookupError):
        while event := json.loads(client.receive()):
            said = json.loads(event["data"])
            found.append((event["event"], f"{said['user']}: {said['text']}" if event["event"] == "said" else said))
    return found


def last_id(client):
    return next(found["id"] for found in map(json.loads, reversed(client.received)) if "id" in found)


def say(client, number, text):
    client.send(json.dumps({"n": number, "text": text}))


def test_what_one_says_all_hear_in_the_same_order(host):
    ann, bob = come_in(host, "ann"), come_in(host, "bob")
    heard(ann), heard(bob)
    say(ann, 1, "hi")
    say(bob, 1, "hello")

    assert heard(ann) == heard(bob) == [("said", "ann: hi"), ("said", "bob: hello")]


def test_who_comes_hears_what_was_said_and_who_is_here(host):
    ann = come_in(host, "ann")
    say(ann, 1, "first")
    host.env.ROOM.id_from_name("lobby").say("a program", "second")

    assert heard(come_in(host, "bob")) == [
        ("said", "ann: first"),
        ("said", "a program: second"),
        ("here", {"you": "bob", "users": ["ann", "bob"]}),
    ]


def test_a_user_comes_with_the_first_page_and_leaves_with_the_last(host):
    ann = come_in(host, "ann")
    bob, again = come_in(host, "bob"), come_in(host, "bob", page="p2")
    heard(ann)
    bob.close()
    assert heard(ann) == []
    again.close()

    assert heard(ann) == [("left", "bob")]
    assert host.env.ROOM.id_from_name("lobby").users() == ["ann"]
    come_in(host, "bob")
    assert heard(ann) == [("came", "bob")]


def test_a_page_that_comes_again_gets_what_it_missed_and_nothing_twice(host):
    ann, bob = come_in(host, "ann"), come_in(host, "bob")
    say(ann, 1, "one")
    seen = last_id(bob)
    bob.close()
    say(ann, 2, "two")
    say(ann, 3, "three")

    assert [said for event, said in heard(come_in(host, "bob", after=seen)) if event == "said"] == [
        "ann: two",
        "ann: three",
    ]


def test_what_is_said_again_counts_once_for_each_page(host):
    ann = come_in(host, "ann")
    say(ann, 1, "hi")
    host.crash()
    again, other = come_in(host, "ann"), come_in(host, "ann", page="p2")
    heard(again), heard(other)
    say(again, 1, "hi")
    say(again, 2, "there")
    say(other, 1, "from my phone")

    assert ann.closed == Closing(1012, "")
    assert heard(other) == [("said", "ann: there"), ("said", "ann: from my phone")]


def test_after_a_crash_everybody_has_left(host):
    for name in ("ann", "bob"):
        come_in(host, name)
    host.crash()

    assert host.env.ROOM.id_from_name("lobby").users() == []


def test_who_has_missed_more_than_is_remembered_is_told(host):
    ann = come_in(host, "ann")
    say(ann, 1, "the first")
    seen = last_id(ann)
    for number in range(201):
        host.env.ROOM.id_from_name("lobby").say("a program", f"{number}")

    missed = heard(come_in(host, "bob", after=seen))
    assert missed[:2] == [("reset", {"first": 3}), ("said", "a program: 1")]
    assert len(missed) == 1 + 200 + 1


def test_rooms_know_nothing_of_each_other(host):
    ann, bob = come_in(host, "ann"), come_in(host, "bob", room="garden")
    heard(ann)
    say(bob, 1, "anybody?")

    assert heard(ann) == []
    assert host.env.ROOM.id_from_name("garden").users() == ["bob"]


def test_an_event_stream_hears_the_same(host):
    headers = {"Cookie": log_in(host, "ann")}
    host.env.ROOM.id_from_name("lobby").say("a program", "one")
    first = host.events(None, "", "/rooms/lobby", headers).received[0]
    host.env.ROOM.id_from_name("lobby").say("a program", "two")
    again = host.events(None, "", "/rooms/lobby", {**headers, "Last-Event-ID": first.id})

    assert (first.event, json.loads(first.data)["text"]) == ("said", "one")
    assert json.loads(again.received[0].data)["text"] == "two"


@pytest.mark.parametrize(
    "message", ["", "no JSON", "[]", "7", '{"n":1}', '{"n":"1","text":"x"}', '{"n":0,"text":"x"}', '{"n":1,"text":7}',
                json.dumps({"n": 1, "text": "x" * 2001}), '{"n":1,"text":""}', b"\xff", "[" * 90]
)  # fmt: skip
def test_what_no_page_says_closes_its_socket_and_nobody_hears_it(host, message):
    ann, eve = come_in(host, "ann"), come_in(host, "eve")
    heard(ann)
    eve.send(message)

    assert eve.closed == Closing(4400, 'a message is {"n": 1, "text": "hello"}')
    assert heard(ann) == [("left", "eve")]


@pytest.mark.parametrize("text", ["", "x" * 2001])
def test_a_program_is_told_what_it_may_not_say(host, text):
    with pytest.raises(ActorCallError) as refused:
        host.env.ROOM.id_from_name("lobby").say("a program", text)
    assert refused.value.code == "bad_message"


def test_only_who_has_a_cookie_of_ours_gets_in(host):
    good = log_in(host, "ann")
    said, _, signature = good.removeprefix("session=").partition(".")
    for cookie in ("", "session=", "session=.", f"session={said}.", f"session=x{said}.{signature}", "session=é.é"):
        with pytest.raises(NotAcceptedError) as refused:
            host.socket(None, "", "/rooms/lobby", {"Cookie": cookie, "X-User": "ann"})
        assert refused.value.response.status == 401
    host.clock.advance(timedelta(days=7, seconds=1))
    with pytest.raises(NotAcceptedError):
        host.socket(None, "", "/rooms/lobby", {"Cookie": good})


def test_a_user_is_who_the_cookie_says_whatever_the_client_says(host):
    host.socket(None, "", "/rooms/lobby", {"Cookie": log_in(host, "Zo%C3%AB"), "x-user": "ann"})

    assert host.env.ROOM.id_from_name("lobby").users() == ["Zoë"]


def test_pages_are_handed_out_to_those_who_are_logged_in(host):
    cookie = {"Cookie": log_in(host, "ann")}
    assert "Your name" in host.fetch("http://chat.localhost/rooms/lobby").text()
    assert host.fetch(Request("http://chat.localhost/", headers=cookie)).headers["Location"] == "/rooms/lobby"
    page = host.fetch(Request("http://chat.localhost/rooms/lobby", headers=cookie))

    assert '<script src="/room.js">' in page.text()
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "new WebSocket" in host.fetch("http://chat.localhost/room.js").text()
    for name in ("", "%3Cb%3E", "x" * 31):
        assert host.fetch(Request("http://chat.localhost/", "POST", body=f"name={name}")).status == 400


def test_a_cookie_that_came_by_https_goes_back_by_it_alone(host):
    for scheme, secure in (("http", False), ("https", True)):
        answer = host.fetch(Request(f"{scheme}://chat.example/rooms/lobby", "POST", body="name=ann"))
        assert answer.headers["Set-Cookie"].endswith("; Secure") is secure


@pytest.mark.parametrize("path", ["//other.example/rooms/lobby", "/", "/rooms/Not-A-Room", "/%5Cother.example"])
def test_who_logs_in_is_led_to_a_room_and_nowhere_else(host, path):
    answer = host.fetch(Request(f"http://chat.localhost{path}", "POST", body="name=ann"))

    assert (answer.status, answer.headers["Location"]) == (303, "/rooms/lobby")


@pytest.mark.parametrize("other", ["a/b=1", "a[b=1", 'x="y', "x", "=", ""])
def test_a_cookie_of_somebody_else_changes_nothing(host, other):
    headers = {"Cookie": f"{other}; {log_in(host, 'ann')}; {other}"}

    assert host.fetch(Request("http://chat.localhost/rooms/lobby", headers=headers)).status == 200
