"""A room of sockets: it tells all of them, or does for one what a call would do."""

from __future__ import annotations

import json
from typing import Any

from holdfast import Request, Response, StatefulActor


class Room(StatefulActor):
    """`{"amount":5}` is a deposit, `all` is for everybody; anything else is answered with `null`."""

    def fetch(self, request: Request) -> Response:
        accepted = self.ctx.accept_socket(request)
        accepted.socket.send("welcome")
        return accepted

    def socket_message(self, ws: Any, message: str | bytes) -> None:
        if isinstance(message, str) and message.startswith("{"):
            ws.send(json.dumps(self.deposit(**json.loads(message))))
        elif message == "all":
            number = self.ctx.storage.get("n", 0) + 1
            self.ctx.storage.put("n", number)
            self.ctx.broadcast(f"{number:08} for everybody")
        else:
            ws.send("null")

    def deposit(self, amount: int) -> dict[str, int]:
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}

    def empty(self) -> None:
        return None
