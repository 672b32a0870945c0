"""What a turn waits for: calls to other instances, and answers from outside; as far as turns are concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast_host.wire.calls.nested_calls import CallNumber, Origin
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn

Target = tuple[str, str, str]  # of a call: binding, name, method, as the guest gave them


class Caller(Protocol):
    """Who gets the reply of a turn of this worker, where that is not a client: a call, or a job."""

    @property
    def origin(self) -> Origin | None:
        """What the callee is told of its callers; None: it is a root turn."""

    @property
    def receiver(self) -> Entry | None:
        """The instance whose turn waits; None: none does, or not any more."""

    def answered(self, status: int, body: bytes) -> None:
        """The callee's reply."""


class OpenAnswer(Protocol):
    """A call to another instance, or a request that has gone outside."""

    label: str
    over: bool

    def wait(self, timeout_s: float) -> bool:
        """Block until it is over; the waiting turn's thread."""

    def result(self) -> bytes:
        """After it is over: what was asked for, or the error raised; the waiting turn's thread."""

    def refuse(self, error: HoldfastError) -> None:
        """It is ended from here: what has not begun does not run, and the turn gets the error."""


class OpenCall(OpenAnswer, Protocol):
    """A call, as far as the turn that waits for it and the one that runs it are concerned."""

    turn: Turn  # that waits
    number: CallNumber
    type_id: int
    name: bytes
    method: bytes

    @property
    def origin(self) -> Origin:
        """What the callee is told of its callers."""

    @property
    def receiver(self) -> Entry | None:
        """The instance whose turn waits."""

    def answered(self, status: int, body: bytes) -> None:
        """The callee's reply."""


def refuse_all(calls: Sequence[OpenAnswer], error: HoldfastError) -> None:
    """End these from here; the leader's."""
    for call in calls:
        call.refuse(error)


def outcome_of(call: OpenCall) -> bytes | HoldfastError:
    """What became of a call that is over: its result, or why it has none."""
    try:
        return call.result()
    except HoldfastError as error:
        error.__traceback__ = None  # it would hold this frame, and the call's texts, until a collection
        return error
