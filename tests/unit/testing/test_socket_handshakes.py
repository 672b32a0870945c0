"""Handshakes in the test kit that end otherwise than with the one instance that accepted."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import ActorCallError, LimitError, Request, Response, StatefulActor
from holdfast.testing import LocalHost


class Room(StatefulActor):
    def fetch(self, request: Request) -> Response:
        return self.ctx.accept_socket(request)

    def socket_message(self, ws: Any, message: Any) -> None:
        ws.send(message)

    def socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.ctx.storage.put("closed", [code, was_clean])

    def state(self) -> list[Any]:
        return [self.ctx.storage.get("closed"), self.ctx.count_sockets()]

    def publish(self, event: str) -> int:
        try:
            return self.ctx.publish("news", "x", event=event)
        except (ValueError, LimitError):
            return 0


def test_the_one_of_two_that_accepted_whose_response_is_not_returned_hears_of_a_close() -> None:
    def fetch(request: Request, env: Any) -> Response:
        env.ROOM.id_from_name("loser").fetch(request)
        response: Response = env.ROOM.id_from_name("winner").fetch(request)
        return response

    host = LocalHost({"ROOM": Room}, fetch=fetch)
    client = host.socket(None, "")
    client.send("hi")

    assert client.receive() == "hi"
    assert host.env.ROOM.id_from_name("loser").state() == [[1006, False], 0]
    assert host.env.ROOM.id_from_name("winner").state() == [None, 1]


def test_who_accepted_for_a_function_that_fails_then_hears_of_a_close() -> None:
    def fetch(request: Request, env: Any) -> Response:
        env.ROOM.id_from_name("a").fetch(request)
        raise RuntimeError("not today")

    host = LocalHost({"ROOM": Room}, fetch=fetch)
    with pytest.raises(ActorCallError):
        host.socket(None, "")

    assert host.env.ROOM.id_from_name("a").state() == [[1006, False], 0]


def test_an_event_that_cannot_be_sent_is_not_kept_though_its_error_is_caught() -> None:
    host = LocalHost({"ROOM": Room})
    room = host.env.ROOM.id_from_name("a")

    assert [room.publish(event) for event in ("a", "b\nc", "n" * 1_025, "n" * 1_024, "d")] == [1, 0, 0, 2, 3]
