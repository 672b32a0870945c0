"""What a running turn needs of its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.limits import Limits
    from holdfast_host.sandbox.gathered_calls import GatheredCall
    from holdfast_host.storage.store import Changes
    from holdfast_host.wire.calls.frames import CallKind
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.threads.compute_slots import ComputeSlots
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.open_calls import OpenAnswer, OpenCall, Target
    from holdfast_host.worker.turns.sync_exit import SyncExit
    from holdfast_host.worker.turns.turn import Turn


class TurnHost(Protocol):
    """Shared by all turns."""

    leadership: Leadership
    compute: ComputeSlots
    limits: Limits
    output: Output
    clock: Clock

    def is_live(self, socket: int) -> bool:
        """Whether a socket's front has it; any thread."""

    def post(self, action: Callable[[], None]) -> None:
        """Have the leader run this soon; any thread."""

    def call_out(self, turn: Turn, kind: CallKind, target: Target, arguments: bytes, key: bytes) -> OpenCall:
        """Begin a call of the turn that runs on this thread; it may be over on return."""

    def call_out_together(self, turn: Turn, calls: Sequence[GatheredCall]) -> list[OpenCall]:
        """Begin several calls of the turn that runs on this thread."""

    def aim(self, turn: Turn, binding: str, name: str) -> int:
        """The number of the type that a binding of the turn leads to, for an instance of that name."""

    def ask_outside(self, turn: Turn, text: bytes, *, streams: bool) -> OpenAnswer:
        """Begin an outbound request of a turn that has given its thread up; it may be over on return."""

    def read_outside(self, turn: Turn, stream: str, bytes_max: int) -> OpenAnswer:
        """Begin to read an answer that streams, for a turn that has given its thread up."""

    def request_sync(self, turn: Turn, changes: Changes, leaving: SyncExit) -> None:
        """Have what the turn has written so far committed; `leaving` ends when it is durable; any thread."""
