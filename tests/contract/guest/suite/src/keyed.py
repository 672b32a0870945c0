"""Calls under idempotency keys, of both sides."""

from contextlib import suppress
from typing import Any

from holdfast import ActorCallError, Context, Env, Request, StatefulActor


class Keyed(StatefulActor):
    """Counts what it was asked, and has others of its kind count."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.turns = 0

    def add(self, by: int = 1, *, fail: bool = False, sync: bool = False) -> dict[str, Any]:
        """Add, and say under which key; `turns` is how many turns this activation has had."""
        self.turns += 1
        total = self.ctx.storage.get("total", 0) + by
        self.ctx.storage.put("total", total)
        if sync:
            self.ctx.storage.sync()
        if fail:
            raise ValueError("as asked")
        return {"total": total, "key": self.ctx.idempotency_key, "turns": self.turns}

    def total(self) -> int:
        return int(self.ctx.storage.get("total", 0))

    def key(self) -> str | None:
        return self.ctx.idempotency_key

    def undo(self) -> str:
        """Writes, and leaves nothing of it."""
        with suppress(ZeroDivisionError), self.ctx.storage.transaction():
            self.ctx.storage.put("total", 100)
            self.ctx.storage.put("total", 1 // 0)
        return "undone"

    def have_add(self, name: str, key: str, by: int = 1) -> Any:
        """Have another one add under a key, writing nothing itself; what it said where it failed."""
        try:
            return self.env.KEYED.id_from_name(name).once(key).add(by)
        except (ActorCallError, ValueError, TypeError) as error:
            return [getattr(error, "name", type(error).__name__), str(error)]

    def have_add_under_a_key_of_this(self, name: str) -> Any:
        return self.env.KEYED.id_from_name(name).once(f"{self.ctx.idempotency_key}/add").add()

    def fetch_once(self, name: str) -> str:
        try:
            self.env.KEYED.id_from_name(name).once("k").fetch(Request("http://x/"))
        except TypeError as error:
            return str(error)
        return "it was sent"

    def clear(self) -> None:
        self.ctx.storage.delete_all()
