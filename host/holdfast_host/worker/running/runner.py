"""Running one turn: activate if need be, call the guest, read how it went.

Runs on whichever thread has the turn and touches the turn and its sandbox only; what follows from the result is the
leader's (`executor`).
"""

from __future__ import annotations

import binascii
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import (
    ActorError,
    ActorInitError,
    ActorMethodError,
    ActorTrapError,
    HoldfastError,
    InternalError,
    LimitError,
)
from holdfast_host.core.failures import required
from holdfast_host.core.json_text import commas_of, is_json, is_nested_deeper
from holdfast_host.core.limits import KIB
from holdfast_host.sandbox.instance import Sandbox, SandboxTrap
from holdfast_host.storage.store import StoreBrokenError
from holdfast_host.wire.calls.frames import CallFlag, CallKind
from holdfast_host.wire.calls.function_bodies import unpack_pull
from holdfast_host.worker.inspection.edits import run_edit
from holdfast_host.worker.sockets.events import EventTurn
from holdfast_host.worker.turns.fetch_messages import announces_body, check_fetch_message
from holdfast_host.worker.turns.function_turns import NO_STORAGE
from holdfast_host.worker.turns.turn import COMPUTING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Store
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.turn import Turn

# What a guest may say of itself; any other name is a method that raised.
_GUEST_ERRORS: Final = frozenset(
    {
        "ActorError", "ActorPrivateMethodError", "ActorUnknownMethodError", "BadArgumentsError", "CodecError",
        "LimitError", "ActorReentrancyError", "ActorDeadlockError",
    }
)  # fmt: skip
# Plain integers: to look a member of an enumeration up costs more than to compare it.
_METHOD, _FETCH, _EDIT = int(CallKind.METHOD), int(CallKind.FETCH), int(CallKind.EDIT)
_ALARM, _FUNCTION, _BODY = int(CallKind.ALARM), int(CallKind.FUNCTION), int(CallKind.BODY)
_JOB, _SOCKET = int(CallKind.JOB), int(CallKind.SOCKET)
_WITHOUT_RESULT: Final = frozenset({_ALARM, _JOB})
_TYPED_ARGUMENTS: Final = int(CallFlag.TYPED_ARGUMENTS)
_TYPED_RESULT: Final = int(CallFlag.TYPED_RESULT)
_MESSAGE_CHARS_MAX: Final = 4_000
_CODE_CHARS_MAX: Final = 200
_COUNTED_BYTES: Final = 16 * KIB
_MEMBERS_MAX: Final = 100


class TurnRunner:
    """Runs turns; shared by all threads, keeps nothing."""

    def __init__(self, limits: Limits, output: Output, store: Store) -> None:
        self._limits = limits
        self._output = output
        self._store = store

    def run(self, turn: Turn) -> None:
        """Run it to its end and fill in `result` and `changes`, or `error`; never raises for what a guest does.

        A place that is new to this worker is looked up first.

        Raises:
            StoreBrokenError: the store could not be read, and will not be any more.
        """
        entry, trapped = turn.entry, False
        if not entry.stored.number and not entry.is_function:
            self._store.look_up(entry.stored)
        if turn.keyed is not None and turn.keyed.replay(turn):
            return
        began_s = time.thread_time()
        try:
            self._run_guest(turn)
            if turn.keyed is not None and turn.ended_by is None:
                turn.keyed.keep_receipt(turn, self._limits.receipt_s)
            if turn.ended_by is None and (turn.storage.wrote or not turn.is_call):
                turn.changes = turn.storage.take()
        except SandboxTrap as trap:
            trapped = True
            frames = entry.sandbox.frames() if entry.sandbox is not None else []
            entry.deactivate()
            if isinstance(trap.__cause__, StoreBrokenError):
                raise trap.__cause__ from None
            turn.error = ActorTrapError(f"{entry.label}: {trap.message}")
            why = (turn.ended_by or turn.error).message
            self._output.guest_trap(entry.label, turn.function, trap, why, frames, turn.log_name)
        except HoldfastError as error:
            turn.error = error
        turn.computed_s += time.thread_time() - began_s
        if turn.state is COMPUTING:
            turn.finish_running()
        turn.error = turn.ended_by or turn.error
        if turn.error is None:
            return
        if turn.ended_by is not None and not trapped:  # while it waited; its guest has told the rest, or nothing
            self._output.guest_line(entry.label, turn.function, "error", turn.ended_by.message, turn.log_name)
        turn.error.__traceback__ = None  # it would hold the turn, its arguments too, until a collection
        turn.changes = None
        if turn.storage.wrote or turn.broken is not None:
            entry.deactivate()
        if isinstance(turn, EventTurn):
            turn.failed()

    def _run_guest(self, turn: Turn) -> None:
        entry, request = turn.entry, turn.request
        kind = request.kind
        if kind == _EDIT:
            turn.result = run_edit(turn)
            return
        if kind == _SOCKET:
            self._run_event(turn)
            return
        sandbox = entry.sandbox
        if sandbox is None:
            sandbox = self._activate(turn, required(turn.loaded, "what a turn runs"))
        if kind == _METHOD:
            flags = request.flags
            ok, text = sandbox.call(
                turn, request.method, request.body, flags & _TYPED_ARGUMENTS != 0, flags & _TYPED_RESULT != 0
            )
        elif kind == _ALARM:
            ok, text = sandbox.alarm(turn, request.body)
        elif kind == _JOB:
            ok, text = self._run_job(turn, sandbox)
        elif kind == _BODY:
            ok, text = sandbox.body(turn, unpack_pull(request.body)[1])
        else:
            ok, text = sandbox.fetch(turn, request.body)
        if not ok:
            raise self._guest_error(turn, text)
        if kind not in _WITHOUT_RESULT:
            turn.result = self._check_result(turn, text)

    def _run_event(self, turn: Turn) -> None:
        """An event of a socket, where it is still one: else no activation is made for it."""
        if not isinstance(turn, EventTurn):
            raise InternalError("an event of a socket in another turn than its own")
        if turn.prepare():
            sandbox = turn.entry.sandbox or self._activate(turn, required(turn.loaded, "what a turn runs"))
            ok, text = sandbox.socket(turn, *turn.texts())
            if not ok:
                raise self._guest_error(turn, text)

    def _run_job(self, turn: Turn, sandbox: Sandbox) -> tuple[bool, bytes]:
        """A job of an instance, or a time of the function: which has no storage, though the host keeps some for it."""
        if not required(turn.loaded, "what a turn runs").is_triggers:
            return sandbox.job(turn, turn.request.body)
        with _without_storage(turn):
            return sandbox.scheduled(turn, turn.request.body)

    def _activate(self, turn: Turn, loaded: LoadedType) -> Sandbox:
        """A fresh sandbox whose constructor has run; its writes are the turn's. A function has none, and no storage."""
        entry = turn.entry
        turn.started_cold = True
        sandbox = Sandbox.create(loaded.component, turn, memory_bytes_max=loaded.memory_bytes_max)
        entry.sandbox, entry.loaded = sandbox, loaded
        if loaded.is_triggers:
            with _without_storage(turn):
                ok, text = sandbox.activate(turn, "", b"", loaded.environment)
        else:
            ok, text = sandbox.activate(turn, loaded.type, entry.stored.name, loaded.environment)
        if ok:
            return sandbox
        error = self._guest_error(turn, text)
        entry.deactivate()
        if isinstance(error, ActorMethodError):
            error = ActorInitError(error.message, code=error.code)
        raise error

    def _check_result(self, turn: Turn, text: bytes) -> bytes:
        """The result as the caller will read it."""
        if turn.request.kind == _BODY:
            return self._read_piece(turn, text)
        if turn.request.kind == _FETCH:
            check_fetch_message(text, self._limits, f"{turn.label}: a response")
            if announces_body(text):
                raise ActorMethodError(f"{turn.label} answered with a body in pieces, which only a function can")
            return text  # the calling guest takes it apart
        is_function = turn.request.kind == _FUNCTION
        limit = self._limits.fetch_message_bytes_max if is_function else self._limits.result_bytes_max
        if len(text) > limit:
            raise LimitError(f"{turn.label} returned {len(text)} bytes, the limit of a result is {limit} bytes")
        if is_function:
            return text  # the front takes it apart
        nesting_max = self._limits.nesting_max
        if is_nested_deeper(text, nesting_max):
            raise LimitError(f"{turn.label} returned what is nested deeper than the limit of {nesting_max}")
        if not is_json(text):
            raise ActorTrapError(f"{turn.label} returned what is not JSON")
        return text

    def _read_piece(self, turn: Turn, text: bytes) -> bytes:
        """A piece of a response's body."""
        limit = self._limits.stream_piece_bytes_max
        if len(text) > (limit + 2) // 3 * 4:
            raise turn.told(LimitError(f"a piece of over {limit} bytes of the body of a response: that is the limit"))
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise turn.told(ActorMethodError("a piece of the body of a response is no base64")) from None

    def _guest_error(self, turn: Turn, text: bytes) -> HoldfastError:
        """The guest's own account of why it failed, as far as it may say so."""
        limit = self._limits.result_bytes_max
        if len(text) > limit:  # unread: a parser would hold up the whole worker
            return LimitError(
                f"{turn.entry.label} failed with an error of {len(text)} bytes, the limit is {limit} bytes"
            )
        facts = _parse(text)
        if facts.get("drop") is True:
            turn.entry.deactivate()  # it says itself that it cannot go on: its memory is full
        name, message, code = facts.get("name"), facts.get("message"), facts.get("code")
        message = message[:_MESSAGE_CHARS_MAX] if isinstance(message, str) else "the guest gave no message"
        code = code[:_CODE_CHARS_MAX] if isinstance(code, str) else None
        traceback = facts.get("traceback")
        if isinstance(traceback, str) and traceback:
            self._output.guest_traceback(turn.entry.label, turn.function, traceback, turn.log_name)
        if name == "ActorError":
            status = facts.get("status")
            good = isinstance(status, int) and 400 <= status <= 499
            return ActorError(message, code=code, status=status if good else 400)
        known = HoldfastError.named(name) if isinstance(name, str) and name in _GUEST_ERRORS else None
        # Unreadable arguments are the caller's mistake, an unreadable value in storage or result is not.
        status = 400 if name == "CodecError" and facts.get("status") == 400 else None
        return turn.told((known or ActorMethodError)(message, code=code, status=status))


@contextmanager
def _without_storage(turn: Turn) -> Iterator[None]:
    """While a function's own code runs, where the host keeps something for it as for an instance."""
    own, turn.storage = turn.storage, NO_STORAGE
    try:
        yield
    finally:
        turn.storage = own


def _parse(text: bytes) -> dict[str, Any]:
    if len(text) > _COUNTED_BYTES and commas_of(text) > _MEMBERS_MAX:
        return {}  # it is no error's text, and to read it would hold up the whole worker
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
