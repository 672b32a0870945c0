"""Purses whose money travels by jobs; runs, crons and requests that say what they were told; an answer that streams."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from holdfast import ActorError, Request, Response, StatefulActor


class Purse(StatefulActor):
    """What is sent is on the way from the turn that debits until its outcome is known."""

    def deposit(self, amount: int) -> dict[str, int]:
        return {"balance": self._add(amount)}

    def send(self, transfer: str, to: str, amount: int) -> dict[str, bool | int]:
        if self.ctx.storage.get(f"sent:{transfer}") is not None:
            return {"ok": True, "balance": self._add(0)}
        if self._add(0) < amount:
            return {"ok": False, "balance": self._add(0)}
        self.ctx.storage.put(f"sent:{transfer}", {"to": to, "amount": amount})
        self._travel(1)
        self.ctx.outbox.call(self.env.PURSE.id_from_name(to), "receive", amount, then="_arrived")
        return {"ok": True, "balance": self._add(-amount)}

    def receive(self, amount: int) -> None:
        self._add(amount)

    def balance(self) -> dict[str, int]:
        storage = self.ctx.storage
        return {"balance": storage.get("balance", 0), "on_the_way": storage.get("travelling", 0)}

    def pay_in(self, to: str, amount: int) -> str:
        """A call whose outcome is noted, and which a purse called `shut` refuses."""
        return self.ctx.outbox.call(self.env.PURSE.id_from_name(to), "take", amount, then="_noted", key="pay")

    def take(self, amount: int) -> int:
        if self.ctx.name.startswith("shut"):
            raise ActorError("it is shut", code="shut", status=409)
        return self._add(amount)

    def remind(self, seconds: float, text: str, key: str | None = None) -> str:
        return self.ctx.schedule(timedelta(seconds=seconds), "_remember", text, key=key)

    def fail_later(self, seconds: float = 0.0) -> str:
        return self.ctx.schedule(timedelta(seconds=seconds), "_fail")

    def tick(self, cron: str) -> str:
        return self.ctx.schedule(cron, "_remember", "tick", key="tick")

    def tell(self, url: str) -> str:
        return self.ctx.outbox.http("POST", url, json={"from": self.ctx.name}, then="_noted")

    def jobs(self) -> list[dict[str, Any]]:
        return [{"id": job.id, "kind": job.kind, "state": job.state, "method": job.method} for job in self.ctx.jobs()]

    def cancel(self, key: str) -> bool:
        return self.ctx.cancel(key=key)

    def notes(self) -> list[Any]:
        notes: list[Any] = self.ctx.storage.get("notes", [])
        return notes

    def _remember(self, text: str, info: Any) -> None:
        self._note([text, info.retry_count, info.missed])

    def _fail(self) -> None:
        raise ValueError("not today")

    def _noted(self, outcome: Any) -> None:
        answer = None if outcome.response is None else outcome.response.status
        error = None if outcome.error is None else outcome.error.name
        self._note([outcome.ok, outcome.result, answer, error, outcome.tries])

    def _arrived(self, outcome: Any) -> None:
        if not outcome.ok:
            raise RuntimeError(f"what was sent has not arrived: {outcome}")
        self._travel(-1)

    def _note(self, note: list[Any]) -> None:
        self.ctx.storage.put("notes", [*self.notes(), note])

    def _add(self, amount: int) -> int:
        balance: int = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return balance

    def _travel(self, by: int) -> None:
        self.ctx.storage.put("travelling", self.ctx.storage.get("travelling", 0) + by)


class Scribe(StatefulActor):
    """Publishes an answer while it comes."""

    def ask(self, url: str) -> str:
        return self.ctx.outbox.http("POST", url, json={}, stream_to="words", then="_over")

    def fetch(self, request: Request) -> Response:
        return self.ctx.subscribe(request, "words")

    def count(self) -> int:
        """How many other turns it has had."""
        number: int = self.ctx.storage.get("count", 0) + 1
        self.ctx.storage.put("count", number)
        return number

    def _over(self, outcome: Any) -> None:
        whole = outcome.response.text() if outcome.ok else ""
        self.ctx.publish("words", {"tries": outcome.tries, "events": whole.count("\n\n")}, event="over")
