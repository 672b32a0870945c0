"""The measured actor: `examples/account` and what only a benchmark calls; a function in front of it."""

from __future__ import annotations

import time
from typing import Any

from holdfast import Env, Request, Response, StatefulActor


class Account(StatefulActor):
    """An account with a balance."""

    def deposit(self, amount: int) -> dict[str, int]:
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}

    def balance(self) -> dict[str, int]:
        return {"balance": self.ctx.storage.get("balance", 0)}

    def empty(self) -> None:
        return None

    def note(self, info: Any) -> None:
        """A job's: how late it runs, in seconds."""
        self.ctx.storage.put(f"late/{info.id}", time.time() - info.scheduled_time.timestamp())

    def late(self) -> list[float]:
        return list(self.ctx.storage.list(prefix="late/", limit=1000).values())

    def fill(self, keys: int, size: int) -> int:
        for number in range(keys):
            self.ctx.storage.put(f"key/{number:06d}", "x" * size)
        return keys

    def list_all(self) -> int:
        return len(self.ctx.storage.list(prefix="key/", limit=1000))

    def put(self, size: int) -> int:
        self.ctx.storage.put("value", "x" * size)
        return size

    def get(self) -> str:
        return str(self.ctx.storage.get("value", ""))


def fetch(request: Request, env: Env) -> Response:
    """POST /accounts/{name}/deposit and /accounts/{name}/empty; POST /accounts/{name}/nothing asks no actor."""
    _, _, name, method = request.path.split("/")
    if method == "deposit":
        return Response.json(env.ACCOUNT.id_from_name(name).deposit(request.json()["amount"]))
    if method == "empty":
        return Response.json(env.ACCOUNT.id_from_name(name).empty())
    return Response.json(None)
