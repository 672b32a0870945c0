"""Calls to other instances that a turn waits for, as far as that turn and the one that runs each are concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast_host.wire.nested_calls import CallNumber, Origin
    from holdfast_host.worker.turns.turn import Turn

Target = tuple[str, str, str]  # of a call: binding, name, method, as the guest gave them


class OpenCall(Protocol):
    """One of them."""

    turn: Turn  # that waits
    number: CallNumber
    type_id: int
    name: bytes
    method: bytes
    label: str
    over: bool

    @property
    def origin(self) -> Origin:
        """What the callee is told of its callers."""

    def wait(self, timeout_s: float) -> bool:
        """Block until it is over; the calling turn's thread."""

    def result(self) -> bytes:
        """After it is over: the typed result, or the error raised; the calling turn's thread."""

    def answered(self, status: int, body: bytes) -> None:
        """The callee's reply."""

    def refuse(self, error: HoldfastError) -> None:
        """It is ended from here: what has not begun does not run, and the caller gets the error."""


def refuse_all(calls: Sequence[OpenCall], error: HoldfastError) -> None:
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
