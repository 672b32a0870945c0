"""Turns that wait for each other in a ring, found by following who waits for whom.

A call that arrives at an instance with a running turn starts a PROBE: from that turn to the call it waits for, on to
that call's instance, and so on, over workers where need be. A probe that comes back to the call that started it has
found a ring. One CONFIRM lap asks whether every call of it is still waited for; then the latest call of the ring, the
one that closed it, is ended with ActorDeadlockError, and the others go on.

The last call of a ring to arrive finds all others waiting: none is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast_host.core.errors import ActorDeadlockError
from holdfast_host.wire.frames import Kind
from holdfast_host.wire.nested_calls import CallNumber
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast_host.worker.turns.turn import OpenCall

RING_CALLS_MAX: Final = 1_024

Step = tuple[CallNumber, str]  # a call, and the instance whose turn waits for it


class Waiting(Protocol):
    """The calls of this worker that turns wait for."""

    @property
    def waiting(self) -> Mapping[CallNumber, OpenCall]:
        """By their numbers."""


@leaders
class Deadlocks:
    """The probes that pass through one worker; keeps nothing between messages."""

    def __init__(
        self,
        worker: int,
        calls: Waiting,
        *,
        running_call: Callable[[int, bytes], OpenCall | None],
        place: Callable[[int, bytes], tuple[int, int]],
        send: Callable[[int, Kind, dict[str, Any]], None],
    ) -> None:
        """Over the worker's tables.

        Args:
            worker: our number.
            calls: what turns here wait for.
            running_call: the call that the running turn of an instance (type number, name) of this worker waits for.
            place: the worker of an instance, and its partition there.
            send: pass a message to another worker; it may be lost with that worker.
        """
        self._worker = worker
        self._calls = calls
        self._running_call = running_call
        self._place = place
        self._send = send

    def chase(self, type_id: int, name: bytes, number: CallNumber, caller: str) -> None:
        """A nested call has arrived here behind a running turn: look whether that one waits for its caller."""
        self._probe(type_id, name, [(number, caller)])

    def receive(self, kind: int, facts: dict[str, Any]) -> None:
        """A message of another worker."""
        steps: list[Step] = [(CallNumber(*number), label) for number, label in facts["steps"]]
        if kind == Kind.PROBE:
            self._probe(facts["type_id"], bytes.fromhex(facts["name"]), steps)
        elif kind == Kind.CONFIRM:
            self._confirm(steps, facts["lap"])
        else:
            self._kill(steps)

    def _probe(self, type_id: int, name: bytes, steps: list[Step]) -> None:
        while len(steps) < RING_CALLS_MAX:
            call = self._running_call(type_id, name)
            if call is None:
                return
            if call.number == steps[0][0]:
                self._confirm(steps, 0)
                return
            if any(call.number == number for number, _ in steps):
                return  # a ring that does not lead through the first call: its own calls find it
            steps = [*steps, (call.number, call.turn.entry.label)]
            type_id, name = call.type_id, call.name
            owner, _ = self._place(type_id, name)
            if owner != self._worker:
                self._send(owner, Kind.PROBE, {"type_id": type_id, "name": name.hex(), "steps": steps})
                return

    def _confirm(self, steps: list[Step], lap: int) -> None:
        """Go once around: is each call still waited for?"""
        while lap < len(steps):
            number, _ = steps[lap]
            if number.worker != self._worker:
                self._send(number.worker, Kind.CONFIRM, {"steps": steps, "lap": lap})
                return
            if number not in self._calls.waiting:
                return
            lap += 1
        self._kill(steps)

    def _kill(self, steps: list[Step]) -> None:
        """End the ring's latest call."""
        number, _ = max(steps)
        if number.worker != self._worker:
            self._send(number.worker, Kind.KILL, {"steps": steps})
            return
        call = self._calls.waiting.get(number)
        if call is not None:
            labels = [label for _, label in steps]
            at = labels.index(call.turn.entry.label)
            ring = " -> ".join([*labels[at:], *labels[:at], labels[at]])
            call.refuse(ActorDeadlockError(f"{ring}: these turns wait for each other, and this call closed the ring"))
