"""An actor with sockets: a message says what is to be done."""

import json
from contextlib import suppress
from typing import Any

from holdfast import LimitError, Request, Response, Socket, StatefulActor


class Meeting(StatefulActor):
    """Notes what it heard under `heard`."""

    def fetch(self, request: Request) -> Response:
        if request.path == "/plain" or not request.wants_socket:
            return Response("no socket here", 403)
        user = request.query.get("user", "")
        if request.path == "/follow":
            after = request.query.get("after")
            return self.ctx.subscribe(request, "news", after=int(after) if after else None, tags=[f"user:{user}"])
        response = self.ctx.accept_socket(request, tags=[f"user:{user}"], attachment={"user": user, "n": (0,)})
        response.socket.send(f"welcome {user}")
        if request.path == "/fail":
            raise ValueError("after it accepted")
        return response

    def socket_message(self, ws: Socket, message: str | bytes) -> None:
        if isinstance(message, bytes):
            ws.send(message[::-1])
            return
        for what, *facts in json.loads(message):
            said = self.step(ws, what, facts)
            if said is not None:
                ws.send(json.dumps(said))

    def step(self, ws: Socket | None, what: str, facts: list[Any]) -> Any:
        """Do one thing; what is to be said of it."""
        ctx = self.ctx
        simple = {
            "say": ctx.broadcast,
            "count": ctx.count_sockets,
            "put": ctx.storage.put,
            "auto": ctx.set_socket_auto_response,
        }
        if what in simple:
            return simple[what](*facts)  # type: ignore[operator]  # whatever it takes
        if what == "others":
            self.ctx.broadcast(facts[0], but=ws or ())
        elif what == "fail":
            raise ValueError("as it was told")
        elif what == "undone":
            with suppress(LookupError), self.ctx.storage.transaction():
                self.ctx.broadcast("never")
                raise LookupError
        elif what == "seen" and ws is not None:
            number = (*ws.attachment["n"], len(ws.attachment["n"]))
            ws.attachment = {**ws.attachment, "n": number}
            return [ws.attachment["user"], list(number), list(ws.tags)]
        elif what == "close":
            for each in self.ctx.get_sockets(facts[0]):
                each.send("last")
                each.close(*facts[1:])
                each.send("never")
        elif what == "publish":
            return self.ctx.publish("news", *facts)
        elif what == "large":
            try:
                self.ctx.broadcast("x" * facts[0])
            except LimitError as error:
                return str(error)
        return None

    def do(self, *steps: list[Any]) -> list[Any]:
        """The same by a call."""
        return [self.step(None, what, facts) for what, *facts in steps]

    def socket_close(self, ws: Socket, code: int, reason: str, was_clean: bool) -> None:
        heard = self.ctx.storage.get("heard", [])
        listed = [each.id for each in self.ctx.get_sockets()]
        self.ctx.storage.put("heard", [*heard, [ws.attachment["user"], code, reason, was_clean, ws.id in listed]])
        if reason == "fail":
            raise ValueError("each time")

    def heard(self) -> list[Any]:
        """What became of its sockets."""
        found: list[Any] = self.ctx.storage.get("heard", [])
        return found

    def get(self, key: str) -> Any:
        """What is stored."""
        return self.ctx.storage.get(key)
