"""Turns that wait for each other in a ring, found by following who waits for whom.

A call that arrives at an instance with a running turn starts a PROBE: from that turn to the calls it waits for, on to
their instances, and so on, over workers where need be. A probe that comes back to the call that started it has found a
ring; a turn waits for all its calls, so nobody leaves a ring through any of them. One CONFIRM lap asks whether every
call of it is still waited for; then the latest call of the ring, the one that closed it, is ended with
ActorDeadlockError, and the others go on.

The last call of a ring to arrive finds all others waiting: none is missed, as long as a probe passes no more than
PROBED_CALLS_MAX calls. That bounds it where turns wait for many; what it did not see ends by its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast_host.core.errors import ActorDeadlockError
from holdfast_host.wire.calls.frames import Kind
from holdfast_host.wire.calls.nested_calls import CallNumber
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast_host.worker.turns.open_calls import OpenCall

PROBED_CALLS_MAX: Final = 1_024

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
        running_calls: Callable[[int, bytes], Sequence[OpenCall]],
        place: Callable[[int, bytes], tuple[int, int]],
        send: Callable[[int, Kind, dict[str, Any]], None],
    ) -> None:
        """Over the worker's tables.

        Args:
            worker: our number.
            calls: what turns here wait for.
            running_calls: what the running turn of an instance (type number, name) of this worker waits for.
            place: the worker of an instance, and its partition there.
            send: pass a message to another worker; it may be lost with that worker.
        """
        self._worker = worker
        self._calls = calls
        self._running_calls = running_calls
        self._place = place
        self._send = send

    def chase(self, type_id: int, name: bytes, number: CallNumber, caller: str) -> None:
        """A nested call has arrived here behind a running turn: look whether that one waits for its caller."""
        self._probe(type_id, name, [(number, caller)], PROBED_CALLS_MAX)

    def receive(self, kind: int, facts: dict[str, Any]) -> None:
        """A message of another worker."""
        steps: list[Step] = [(CallNumber(*number), label) for number, label in facts["steps"]]
        if kind == Kind.PROBE:
            self._probe(facts["type_id"], bytes.fromhex(facts["name"]), steps, facts["left"])
        elif kind == Kind.CONFIRM:
            self._confirm(steps, facts["lap"])
        else:
            self._kill(steps)

    def _probe(self, type_id: int, name: bytes, steps: list[Step], left: int) -> None:
        """Follow what the instance's running turn waits for; `left` is how many calls may still be passed."""
        ahead = [(type_id, name, steps)]
        elsewhere: list[tuple[int, int, bytes, list[Step]]] = []
        while ahead:
            type_id, name, steps = ahead.pop()
            for call in self._running_calls(type_id, name):
                if call.number == steps[0][0]:
                    self._confirm(steps, 0)
                    continue
                if left <= 0 or any(call.number == number for number, _ in steps):
                    continue  # a ring that does not lead through the first call: its own calls find it
                left -= 1
                further = [*steps, (call.number, call.turn.entry.label)]
                owner, _ = self._place(call.type_id, call.name)
                if owner == self._worker:
                    ahead.append((call.type_id, call.name, further))
                else:
                    elsewhere.append((owner, call.type_id, call.name, further))
        for owner, type_id, name, steps in elsewhere:
            facts = {"type_id": type_id, "name": name.hex(), "steps": steps, "left": left // len(elsewhere)}
            self._send(owner, Kind.PROBE, facts)

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
