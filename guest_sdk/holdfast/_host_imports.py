"""The one door to the host: the imports of `wit/`, as componentize-py makes them available inside a component.

In plain Python there is no host. Then `HOST` is None, and whoever wants to run actors there (a test kit) hands its own
HostImports to `Guest`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from holdfast._errors import ActorCallError, CodecError, HostError, LimitError


class StorageImport(Protocol):
    """`holdfast:actor/storage`; each function raises `Err` with the error's JSON text."""

    def get(self, key: str) -> str: ...
    def get_many(self, keys: str) -> str: ...
    def put(self, key: str, value: str) -> None: ...
    def delete(self, key: str) -> bool: ...
    def list(
        self, prefix: str, start: str | None, start_after: str | None, end: str | None, reverse: bool, limit: int
    ) -> str: ...
    def delete_all(self) -> None: ...
    def open_savepoint(self) -> int: ...
    def release_savepoint(self, savepoint: int) -> None: ...
    def rollback_savepoint(self, savepoint: int) -> None: ...
    def sync(self) -> None: ...


class AlarmsImport(Protocol):
    """`holdfast:actor/alarms`."""

    def set(self, due_us: int) -> None: ...
    def get(self) -> int: ...
    def delete(self) -> None: ...


class CallsImport(Protocol):
    """`holdfast:actor/calls`."""

    def call(self, binding: str, name: str, method: str, arguments: str) -> str: ...
    def call_once(self, binding: str, name: str, method: str, arguments: str, key: str) -> str: ...
    def call_many(self, calls: str) -> str: ...
    def key(self) -> str: ...
    def fetch(self, binding: str, name: str, request: str) -> str: ...


class HttpImport(Protocol):
    """`holdfast:actor/http`."""

    def request(self, request: str) -> str: ...
    def open(self, request: str) -> str: ...
    def read(self, stream: str, bytes_max: int) -> str: ...


class JobsImport(Protocol):
    """`holdfast:actor/jobs`."""

    def put(self, job: str) -> str: ...
    def list(self, after: str, limit: int) -> str: ...
    def cancel(self, by: str) -> bool: ...


class SocketsImport(Protocol):
    """`holdfast:actor/sockets`."""

    def accept(self, socket: str, options: str) -> None: ...
    def list(self, tag: str | None, after: str, limit: int) -> str: ...
    def count(self, tag: str | None) -> int: ...
    def send(self, to: str, message: str, options: str) -> None: ...
    def attach(self, socket: str, value: str) -> None: ...
    def close(self, to: str, code: int, reason: str) -> None: ...
    def auto_response(self, text: str, answer: str) -> None: ...


class LogImport(Protocol):
    """`holdfast:actor/log`."""

    def write(self, level: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class HostImports:
    """All imports of one sandbox.

    `sees_each_read` is for a host that cannot look at a turn but when it calls: no value is held then.
    """

    storage: StorageImport
    alarms: AlarmsImport
    calls: CallsImport
    log: LogImport
    http: HttpImport
    jobs: JobsImport
    sockets: SocketsImport
    sees_each_read: bool = False


HOST: HostImports | None

if TYPE_CHECKING:

    class Err(Exception):  # noqa: N818  (the name that componentize-py gives it)
        """The `err` of a WIT result; only exactly this class leaves a component as an error."""

        value: str

        def __init__(self, value: str) -> None: ...

else:
    try:
        import componentize_py_types
        from componentize_py_types import Err
        from wit_world.imports import alarms, calls, http, jobs, log, sockets, storage
    except ImportError:
        HOST = None

        class Err(Exception):  # noqa: N818
            """The `err` of a WIT result."""

            def __init__(self, value: str) -> None:
                super().__init__(value)
                self.value = value

    else:
        HOST = HostImports(storage, alarms, calls, log, http, jobs, sockets)
        # componentize-py makes an Ok around every value that comes in or goes out, asks it for its `value`, and drops
        # it. Its own class is written in Python; this one has the same attribute and is made without running any.
        # It looks the class up after it has imported us.
        componentize_py_types.Ok = StopIteration


def facts_of(error: Err) -> dict[str, Any]:
    """What the host says of a call that it refused.

    The generated code holds the error in a variable of the frame that raises it, and the error holds that frame: a
    ring, with the call's arguments in it, which only the collector would find. It is cut here.
    """
    error.with_traceback(None)
    facts: dict[str, Any] = json.loads(error.value)
    return facts


def raise_refusal(error: Err) -> NoReturn:
    """Raise what the error of a storage or alarm call stands for, without the wire's own exception behind it."""
    facts = facts_of(error)
    name, message = facts["name"], facts["message"]
    if name == "LimitError":
        raise LimitError(message) from None
    if name == "CodecError":
        raise CodecError(message) from None
    raise HostError(name, message, retryable=bool(facts.get("retryable"))) from None


def raise_call_error(error: Err) -> NoReturn:
    """Raise what the error of a call stands for, without the wire's own exception behind it."""
    raise call_error(facts_of(error)) from None


def call_error(facts: dict[str, Any]) -> ActorCallError:
    """What the host says of a call that failed."""
    return ActorCallError(
        facts["name"],
        facts["message"],
        code=facts.get("code"),
        retryable=bool(facts.get("retryable")),
        status=facts.get("status"),
    )
