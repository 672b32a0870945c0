"""What the SDK makes of sockets and topics: what it asks of the host, and what it refuses by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast import HostError, LimitError, Request, Response, Socket, SocketError, StatefulActor, _sockets
from holdfast._host_imports import Err
from holdfast._http import Headers
from holdfast._values.codec import decode_json
from tests.unit.guest.memory_host import Hosted

ID, OTHER, THIRD = "0000000100000002", "0000000100000003", "0000000200000001"
UPGRADE = {"Upgrade": "websocket"}


def facts(socket: str = ID, *tags: str, **further: Any) -> dict[str, Any]:
    return {"id": socket, "tags": tags, "opened_us": 1_000_000, "attachment": None, **further}


class Room(StatefulActor):
    def run(self, code: str) -> Any:
        return eval(code, {"ctx": self.ctx, "me": self, "Request": Request, "Socket": Socket})

    def fetch(self, request: Request) -> Response:
        if request.wants_socket:
            return self.ctx.accept_socket(request, tags=["a"], attachment={"n": (1, 2)}, protocol="chat")
        return self.ctx.accept_events(request)

    def socket_message(self, ws: Socket, message: str | bytes) -> None:
        ws.attachment = (ws.attachment or 0) + 1
        ws.send(message)

    async def socket_close(  # type: ignore[override]  # it is driven to its end
        self, ws: Socket, code: int, reason: str, was_clean: bool
    ) -> None:
        self.ctx.broadcast(f"{ws.id} {code} {reason} {was_clean}", but=ws)

    def socket_error(self, ws: Socket, error: SocketError) -> None:
        self.ctx.broadcast(f"{error.code} {error.reason} {error}")


class Deaf(StatefulActor):
    def fetch(self, request: Request) -> Response:
        return self.ctx.accept_socket(request)


@pytest.fixture
def room() -> Hosted:
    hosted = Hosted(Room)
    hosted.sockets.sockets = [facts(), facts(OTHER, "a"), facts(THIRD, "a", events=True)]
    return hosted


def request(offer: str = ID, **headers: str) -> str:
    return json.dumps({"method": "GET", "url": "http://a/", "headers": list(headers.items()), "socket": offer})


def test_an_accepted_websocket_is_answered_with_whose_it_is(room: Hosted) -> None:
    answer = json.loads(room.guest.fetch(request(**UPGRADE)))

    assert (answer["status"], answer["socket"]) == (101, {"type": "Room", "name": "alice"})
    [accept, *_] = room.sockets.asked
    assert accept == (
        "accept",
        ID,
        {"tags": ["a"], "events": False, "protocol": "chat", "attachment": {"n": {"$hf": "tuple", "v": [1, 2]}}},
    )


def test_a_function_hands_the_answer_on_as_it_is() -> None:
    wire = '{"status":101,"socket":{"type":"Room","name":"alice"},"headers":[["X-A","b"]]}'

    response = Response.from_wire(wire)

    assert response.status == 101
    assert json.loads(response.to_wire()) == {**json.loads(wire), "body": ""}


def test_nobody_says_101_of_his_own() -> None:
    with pytest.raises(ValueError, match="101"):
        Response(status=101)


def test_an_event_stream_is_what_is_offered_without_an_upgrade(room: Hosted) -> None:
    room.sockets.sockets = [facts(events=True)]

    answer = json.loads(room.guest.fetch(request()))

    assert (answer["status"], answer["socket"]["name"]) == (200, "alice")
    assert room.sockets.asked[0] == ("accept", ID, {"tags": [], "events": True})


def test_a_request_keeps_its_offer_on_its_way_through_a_function() -> None:
    came = Request.from_wire(request(**UPGRADE))

    assert came.wants_socket
    assert not came.wants_events
    assert Request.from_wire(came.to_wire()).offer == ID
    assert not Request("http://a/", headers=UPGRADE).wants_socket


@pytest.mark.parametrize(
    ("actor", "offer", "headers", "error"),
    [
        (Room, "", UPGRADE, "ValueError: this request wants no event stream"),
        (Deaf, "", UPGRADE, "ValueError: this request wants no WebSocket"),
        (Deaf, ID, {}, "ValueError: this request wants no WebSocket"),
        (Deaf, ID, UPGRADE, "RuntimeError: Deaf has no socket_message(self, ws, message)"),
    ],
)
def test_what_cannot_be_accepted_is_refused_by_name(
    actor: type[StatefulActor], offer: str, headers: dict[str, str], error: str
) -> None:
    hosted = Hosted(actor)

    with pytest.raises(Err) as refused:
        hosted.guest.fetch(request(offer, **headers))

    assert json.loads(refused.value.value)["message"].startswith(error)
    assert hosted.sockets.asked == []


def test_sockets_are_listed_through_all_pages_counted_and_found(room: Hosted) -> None:
    assert room.call("run", '["[each.id for each in ctx.get_sockets()]"]') == [ID, OTHER, THIRD]
    assert room.call("run", "[\"[each.id for each in ctx.get_sockets('a')]\"]") == [OTHER, THIRD]
    assert room.call("run", "[\"ctx.count_sockets('a')\"]") == 2
    found = "(lambda ws: [ws.id, ws.tags, ws.opened_at.isoformat(), ws.is_events])"
    assert room.call("run", json.dumps([f"{found}(ctx.get_socket('{OTHER}'))"])) == [
        OTHER, ["a"], "1970-01-01T00:00:01+00:00", False
    ]  # fmt: skip
    for gone in ("0000000100000009", "", "x", "0" * 16, "g" * 16):
        assert room.call("run", json.dumps([f"ctx.get_socket({gone!r})"])) is None


def test_messages_go_to_whom_they_are_meant(room: Hosted) -> None:
    for code in (
        f"ctx.get_socket('{ID}').send('x')",
        f"ctx.get_socket('{ID}').send(b'\\xff')",
        f"ctx.get_socket('{THIRD}').send('x', event='e', id='7')",
        "ctx.broadcast('y')",
        f"ctx.broadcast('y', tag='a', but=['{ID}', ctx.get_socket('{OTHER}')])",
        f"ctx.get_socket('{ID}').close(4000, 'bye')",
    ):
        room.call("run", json.dumps([code]))

    assert [each for each in room.sockets.asked if each[0] != "list"] == [
        ("send", {"ids": [ID]}, "x", {}),
        ("send", {"ids": [ID]}, "/w==", {"binary": True}),
        ("send", {"ids": [THIRD]}, "x", {"event": "e", "id": "7"}),
        ("send", {}, "y", {}),
        ("send", {"tag": "a", "but": [ID, OTHER]}, "y", {}),
        ("close", {"ids": [ID]}, 4000, "bye"),
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ctx.broadcast(5)", "TypeError: a message is str or bytes, not int"),
        (f"ctx.get_socket('{ID}').send('x', event='e')", "TypeError: an event's name and id are for event streams"),
        (f"ctx.get_socket('{THIRD}').send('x', id='a\\nb')", "ValueError: the id of an event has no line break"),
        (f"ctx.get_socket('{THIRD}').send(b'x', event='e')", "TypeError: an event is text"),
        ("ctx.get_socket(5)", "TypeError: the id of a socket is a str"),
        ("ctx.set_socket_auto_response('')", "ValueError: an empty message is never answered by the host"),
        ("ctx.accept_socket(Request('/', headers={'upgrade': 'websocket'}, offer='x'), tags='ab')", "TypeError: tags"),
        ("ctx.publish('a/b', 1)", "ValueError: the name of a topic"),
        ("ctx.publish('a', 1, keep=0)", "ValueError: a topic keeps 1 to 5000 events"),
        ("ctx.publish('a', 1, event='reset')", "ValueError: no event is called 'reset'"),
    ],
)
def test_bad_input_is_one_sentence(room: Hosted, code: str, error: str) -> None:
    assert room.error("run", json.dumps([code]))["message"].startswith(error)


def test_a_refusal_of_the_host_is_raised_as_what_it_is(room: Hosted) -> None:
    room.sockets.refusal = Err('{"name":"LimitError","message":"too much"}')

    assert room.error("run", "[\"ctx.broadcast('x')\"]")["message"] == "LimitError: too much"
    room.sockets.refusal = Err('{"name":"UnsupportedError","message":"no sockets"}')
    assert room.error("run", '["ctx.count_sockets()"]')["message"] == "UnsupportedError: no sockets"


def test_an_auto_response_is_set_and_ended(room: Hosted) -> None:
    room.call("run", "[\"ctx.set_socket_auto_response('ping', 'pong')\"]")
    room.call("run", '["ctx.set_socket_auto_response(None)"]')

    assert room.sockets.asked == [("auto_response", "ping", "pong"), ("auto_response", "", "")]


def test_a_message_runs_its_handler_with_the_socket_and_its_attachment(room: Hosted) -> None:
    event = {"event": "message", "socket": facts(ID, attachment=4)}
    room.guest.socket(json.dumps(event), "hé")
    room.guest.socket(json.dumps({**event, "binary": True}), "/w==")

    assert room.sockets.asked == [
        ("attach", ID, 5),
        ("send", {"ids": [ID]}, "hé", {}),
        ("attach", ID, 5),
        ("send", {"ids": [ID]}, "/w==", {"binary": True}),
    ]


def test_what_a_message_says_of_its_socket_is_read_when_it_is_asked_for() -> None:
    class Curious(StatefulActor):
        def socket_message(self, ws: Socket, message: str | bytes) -> None:
            ws.send(repr((ws.id, ws.tags, ws.protocol, ws.is_events, ws.opened_at.timestamp(), ws.attachment)))
            assert isinstance(ws.attachment, dict)
            ws.attachment["n"] = 5
            ws.send(repr(ws.attachment))

    hosted = Hosted(Curious)
    attachment = {"n": {"$hf": "tuple", "v": [1, 2]}}
    said = facts(ID, "a", "b", protocol="chat", events=False, attachment=attachment)
    usual = {"event": "message", "binary": False, "socket": said}
    for event in (json.dumps(usual, separators=(",", ":")), json.dumps(usual), json.dumps({"socket": said, **usual})):
        hosted.sockets.asked.clear()
        hosted.guest.socket(event, "hi")

        assert [each[2] for each in hosted.sockets.asked] == [
            repr((ID, ("a", "b"), "chat", False, 1.0, {"n": (1, 2)})),
            repr({"n": 5}),
        ]


def test_a_message_whose_socket_nobody_asks_about_costs_no_reading(
    room: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reading(text: str) -> Any:
        read.append(text)
        return decode_json(text)

    monkeypatch.setattr(_sockets, "decode_json", reading)
    monkeypatch.setattr(Room, "socket_message", lambda self, ws, message: ws.send(message))
    event = json.dumps({"event": "message", "binary": False, "socket": facts()}, separators=(",", ":"))
    room.guest.socket(event, "hi")

    assert (room.sockets.asked, read) == ([("send", {"ids": [ID]}, "hi", {})], [])


def test_a_close_and_an_error_run_theirs(room: Hosted) -> None:
    closed = {"socket": facts(), "code": 1001, "reason": "away", "clean": True}
    room.guest.socket(json.dumps({"event": "close", **closed}), "")
    room.guest.socket(json.dumps({"event": "error", **closed}), "")

    assert [each[1:3] for each in room.sockets.asked] == [
        ({"but": [ID]}, f"{ID} 1001 away True"),
        ({}, "1001 away 1001 away"),
    ]


def test_an_event_that_nobody_handles_is_refused_by_name() -> None:
    hosted = Hosted(Deaf)

    for event, name in (("message", "ActorUnknownMethodError"), ("swim", "ActorUnknownMethodError")):
        with pytest.raises(Err) as refused:
            hosted.guest.socket(json.dumps({"event": event, "socket": facts()}), "")
        assert json.loads(refused.value.value)["name"] == name


def test_handlers_are_described_and_are_no_methods() -> None:
    described = json.loads(Hosted(Room).guest.describe())["actors"][0]

    assert described["handlers"] == ["fetch", "socket_message", "socket_close", "socket_error"]
    assert [each["name"] for each in described["methods"]] == ["run"]
    assert Hosted(Room).error("socket_message", "[]")["name"] == "ActorPrivateMethodError"
    assert json.loads(Hosted(Deaf).guest.describe())["actors"][0]["handlers"] == ["fetch"]


# Topics.


def sent(room: Hosted) -> list[tuple[Any, ...]]:
    """What was sent, with the id of each event without the topic's mark."""
    found = []
    for what, to, message, options in (each for each in room.sockets.asked if each[0] == "send"):
        assert what == "send"
        told = json.loads(message) if to.get("events") is False else message
        if isinstance(told, dict):
            told["id"] = told["id"].partition("-")[0]
        if "id" in options:
            options["id"] = options["id"].partition("-")[0]
        found.append((to, told, options))
    room.sockets.asked.clear()
    return found


def test_an_event_is_kept_and_sent_to_those_who_follow_each_in_its_way(room: Hosted) -> None:
    assert room.call("run", "[\"ctx.publish('news', {'a': 1}, event='e')\"]") == 1
    assert room.call("run", "[\"ctx.publish('news', 'x')\"]") == 2

    assert sent(room) == [
        ({"tag": "topic:news", "events": True}, '{"a":1}', {"event": "e", "id": "1"}),
        ({"tag": "topic:news", "events": False}, {"id": "1", "event": "e", "data": '{"a":1}'}, {}),
        ({"tag": "topic:news", "events": True}, "x", {"id": "2"}),
        ({"tag": "topic:news", "events": False}, {"id": "2", "event": None, "data": "x"}, {}),
    ]


class Follower(Room):
    def fetch(self, request: Request) -> Response:
        after = request.query.get("after")
        return self.ctx.subscribe(request, "news", after=int(after) if after else None, tags=["t"])


def follow(hosted: Hosted, after: str = "", **headers: str) -> list[str]:
    """What a new follower is sent at once: number and data, or what is left of the former."""
    hosted.sockets.sockets = [facts(events=True)]
    hosted.sockets.asked.clear()
    url = f"http://a/?after={after}"
    hosted.guest.fetch(json.dumps({"method": "GET", "url": url, "headers": list(headers.items()), "socket": ID}))
    assert hosted.sockets.asked[0] == ("accept", ID, {"tags": ["t", "topic:news"], "events": True})
    return [
        f"{options.get('event', '')}{options.get('id', '').partition('-')[0]} {data}"
        for _, _, data, options in (each for each in hosted.sockets.asked if each[0] == "send")
    ]


def test_who_comes_again_gets_what_it_has_missed_and_nothing_twice() -> None:
    hosted = Hosted(Follower)
    for number in range(1, 6):
        hosted.call("run", json.dumps([f"ctx.publish('news', 'n{number}')"]))
    mark = hosted.call("run", "[\"ctx.storage.get('~topic/news')['mark']\"]")

    assert follow(hosted) == []
    assert follow(hosted, "3") == ["4 n4", "5 n5"]
    assert follow(hosted, **{"last-event-id": f"4-{mark}"}) == ["5 n5"]
    assert follow(hosted, **{"Last-Event-ID": f"5-{mark}"}) == []
    assert follow(hosted, "0") == ["1 n1", "2 n2", "3 n3", "4 n4", "5 n5"]


class InTurns(Room):
    """Subscribes in one turn, or in two, as it is asked."""

    def fetch(self, request: Request) -> Response:
        if request.path == "/subscribe":
            return self.ctx.subscribe(request, "news", after=0)
        if request.path == "/accept":
            return self.ctx.accept_events(request, tags=["topic:news"])
        socket = self.ctx.get_socket(ID)
        assert socket is not None
        self.ctx._replay(socket, "~topic/news", 0)
        return Response()


@pytest.mark.parametrize(
    ("turns", "heard"),
    [
        (["subscribe"], [1, 2, 3, 4]),
        (["publish", "subscribe"], [1, 2, 3, 4]),
        (["replay", "publish", "accept"], [1, 2, 4]),
        (["accept", "publish", "replay"], [3, 1, 2, 3, 4]),
    ],
    ids=["one turn", "one turn, later", "accepted in a second turn", "replayed in a second turn"],
)
def test_replay_and_live_join_in_one_turn_and_would_leave_a_gap_or_a_double_in_two(
    turns: list[str], heard: list[int]
) -> None:
    hosted = Hosted(InTurns)
    hosted.sockets.sockets = [facts(events=True)]

    def publish() -> None:
        hosted.call("run", "[\"ctx.publish('news', 'x')\"]")

    publish()
    publish()
    for turn in turns:
        if turn == "publish":
            publish()
        else:
            facts_ = {"method": "GET", "url": f"http://a/{turn}", "headers": [], "socket": ID}
            hosted.guest.fetch(json.dumps(facts_))
    if "publish" not in turns:
        publish()
    publish()

    found, follows = [], False
    for what, to, *rest in hosted.sockets.asked:
        follows = follows or what == "accept"
        if what == "send" and (to == {"ids": [ID]} or (follows and to.get("events"))):
            found.append(int(rest[1]["id"].partition("-")[0]))
    assert found == heard


@pytest.mark.parametrize("has", ["2", "9", "4-00000000", "x", "-1", "99999999999999999999999"])
def test_who_has_a_gap_is_told_so_before_all_else(has: str) -> None:
    hosted = Hosted(Follower)
    for number in range(1, 7):
        hosted.call("run", json.dumps([f"ctx.publish('news', 'n{number}', keep=3)"]))

    assert follow(hosted, **{"Last-Event-ID": has}) == ['reset {"first":4}', "4 n4", "5 n5", "6 n6"]


def test_a_topic_that_was_begun_anew_has_a_gap_for_those_who_knew_the_old_one() -> None:
    hosted = Hosted(Follower)
    hosted.call("run", "[\"ctx.publish('news', 'old')\"]")
    mark = hosted.call("run", "[\"ctx.storage.get('~topic/news')['mark']\"]")
    hosted.call("run", '["ctx.storage.delete_all()"]')

    assert follow(hosted, **{"Last-Event-ID": f"1-{mark}"}) == ['reset {"first":1}']
    hosted.call("run", "[\"ctx.publish('news', 'new')\"]")
    assert follow(hosted, **{"Last-Event-ID": f"1-{mark}"}) == ['reset {"first":1}', "1 new"]


def test_a_topic_holds_no_more_than_it_keeps() -> None:
    hosted = Hosted(Follower)
    for number in range(12):
        hosted.call("run", json.dumps([f"ctx.publish('news', 'x' * 1000000 + '{number}', keep=1000)"]))

    keys = hosted.call("run", "[\"list(ctx.storage.list(prefix='~topic/news/'))\"]")
    assert [int(key.rpartition("/")[2]) for key in keys] == [9, 10, 11, 12]
    assert hosted.call("run", "[\"ctx.storage.get('~topic/news')['bytes']\"]") < 4 << 20


def test_headers_of_a_request_are_blind_to_case_where_a_websocket_is_wanted() -> None:
    assert Request("/", headers=Headers([("UPGRADE", "WebSocket")]), offer=ID).wants_socket


def test_errors_of_the_contract_are_exported() -> None:
    assert issubclass(HostError, Exception)
    assert issubclass(LimitError, Exception)
