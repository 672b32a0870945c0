"""One activation: the SDK's own guest code, with imports that lead to the turn that runs.

This is the same code that runs inside a component; only what stands behind the imports of `wit/` is another.
"""

from __future__ import annotations

import builtins
import functools
import json
import random
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from holdfast._describe import Component
from holdfast._exports import Guest
from holdfast._host_imports import Err, HostImports, HttpImport, JobsImport, SocketsImport
from holdfast._log_capture import Output
from holdfast.testing._failures import RefusedError
from holdfast.testing._idempotency import checked_key
from holdfast.testing._overlay import Overlay
from holdfast.testing._turn import Turn

P = ParamSpec("P")
R = TypeVar("R")

CALLS_AT_ONCE_MAX: Final = 64
CALLS_TEXT_BYTES_MAX: Final = 4 << 20  # of all calls made at once, and of all their results
_NO_ALARM: Final = -1


class Sandbox:
    """An activation in memory. Lives until it is evicted, or a turn that had written fails.

    Attributes:
        guest: The exports.
        output: Where its `print()` and `logging` go while it runs.
        turn: The turn that runs; None between two.
    """

    def __init__(
        self, component: Component, calls: OutgoingCalls, http: HttpImport, jobs: JobsImport, sockets: SocketsImport
    ) -> None:
        self.turn: Turn | None = None
        self.output = Output()
        calls.use(self)
        log = _Log(self)
        self.output.connect(log)
        imports = HostImports(
            _Storage(self), _Alarms(self), calls, log, http, jobs, sockets, sees_each_read=True
        )  # `entered` ends them
        self.guest = Guest(component, imports, self.output)

    def activate(self, actor_type: str, name: str, environment: str) -> None:
        """Make the instance; Err where its constructor fails."""
        # A real sandbox has random numbers of its own: leave those of the test where they are.
        state = random.getstate()
        try:
            self.guest.activate(actor_type, name, environment)
        finally:
            random.setstate(state)

    def running(self) -> Turn:
        """The turn that runs."""
        if self.turn is None:
            raise RuntimeError("storage, calls and output of an actor belong to its turns, and none is running")
        return self.turn

    def entered(self) -> Overlay:
        """The storage of the turn that runs, with this call counted."""
        turn = self.running()
        turn.host_call()
        return turn.overlay


def served(function: Callable[P, R]) -> Callable[P, R]:
    """An import: what the host refuses leaves it as the error that the contract has for that."""

    @functools.wraps(function)
    def serve(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RefusedError as failure:
            raise Err(failure.wire()) from None

    return serve


class _Storage:
    """`holdfast:actor/storage`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @served
    def get(self, key: str) -> str:
        return self._sandbox.entered().get(key.encode()) or ""

    @served
    def get_many(self, keys: str) -> str:
        asked: builtins.list[str] = json.loads(keys)
        return _page_text(self._sandbox.entered().get_many([key.encode() for key in asked]))

    @served
    def put(self, key: str, value: str) -> None:
        self._sandbox.entered().put(key.encode(), value)

    @served
    def delete(self, key: str) -> bool:
        return self._sandbox.entered().delete(key.encode())

    @served
    def list(
        self, prefix: str, start: str | None, start_after: str | None, end: str | None, reverse: bool, limit: int
    ) -> str:
        pairs, following = self._sandbox.entered().page(
            prefix.encode(), _bound(start), _bound(start_after), _bound(end), reverse, limit
        )
        following_text = "" if following is None else f',"next":{json.dumps(following.decode())}'
        return f'{{"entries":{_page_text(pairs)}{following_text}}}'

    @served
    def delete_all(self) -> None:
        self._sandbox.entered().delete_all()

    @served
    def open_savepoint(self) -> int:
        return self._sandbox.entered().savepoint()

    @served
    def release_savepoint(self, savepoint: int) -> None:
        self._sandbox.entered().release(savepoint)

    @served
    def rollback_savepoint(self, savepoint: int) -> None:
        self._sandbox.entered().rollback(savepoint)

    @served
    def sync(self) -> None:
        self._sandbox.entered()
        self._sandbox.running().sync()


class _Alarms:
    """`holdfast:actor/alarms`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @served
    def set(self, due_us: int) -> None:
        self._sandbox.entered().set_alarm(due_us)

    @served
    def get(self) -> int:
        alarm = self._sandbox.entered().alarm()
        return _NO_ALARM if alarm is None or alarm.state == "abandoned" else alarm.due_us

    @served
    def delete(self) -> None:
        self._sandbox.entered().delete_alarm()


class OutgoingCalls:
    """`holdfast:actor/calls`, for the stubs of one activation.

    Args:
        call: `(turn, binding, name, method, arguments, key)` to the result; the key is empty for none.
        fetch: `(turn, binding, name, request)` to the response.
    """

    def __init__(
        self, call: Callable[[Turn, str, str, str, str, str], str], fetch: Callable[[Turn, str, str, str], str]
    ) -> None:
        self._call = call
        self._fetch = fetch
        self._sandbox: Sandbox | None = None

    def use(self, sandbox: Sandbox) -> None:
        """From now on calls belong to the turns of this activation."""
        self._sandbox = sandbox

    @served
    def call(self, binding: str, name: str, method: str, arguments: str) -> str:
        """Call a method of another instance."""
        return self._call(self._turn(), binding, name, method, arguments, "")

    @served
    def call_once(self, binding: str, name: str, method: str, arguments: str, key: str) -> str:
        """The same under an idempotency key."""
        return self._call(self._turn(), binding, name, method, arguments, checked_key(key))

    @served
    def call_many(self, calls: str) -> str:
        """Several calls: one after another here, where a test has one thread."""
        turn = self._turn()
        size = len(calls.encode())
        if size > CALLS_TEXT_BYTES_MAX:
            text = f"calls of {size} bytes at once, the limit is {CALLS_TEXT_BYTES_MAX} bytes: make fewer at a time"
            raise RefusedError("LimitError", text)
        wanted = json.loads(calls)
        if len(wanted) > CALLS_AT_ONCE_MAX:
            text = f"{turn.label}: {len(wanted)} calls at once, the limit is {CALLS_AT_ONCE_MAX}"
            raise RefusedError("LimitError", text)
        left_bytes = CALLS_TEXT_BYTES_MAX
        outcomes: builtins.list[str] = []
        for each in wanted:
            outcome, size = self._outcome(turn, each, left_bytes)
            left_bytes -= size
            outcomes.append(outcome)
        return f"[{','.join(outcomes)}]"

    def _outcome(self, turn: Turn, call: dict[str, Any], left_bytes: int) -> tuple[str, int]:
        """What became of a call, and how many bytes its result takes of those that are left."""
        arguments = json.dumps(call["arguments"], ensure_ascii=False) if "arguments" in call else ""
        try:
            result = self._call(turn, call["binding"], call["name"], call["method"], arguments, call.get("key", ""))
        except RefusedError as failure:
            return f'{{"error":{failure.wire()}}}', 0
        size = len(result.encode())
        if size > left_bytes:
            text = (
                f"a result of {size} bytes does not fit beside the others: the limit of all results of calls made at "
                f"once is {CALLS_TEXT_BYTES_MAX} bytes; the call was made"
            )
            return f'{{"error":{RefusedError("LimitError", text).wire()}}}', 0
        return f'{{"result":{result}}}', size

    @served
    def key(self) -> str:
        """The key that the turn runs under; empty for none."""
        return self._turn().key

    @served
    def fetch(self, binding: str, name: str, request: str) -> str:
        """Call the fetch handler of another instance."""
        return self._fetch(self._turn(), binding, name, request)

    def _turn(self) -> Turn:
        if self._sandbox is None:
            raise RuntimeError("no call can be made before the actor is activated")
        turn = self._sandbox.running()
        turn.host_call()
        return turn


class _Log:
    """`holdfast:actor/log`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def write(self, level: str, text: str) -> None:
        self._sandbox.running().log(level, text)


def _bound(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _page_text(pairs: builtins.list[tuple[bytes, str]]) -> str:
    """`[["key",value],...]`: values are JSON already."""
    return f"[{','.join(f'[{json.dumps(key.decode())},{value}]' for key, value in pairs)}]"
