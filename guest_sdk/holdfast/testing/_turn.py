"""One turn: its budget, its limits, its overlay, and why it was ended, where it was."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from holdfast.testing._failures import RefusedError, TurnEndedError
from holdfast.testing._limits import Limits
from holdfast.testing._overlay import Overlay
from holdfast.testing._records import Alarm, Changes, Record

if TYPE_CHECKING:
    from holdfast.testing._jobs.rows import StoredJob

_SDK: Final = str(Path(__file__).parents[1])


class TurnHost(Protocol):
    """What a turn needs of its host."""

    limits: Limits

    def commit(self, record: Record, changes: Changes) -> None:
        """Make durable what a turn has changed, and let out what it has sent."""

    def count_write(self) -> None:
        """A turn has written once more; a host that was told to die at that write does."""

    def call_out(self, turn: Turn, binding: str, name: str, run: CallOut) -> str:
        """Call another instance from inside a turn; RefusedError where that fails."""

    def write_log(self, label: str, level: str, text: str) -> None:
        """Keep one line."""


class Stream(Protocol):
    """An answer from outside that is read as it comes."""

    def read(self, bytes_max: int) -> bytes:
        """The next of it; empty at the end, and for 0 bytes, which close it."""


class CallOut(Protocol):
    """What to run at the instance that is called, with its record and the seconds that are left."""

    def __call__(self, record: Record, left_s: float) -> str:
        """The result."""


class Turn:
    """One run of an actor's code. Made when it starts; `record` is None for the turn of a function.

    Attributes:
        ended_by: Why the host ended it; None while it did not.
        left: True once something of it is outside for good: a sync, a call.
        key: The idempotency key that it runs under; empty for none.
        streams: The answers from outside that it reads, by their names.
        goes_on: Whether a body follows, in turns of the same sandbox, which may read them too.
    """

    def __init__(
        self,
        host: TurnHost,
        record: Record | None,
        label: str,
        *,
        budget_s: float,
        timeout_name: str = "ActorMethodTimeoutError",
        delivers: Alarm | None = None,
        runs: tuple[str, StoredJob | None] | None = None,
        key: str = "",
    ) -> None:
        self.label = label
        self.key = key
        self.offer = ""  # the socket that it may accept
        self.ended_by: RefusedError | None = None
        self.left = False
        self.streams: dict[str, Stream] = {}
        self.goes_on = False
        self.record = record
        self._host = host
        self._overlay = None if record is None else Overlay(record, host.limits, host.count_write, delivers, runs)
        self._began_at = time.monotonic()
        self._budget_s = budget_s
        self._timeout_name = timeout_name
        self._host_calls = 0
        self._log_lines = 0

    @property
    def overlay(self) -> Overlay:
        """What it has written; RefusedError in the turn of a function, which has no storage."""
        if self._overlay is None:
            raise RefusedError("UnsupportedError", f"{self.label} has no storage and no alarm: those belong to actors")
        return self._overlay

    @property
    def wrote(self) -> bool:
        """True once it has written anything."""
        return self._overlay is not None and self._overlay.wrote

    @property
    def left_s(self) -> float:
        """What is left of its budget, in seconds of real time."""
        return self._began_at + self._budget_s - time.monotonic()

    def close_streams(self) -> None:
        """What it has not read to its end is closed with it."""
        while self.streams:
            self.streams.popitem()[1].read(0)

    def host_call(self) -> None:
        """Count one call of the host; TurnEndedError where the turn is over."""
        if self.ended_by is not None:
            raise TurnEndedError
        self._host_calls += 1
        limit = self._host.limits.turn_host_calls_max
        if self._host_calls > limit:
            self.end(RefusedError("ActorTrapError", f"{self.label}: more than {limit} host calls in one turn"))
        if self.left_s <= 0:
            self.end_late()

    def sync(self) -> None:
        """Commit what has been written so far."""
        if self.overlay.open_savepoints:
            text = f"{self.label}: sync() inside transaction() would commit half of it"
            raise RefusedError("BadRequestError", text)
        changes = self.overlay.take()
        self.left = True
        if self.record is not None:  # a function has nothing to commit
            self._host.commit(self.record, changes)

    def call_out(self, binding: str, name: str, run: CallOut) -> str:
        """Call another instance; its result."""
        result = self._host.call_out(self, binding, name, run)
        if self.ended_by is not None:
            raise TurnEndedError
        return result

    def log(self, level: str, text: str) -> None:
        """One line of output; past the limit lines are dropped, and that is said once."""
        limits = self._host.limits
        self._log_lines += 1
        if self._log_lines <= limits.turn_log_lines_max:
            encoded = text.encode("utf-8", "replace")[: limits.log_line_bytes_max]
            self._host.write_log(self.label, level, encoded.decode("utf-8", "ignore"))
        elif self._log_lines == limits.turn_log_lines_max + 1:
            text = f"further lines of this turn are dropped: the limit is {limits.turn_log_lines_max}"
            self._host.write_log(self.label, "warning", text)

    def end(self, why: RefusedError) -> NoReturn:
        """End the turn from inside one of its own calls; its log says where the actor's code stood."""
        if self.ended_by is None:
            self.ended_by = why
            self._host.write_log(self.label, "error", f"trap: ended: {why.message}{_standing()}")
        raise TurnEndedError

    def end_late(self) -> NoReturn:
        """End it for its budget."""
        self.end(self.late())

    def late(self) -> RefusedError:
        """What its caller is told when its budget is over."""
        return RefusedError(self._timeout_name, f"{self.label}: over its budget of {self._budget_s:g} s")

    def check_ended(self) -> None:
        """After the actor's code has returned: RefusedError where the turn counts as ended all the same."""
        if self.ended_by is None and self.left_s <= 0:
            self.ended_by = self.late()
            self._host.write_log(self.label, "error", self.ended_by.message)
        if self.ended_by is not None:
            raise self.ended_by from None


def _standing() -> str:
    """Where the actor's code is, which has called what ends its turn."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_SDK):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"; it stood in {frame.f_code.co_qualname}, {frame.f_code.co_filename} line {frame.f_lineno}"


Ending = Callable[[Turn], RefusedError]
