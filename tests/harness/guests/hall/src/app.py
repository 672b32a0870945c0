"""A hall that notes what reaches it, and how often: sockets, messages, calls, jobs; each has a name of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from holdfast import Request, Response, StatefulActor


class Hall(StatefulActor):
    """Everything is a turn that notes a name: under a kind, how often."""

    def fetch(self, request: Request) -> Response:
        who = request.query["who"]
        accepted = self.ctx.accept_socket(request, attachment=who)
        self._note("opened", who)
        accepted.socket.send(f"welcome {self.ctx.storage.get('n', 0)}")
        return accepted

    def socket_message(self, ws: Any, message: str | bytes) -> None:
        """Number it and tell all; or only pass it on, which writes nothing."""
        assert isinstance(message, str)
        if message.startswith("pass "):
            self.ctx.broadcast(message)
            return
        number = self.ctx.storage.get("n", 0) + 1
        self.ctx.storage.put("n", number)
        self._note("heard", message)
        self.ctx.broadcast(f"{number} {message}")

    def socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self._note("closed", ws.attachment)

    def keep(self, what: str) -> int:
        return self._note("kept", what)

    def leave(self, what: str, to: str) -> int:
        """Have it run here, and taken there."""
        self.ctx.schedule(timedelta(), "_run", what)
        self.ctx.outbox.call(self.env.HALL.id_from_name(to), "take", what, then="_told")
        return self._note("left", what)

    def take(self, what: str) -> str:
        self._note("taken", what)
        return what

    def notes(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for key, count in self.ctx.storage.scan(prefix="note:"):
            _, kind, what = key.split(":")
            found.setdefault(kind, {})[what] = count
        return found

    def count(self) -> int:
        return self.ctx.count_sockets()

    def _run(self, what: str) -> None:
        self._note("run", what)

    def _told(self, outcome: Any) -> None:
        self._note("told", outcome.result if outcome.ok else f"not {outcome.id}")

    def _note(self, kind: str, what: str) -> int:
        key = f"note:{kind}:{what}"
        count: int = self.ctx.storage.get(key, 0) + 1
        self.ctx.storage.put(key, count)
        return count
