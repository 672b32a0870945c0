"""The imports of `wit/` in memory, so that a guest runs in plain Python."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from holdfast import StatefulActor
from holdfast._describe import Component
from holdfast._exports import Guest
from holdfast._host_imports import Err, HostImports
from holdfast._log_capture import Output


def refusal(name: str, message: str, **more: Any) -> Err:
    return Err(json.dumps({"name": name, "message": message, **more}))


@dataclass
class MemoryStorage:
    """Storage that also keeps the order of what was asked of it."""

    values: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    page_entries_max: int = 1000
    put_fails_at: str | None = None
    saved: list[dict[str, str]] = field(default_factory=list)

    def get(self, key: str) -> str:
        self.reads.append(key)
        return self.values.get(key, "")

    def get_many(self, keys: str) -> str:
        return json.dumps([[key, json.loads(self.values[key])] for key in json.loads(keys) if key in self.values])

    def put(self, key: str, value: str) -> None:
        if key == self.put_fails_at:
            raise refusal("LimitError", f"value of {key} exceeds the limit")
        self.values[key] = value

    def delete(self, key: str) -> bool:
        return self.values.pop(key, None) is not None

    def list(
        self, prefix: str, start: str | None, start_after: str | None, end: str | None, reverse: bool, limit: int
    ) -> str:
        self.events.append(f"list {limit}")
        keys = sorted(self.values, key=str.encode, reverse=reverse)
        keys = [key for key in keys if key.startswith(prefix)]
        keys = [key for key in keys if start is None or key.encode() >= start.encode()]
        keys = [key for key in keys if start_after is None or key.encode() > start_after.encode()]
        keys = [key for key in keys if end is None or key.encode() < end.encode()]
        page = keys[: min(limit, self.page_entries_max)]
        facts: dict[str, Any] = {"entries": [[key, json.loads(self.values[key])] for key in page]}
        if len(page) < min(limit, len(keys)):
            facts["next"] = keys[len(page)]
        return json.dumps(facts)

    def delete_all(self) -> None:
        self.values.clear()

    def open_savepoint(self) -> int:
        self.savepoint()
        return len(self.saved)

    def release_savepoint(self, savepoint: int) -> None:
        assert savepoint <= len(self.saved)
        while len(self.saved) >= savepoint:
            self.release()

    def rollback_savepoint(self, savepoint: int) -> None:
        assert savepoint <= len(self.saved)
        while len(self.saved) >= savepoint:
            self.rollback()

    def savepoint(self) -> None:
        self.events.append("savepoint")
        self.saved.append(dict(self.values))

    def release(self) -> None:
        self.events.append("release")
        self.saved.pop()

    def rollback(self) -> None:
        self.events.append("rollback")
        self.values = self.saved.pop()

    def sync(self) -> None:
        self.events.append("sync")


@dataclass
class MemoryAlarms:
    due_us: int = -1
    supported: bool = True

    def _check(self) -> None:
        if not self.supported:
            raise refusal("UnsupportedError", "this host has no alarms yet")

    def set(self, due_us: int) -> None:
        self._check()
        self.due_us = due_us

    def get(self) -> int:
        self._check()
        return self.due_us

    def delete(self) -> None:
        self._check()
        self.due_us = -1


@dataclass
class MemoryCalls:
    """Answers each call with `answer`, and keeps what was asked."""

    answer: str | Err = "null"
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    asked_under: str = ""

    def _reply(self) -> str:
        if isinstance(self.answer, Err):
            raise self.answer
        return self.answer

    def call(self, binding: str, name: str, method: str, arguments: str) -> str:
        self.asked.append((binding, name, method, arguments))
        return self._reply()

    def call_once(self, binding: str, name: str, method: str, arguments: str, key: str) -> str:
        self.asked.append((binding, name, f"{method} once {key}", arguments))
        return self._reply()

    def call_many(self, calls: str) -> str:
        self.asked.append(("", "", "many", calls))
        return self._reply()

    def key(self) -> str:
        return self.asked_under

    def fetch(self, binding: str, name: str, request: str) -> str:
        self.asked.append((binding, name, "fetch", request))
        return self._reply()


@dataclass
class MemoryHttp:
    """Answers each request with `answer`, and keeps what was asked."""

    answer: str | Err = '{"status":200}'
    asked: list[str] = field(default_factory=list)

    def request(self, request: str) -> str:
        self.asked.append(request)
        if isinstance(self.answer, Err):
            raise self.answer
        return self.answer

    open = request

    def read(self, stream: str, bytes_max: int) -> str:
        return ""


@dataclass
class MemoryJobs:
    """Gives each job a number for its id, and keeps what was asked; `refusal` is what every function ends with."""

    refusal: Err | None = None
    page: str = '{"jobs":[],"next":""}'
    asked: list[str] = field(default_factory=list)

    def put(self, job: str) -> str:
        self._ask(job)
        return f"{len(self.asked):032x}"

    def list(self, after: str, limit: int) -> str:
        self._ask(f"list {after} {limit}")
        return self.page

    def cancel(self, by: str) -> bool:
        self._ask(f"cancel {by}")
        return True

    def _ask(self, what: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(what)


@dataclass
class MemorySockets:
    """Lists `sockets`, and keeps what was asked; `refusal` is what every function ends with."""

    refusal: Err | None = None
    sockets: builtins.list[dict[str, Any]] = field(default_factory=builtins.list)
    asked: builtins.list[tuple[Any, ...]] = field(default_factory=builtins.list)

    def accept(self, socket: str, options: str) -> None:
        self._ask("accept", socket, json.loads(options))

    def list(self, tag: str | None, after: str, limit: int) -> str:
        """Two at a time, so that pages are gone through."""
        self._ask("list", tag, after, limit)
        left = [each for each in self.sockets if each["id"] > after and (tag is None or tag in each["tags"])]
        page: dict[str, Any] = {"sockets": left[: min(limit, 2)]}
        return json.dumps({**page, "next": left[1]["id"]} if len(left) > 2 else page)

    def count(self, tag: str | None) -> int:
        self._ask("count", tag)
        return sum(tag is None or tag in each["tags"] for each in self.sockets)

    def send(self, to: str, message: str, options: str) -> None:
        self._ask("send", json.loads(to), message, json.loads(options))

    def attach(self, socket: str, value: str) -> None:
        self._ask("attach", socket, json.loads(value))

    def close(self, to: str, code: int, reason: str) -> None:
        self._ask("close", json.loads(to), code, reason)

    def auto_response(self, text: str, answer: str) -> None:
        self._ask("auto_response", text, answer)

    def _ask(self, *what: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(what)


@dataclass
class MemoryLog:
    lines: list[tuple[str, str]] = field(default_factory=list)

    def write(self, level: str, text: str) -> None:
        self.lines.append((level, text))


def host_imports() -> HostImports:
    """Imports that nobody looks at."""
    return HostImports(
        MemoryStorage(),
        MemoryAlarms(),
        MemoryCalls(),
        MemoryLog(),
        MemoryHttp(),
        MemoryJobs(),
        MemorySockets(),
    )


class Hosted:
    """One activation of an actor class, called as the host would."""

    def __init__(self, *actors: type[StatefulActor], name: str = "alice", **environment: Any) -> None:
        self.storage, self.alarms, self.calls, self.log = MemoryStorage(), MemoryAlarms(), MemoryCalls(), MemoryLog()
        module = ModuleType("app")
        vars(module).update({actor.__name__: actor for actor in actors})
        self.component = Component.of_module(module)
        self.http, self.jobs, self.sockets = MemoryHttp(), MemoryJobs(), MemorySockets()
        imports = HostImports(self.storage, self.alarms, self.calls, self.log, self.http, self.jobs, self.sockets)
        self.output = Output()
        self.output.connect(self.log)
        self.guest = Guest(self.component, imports, self.output)
        facts = {"bindings": {}, "variables": {}, **environment}
        self.guest.activate(actors[0].__name__, name, json.dumps(facts))

    def call(self, method: str, arguments: str = "", *, typed_arguments: bool = False, typed: bool = False) -> Any:
        """The result, read back from its JSON."""
        return json.loads(self.guest.call(method, arguments, typed_arguments, typed))

    def error(self, method: str, arguments: str = "", *, typed_arguments: bool = False) -> dict[str, Any]:
        """The error that the call must end with, its traceback apart."""
        try:
            result = self.guest.call(method, arguments, typed_arguments, False)
        except Err as error:
            facts: dict[str, Any] = json.loads(error.value)
            return facts
        raise AssertionError(f"{method} returned {result}")
