"""Running turns: activate if need be, call the actor's code, commit or discard, drop the activation where it must be.

One turn at a time, on the caller's thread; a turn that calls another instance nests. Nothing here knows who called.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from holdfast._actor import StatefulActor
from holdfast._describe import Component
from holdfast._errors import PASSED_THROUGH
from holdfast._exports import Guest
from holdfast._host_imports import Err, facts_of
from holdfast._methods import handlers_of
from holdfast._outbound import use_import
from holdfast.testing._checks import Checks
from holdfast.testing._clock import ManualClock
from holdfast.testing._failures import RefusedError, failure_of_constructor, failure_of_dead_host, failure_of_guest
from holdfast.testing._idempotency import RECEIPT_US, KeyedCall, Receipt, kept_result
from holdfast.testing._jobs.imports import MadeJobs
from holdfast.testing._limits import Limits
from holdfast.testing._outbound import Outbound, OutgoingHttp
from holdfast.testing._patched_python import Surroundings
from holdfast.testing._records import Changes, LogLine, Record
from holdfast.testing._sandbox import OutgoingCalls, Sandbox
from holdfast.testing._sockets.imports import UsedSockets
from holdfast.testing._sockets.network import Network
from holdfast.testing._turn import CallOut, Turn

KEYED_REPEATS_MAX: Final = 2
_SERVICE_RESTART: Final = 1012

_Result = TypeVar("_Result")  # what a turn returns: nothing where it is an alarm's


class Runner:
    """The instances of one host and the turns that run. Lives as long as the host; one thread at a time."""

    def __init__(
        self,
        component: Component,
        name: str,
        bindings: Mapping[str, str],
        variables: Mapping[str, str],
        clock: ManualClock,
        limits: Limits,
        outbound: Outbound,
        *,
        check_arguments: bool = False,
    ) -> None:
        """`name` is the function's."""
        self.limits = limits
        self._outbound = outbound
        self._http = OutgoingHttp(outbound, self._running, limits)
        self._jobs = MadeJobs(self._running, self.target, lambda: clock.now_us, limits)
        self.network = Network(self)
        self._sockets = UsedSockets(self._running, self.network, lambda: clock.now_us, limits)
        self.component = component
        self.checks = Checks(component, limits)
        self.records: dict[tuple[str, str], Record] = {}
        self.lines: list[LogLine] = []
        self.lock = threading.RLock()
        self._clock = clock
        self._name = name
        self.function_label = f"fn {name}"
        self._bindings = bindings
        environment = {"bindings": dict(bindings), "variables": dict(variables), "check_arguments": check_arguments}
        self._environment = json.dumps(environment)
        self._surroundings = Surroundings(clock, frozenset(_modules_of(component)))
        self._stack: list[Turn] = []
        self.function_sandbox: Sandbox | None = None
        self.crashes = 0
        self.host_crashes = 0  # those of the whole host: sockets, and answers that stream, end with it
        self._writes_until_crash = 0
        self._commits_until_crash = 0

    @property
    def is_running(self) -> bool:
        """True inside a turn."""
        return bool(self._stack)

    def record(self, actor_type: str, name: str) -> Record:
        """The instance of that name, made on the way if nobody has asked for it yet."""
        if actor_type not in self.component.actors:
            text = f"no deployed function owns the actor type {actor_type[:64]!r}"
            near = get_close_matches(actor_type[:64], sorted(self.component.actors), 1)
            raise RefusedError("UnknownActorTypeError", text + (f": did you mean {near[0]!r}?" if near else ""))
        key = (actor_type, name)
        if key not in self.records:
            self.records[key] = Record(actor_type, name)
        return self.records[key]

    def _running(self) -> Turn:
        if not self._stack:
            raise RuntimeError("what an actor asks of its host belongs to its turns, and none is running")
        return self._stack[-1]

    # Turns.

    def call(
        self,
        record: Record,
        method: str,
        arguments: str,
        *,
        typed_arguments: bool = True,
        typed_result: bool = True,
        left_s: float | None = None,
        key: str = "",
        scope: str = "",
    ) -> tuple[str, bool]:
        """Run a method, under an idempotency key or none; its result as text and whether it was kept, or RefusedError.

        Keys of another scope are other keys.

        A call with a key whose host dies is made again by the host itself, as by a real one: its receipt decides.
        """
        self.checks.method(record.actor_type, method)
        keyed = KeyedCall(scope + key, (method, arguments, typed_arguments, typed_result))
        repeats = KEYED_REPEATS_MAX if key else 0
        while True:
            crashes = self.crashes
            if key and (kept := kept_result(record.receipts, keyed, record.label, self._clock.now_us)) is not None:
                return kept, True
            budget_s = _least(self.limits.method_timeout_s, left_s)
            try:
                result = self.run(
                    Turn(self, record, record.label, budget_s=budget_s, key=key),
                    lambda guest: guest.call(method, arguments, typed_arguments, typed_result),
                    lambda text: self.checks.result(f"{record.label}.{method}", text),
                    keyed if key else None,
                )
            except RefusedError:
                if not repeats or crashes == self.crashes or self._stack:
                    raise
                repeats -= 1
            else:
                return result, False

    def fetch(self, record: Record, request: str, *, left_s: float | None = None, offer: str = "") -> str:
        """Run the fetch handler of an instance, which may accept the socket `offer`."""
        if "fetch" not in handlers_of(self.component.actors[record.actor_type]):
            raise RefusedError("ActorUnknownMethodError", f"{record.actor_type} has no fetch handler")
        timeout_s = self.limits.fetch_timeout_s
        budget_s, late = _least(timeout_s, left_s), "ActorFetchTimeoutError"
        turn = Turn(self, record, record.label, budget_s=budget_s, timeout_name=late)
        turn.offer = offer
        return self.run(
            turn,
            lambda guest: guest.fetch(request),
            lambda text: self.checks.body(f"{record.label}.fetch: a response", text),
        )

    def handles(self, record: Record, handler: str) -> bool:
        """Whether the class of an instance has a handler."""
        return handler in handlers_of(self.component.actors[record.actor_type])

    def socket(self, record: Record, event: str, message: str, *, ends: str = "") -> None:
        """Run the handler of an event of a socket; the socket `ends` is removed with what it writes."""
        turn = Turn(self, record, record.label, budget_s=self.limits.method_timeout_s)
        turn.overlay.end_socket(ends)
        self.run(turn, lambda guest: guest.socket(event, message))

    def commit(self, record: Record, changes: Changes) -> None:
        """Make durable what a turn has changed, and let out what it has sent."""
        record.commit(changes)
        self.network.leave(changes.sends)

    def edit(self, record: Record, change: Callable[[Turn], Any]) -> Any:
        """Change what is stored, as a turn without the actor's code; its activation is dropped."""
        turn = Turn(self, record, record.label, budget_s=self.limits.method_timeout_s)
        with self._entered(turn):
            until_crash, self._writes_until_crash = self._writes_until_crash, 0  # the test's own writes do not count
            try:
                result = change(turn)
            finally:
                self._writes_until_crash = until_crash
            if turn.wrote:
                self.commit(record, turn.overlay.take_all())
                record.deactivate()
        self.network.settle()
        return result

    # Dying.

    def crash_after_writes(self, count: int) -> None:
        """Die as if killed at that write from now on."""
        self._writes_until_crash = count

    def crash_after_commits(self, count: int) -> None:
        """Die as if killed between that commit from now on and its answer."""
        self._commits_until_crash = count

    def crash(self, *, whole: bool = True) -> None:
        """Die as if killed: nothing of running turns commits, no activation is left."""
        self.crashes += 1
        self.host_crashes += whole
        self._writes_until_crash = self._commits_until_crash = 0
        for turn in self._stack:
            turn.ended_by = turn.ended_by or failure_of_dead_host(turn.label, left=turn.left)
        for record in self.records.values():
            record.deactivate()
        self.function_sandbox = None
        if whole:
            self.network.break_all(_SERVICE_RESTART)

    def count_write(self) -> None:
        """One more write; the one to crash at ends the turn."""
        if self._writes_until_crash:
            self._writes_until_crash -= 1
            if not self._writes_until_crash:
                self.crash()
                turn = self._stack[-1]
                turn.end(failure_of_dead_host(turn.label, left=turn.left))

    # Inside.

    def run(
        self,
        turn: Turn,
        run: Callable[[Guest], _Result],
        check: Callable[[_Result], None] | None = None,
        keyed: KeyedCall | None = None,
    ) -> _Result:
        """Run a turn to its end; its result, or RefusedError and nothing of it is there."""
        record = turn.record
        with self._entered(turn):
            try:
                result = self._run_guest(turn, run)
                if check is not None:
                    check(result)
                turn.check_ended()
            except RefusedError:
                turn.goes_on = False
                if turn.wrote or turn.ended_by is not None:
                    self._keep(turn, None)
                turn.check_ended()
                raise
            if record is not None:
                self._commit(turn, record, keyed, result)
        self.network.settle()
        return result

    def _commit(self, turn: Turn, record: Record, keyed: KeyedCall | None, result: object) -> None:
        changes = turn.overlay.take_all()
        self.commit(record, changes)
        if keyed is not None and (changes or changes.sends or turn.left):
            record.receipts[keyed.key] = Receipt(keyed.says, str(result), self._clock.now_us + RECEIPT_US)
        if changes and self._commits_until_crash:
            self._commits_until_crash -= 1
            if not self._commits_until_crash:
                self.crash()
                text = f"{turn.label}: the host died; what the call wrote is committed, its result is lost"
                raise RefusedError("ActorOutputGateError", text)

    def _run_guest(self, turn: Turn, run: Callable[[Guest], _Result]) -> _Result:
        sandbox = self.function_sandbox if turn.record is None else turn.record.sandbox
        fresh = sandbox is None
        if sandbox is None:
            sandbox = Sandbox(
                self.component, OutgoingCalls(self._call_out, self._fetch_out), self._http, self._jobs, self._sockets
            )
            self._keep(turn, sandbox)
        sandbox.turn = turn
        try:
            with self._surroundings.of(sandbox.output):
                if fresh:
                    self._activate(turn, sandbox)
                return run(sandbox.guest)
        except Err as error:
            raise self._failure(turn, error) from None
        finally:
            sandbox.turn = None

    def _activate(self, turn: Turn, sandbox: Sandbox) -> None:
        record = turn.record
        try:
            sandbox.activate(
                "" if record is None else record.actor_type, "" if record is None else record.name, self._environment
            )
        except Err as error:
            self._keep(turn, None)
            raise failure_of_constructor(self._failure(turn, error)) from None

    def _keep(self, turn: Turn, sandbox: Sandbox | None) -> None:
        if turn.record is None:
            self.function_sandbox = sandbox
        else:
            turn.record.sandbox = sandbox

    def _failure(self, turn: Turn, error: Err) -> RefusedError:
        facts = facts_of(error)
        failure, trace = failure_of_guest(facts)
        if facts.get("drop"):
            self._keep(turn, None)  # its memory is full: what is left of it would fill the next turn's
        if trace and turn.ended_by is None:
            self.write_log(turn.label, "error", trace)
        if turn.record is None and failure.name not in PASSED_THROUGH:
            # Who asks a function is a stranger: only what was meant for callers leaves.
            self.write_log(turn.label, "error", f"{failure.name}: {failure.message}")
            return RefusedError("ActorMethodError", f"the function {self._name!r} failed: its log says why")
        return failure

    # Calls between actors.

    def _call_out(self, turn: Turn, binding: str, name: str, method: str, arguments: str, key: str) -> str:
        def run(record: Record, left_s: float) -> str:
            return self.call(record, method, arguments, left_s=left_s, key=key)[0]

        self.checks.arguments(turn.label, arguments)
        return turn.call_out(binding, name, run)

    def _fetch_out(self, turn: Turn, binding: str, name: str, request: str) -> str:
        def run(record: Record, left_s: float) -> str:
            return self.fetch(record, request, left_s=left_s, offer=turn.offer)

        self.checks.body(f"{turn.label}: a request of fetch", request)
        return turn.call_out(binding, name, run)

    def target(self, caller: str, binding: str, name: str) -> Record:
        """Whom a binding and a name mean; RefusedError, which names the caller, where that is nobody."""
        actor_type = self._bindings.get(binding)
        if actor_type is None:
            known = ", ".join(sorted(self._bindings)) or "none"
            raise RefusedError("UnknownBindingError", f"{caller}: no binding {binding!r}; there are: {known}")
        if actor_type not in self.component.actors:
            text = f"the binding {binding} leads to the actor type {actor_type}, which no deployed function owns"
            raise RefusedError("UnknownActorTypeError", f"{caller}: {text}: deploy its owner")
        return self.record(actor_type, name)

    def call_out(self, turn: Turn, binding: str, name: str, run: CallOut) -> str:
        """Find what a turn's call is for, refuse what cannot work, and run it."""
        record = self.target(turn.label, binding, name)
        path = [each.label for each in self._stack if each.record is not None]
        spelled = " -> ".join((*path, record.label))
        if record.label in path:
            text = f"{spelled}: {record.label} waits for this call and cannot run it"
            raise RefusedError("ActorReentrancyError", text)
        limit = self.limits.call_depth_max
        if len(path) > limit:
            raise RefusedError("LimitError", f"{spelled}: calls nest {len(path)} deep, the limit is {limit}")
        turn.left = True
        return run(record, turn.left_s)

    # Output.

    def write_log(self, label: str, level: str, text: str) -> None:
        """Keep one line, and show it."""
        self.lines.append(LogLine(label, level, text))
        self._surroundings.show(f"[{label}] {level}: {text}")

    @contextmanager
    def _entered(self, turn: Turn) -> Iterator[None]:
        with self.lock:
            self._stack.append(turn)
            http = use_import(self._http)
            try:
                yield
            finally:
                if not turn.goes_on:
                    turn.close_streams()
                use_import(http)
                self._stack.pop()
                if not self._stack:
                    self._outbound._raise_unanswered()  # noqa: SLF001  (no method for tests)


def _least(timeout_s: float, left_s: float | None) -> float:
    return timeout_s if left_s is None else min(timeout_s, max(left_s, 0.0))


def _modules_of(component: Component) -> Iterator[str]:
    for actor in component.actors.values():
        yield from (each.__module__ for each in actor.__mro__ if each not in (StatefulActor, object))
    for handler in (component.fetch, component.scheduled):
        if handler is not None:
            yield getattr(handler, "__module__", "")
