"""Running the SDK once while a component is built, so that its sandboxes begin warm.

Python rewrites code as it runs: instructions specialise, caches fill. Done here, against imports that only pretend, all
of that is part of the component and shared by its sandboxes; done in each sandbox it would cost time and a private copy
of every page that it touches. The author's own code is not run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from holdfast._actor import StatefulActor
from holdfast._describe import Component
from holdfast._env import Env
from holdfast._exports import Guest
from holdfast._host_imports import HostImports
from holdfast._http import Request, Response
from holdfast._log_capture import Output
from holdfast._sockets import Socket

ROUNDS: Final = 50  # specialisation sets in after a few, and gives up a wrong guess after a few more


class _Sample(StatefulActor):
    """What actors usually do."""

    def deposit(self, amount: int) -> dict[str, Any]:
        total = self.ctx.storage.get("total", 0) + amount
        self.ctx.storage.put("total", total)
        return {"total": total}

    def total(self) -> dict[str, Any]:
        return {"total": self.ctx.storage.get("total", 0)}

    def note(self, key: str, text: str) -> None:
        self.ctx.storage.put(key, {"text": text, "tags": [text], "n": 1.5})
        self.ctx.storage.list(prefix=key, limit=10)
        self.ctx.storage.delete(key)

    def socket_message(self, ws: Socket, message: str | bytes) -> None:
        ws.send(f"{ws.attachment['user']}: {message!r}")
        self.ctx.broadcast(message)


class _PretendedStorage:
    """The storage import, over a dict."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str) -> str:
        return self._values.get(key, "")

    def put(self, key: str, value: str) -> None:
        self._values[key] = value

    def delete(self, key: str) -> bool:
        return self._values.pop(key, None) is not None

    def list(self, *_: object) -> str:
        return '{"entries":[["note",{"text":"x"}]]}'


class _PretendedCalls:
    """The calls import: every actor answers the same."""

    def call(self, *_: str) -> str:
        return '{"total":5}'


class _PretendedSockets:
    """The sockets import: whatever is sent arrives."""

    def send(self, *_: str) -> None:
        return None


def _fetch(request: Request, env: Env) -> Response:
    """What functions usually do."""
    sample = env.SAMPLE.id_from_name(request.path.rpartition("/")[2])
    return Response.json(
        sample.deposit(request.json()["amount"]), headers={"X-Host": request.headers.get("host") or ""}
    )


_JOB = '{"id":"00","kind":"run","method":"deposit","missed":0,"scheduled_us":0,"retry_count":0,"arguments":[5]}'
_EVENT = (
    '{"event":"message","socket":{"id":"0000000100000001","tags":["user:a"],"opened_us":1790000000000000,'
    '"events":false,"attachment":{"user":"a"}}}'
)


def warm_up(host: HostImports) -> None:
    """Activate and call a sample actor, and a sample function, often enough."""
    storage: Any = _PretendedStorage()
    calls_import: Any = _PretendedCalls()
    sockets: Any = _PretendedSockets()
    component = Component({"_Sample": _Sample}, _fetch)
    imports = HostImports(storage, host.alarms, calls_import, host.log, host.http, host.jobs, sockets)
    function = Guest(component, imports, Output())
    request = '{"method":"POST","url":"http://a.localhost/b?c=d","headers":[["Host","a"]],"body":"{\\"amount\\":5}"}'
    facts = {"bindings": {"SAMPLE": "_Sample"}, "variables": {"NAME": "text"}}
    environments = [json.dumps({**facts, "check_arguments": checked}) for checked in (True, False)]
    for round_ in range(ROUNDS):
        guest = Guest(component, imports, Output())
        guest.activate("_Sample", "sample", environments[round_ % 2])
        calls: tuple[tuple[str, str], ...] = (
            ("deposit", '{"amount":5}'),
            ("deposit", "[5]"),
            ("total", ""),
            ("note", '{"key":"note","text":"x"}'),
        )
        call: Callable[[str, str, bool, bool], str] = guest.call
        for method, arguments in calls:
            call(method, arguments, False, round_ % 8 == 0)
        guest.job(_JOB)
        guest.socket(_EVENT, "hello")
        if not round_:
            function.activate("", "", environments[0])
        function.fetch(request)
