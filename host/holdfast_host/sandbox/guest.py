"""What a host function knows of the guest that called it.

Host functions are linked once for all instances; they find their guest by the address of its store's context, which
wasmtime hands to each of them. So a turn of one sandbox may run inside an import of another on the same thread.
"""

from __future__ import annotations

from typing import Any

from holdfast_host.sandbox.capabilities import Capabilities


class Guest:
    """One live store, from before instantiation until its sandbox is closed; only its own thread changes it."""

    __slots__ = ("answer", "ended", "fault", "slept", "turn")

    def __init__(self, turn: Capabilities, answer: Any) -> None:
        """`answer` is where `marshal` makes what a host function answers."""
        self.answer = answer
        self.turn: Capabilities | None = turn
        self.ended = False  # the turn said False, to a tick or a host call
        self.slept = False  # it would have blocked in native code
        self.fault: BaseException | None = None  # what a host function of ours raised by mistake

    def begin(self, turn: Capabilities) -> None:
        """From here on imports and ticks are this turn's."""
        self.turn = turn
        self.ended = self.slept = False
        self.fault = None


Guests = dict[int, Guest]  # by the address of the store's context
