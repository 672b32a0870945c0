"""What a turn has written so far, and the savepoints that it has open: nested pieces that can be undone."""

from __future__ import annotations

from holdfast_host.core.errors import BadRequestError, LimitError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import Changes
from holdfast_host.storage.unflushed import Pending, apply_changes


class TurnChanges:
    """The changes of one turn, from the innermost open savepoint outwards. Used by one thread at a time."""

    __slots__ = ("_below", "_below_bytes", "_below_keys", "_label", "_limits", "_open", "_pending", "_top", "wrote")

    # Set by the Overlay that this is a part of, at once: a call for each turn is saved.
    _pending: Pending  # numbers the savepoints
    _limits: Limits
    _label: str  # names the instance in errors, as `Account/alice`
    _top: Changes
    # Changes beneath open savepoints, outermost first, and what they hold: a rollback may restore all of it.
    _below: list[Changes]
    _below_bytes: int
    _below_keys: int
    _open: tuple[int, ...]  # the numbers of open savepoints, outermost first
    # True once the turn has written anything, also if that was rolled back or taken: memory may hold traces of it.
    wrote: bool

    @property
    def has_changes(self) -> bool:
        """Whether the turn would commit or send anything."""
        return any(changes or changes.sends is not None for changes in (self._top, *self._below))

    @property
    def open_savepoints(self) -> int:
        """How many savepoints are open; `sync` is refused while there is one."""
        return len(self._below)

    def savepoint(self) -> int:
        """Begin a nested transaction; its number, which no other one has while the instance's entry lives.

        Until it is released or rolled back, both what it writes and what a rollback would restore count towards the
        limits of the turn.
        """
        if len(self._below) >= self._limits.turn_savepoints_max:
            raise LimitError(
                f"savepoint {len(self._below) + 1} deep exceeds the limit of {self._limits.turn_savepoints_max} "
                f"({self._label})"
            )
        top = self._top
        self._below.append(top)
        self._below_bytes += top.size_bytes
        self._below_keys += len(top.writes)
        self._top = Changes()
        self._pending.savepoints += 1
        self._open = (*self._open, self._pending.savepoints)
        return self._pending.savepoints

    def release(self) -> None:
        """Keep what was written since the last savepoint."""
        inner = self._top
        self._pop("release")
        outer = self._top
        if inner.cleared:
            apply_changes(outer, inner)
            return
        # size_bytes is exact in an overlay: what the outer layer wrote under the same keys goes.
        shadowed = sum(_written_bytes(key, outer.writes[key]) for key in inner.writes if key in outer.writes)
        apply_changes(outer, inner)
        outer.size_bytes -= shadowed

    def rollback(self) -> None:
        """Undo what was written since the last savepoint."""
        self._pop("rollback")

    def release_savepoint(self, number: int) -> None:
        """Keep what was written since that savepoint; those inside it end too.

        Raises:
            BadRequestError: it is not open; nothing has changed.
        """
        depth = self._depth_of(number, "release")
        while len(self._below) > depth:
            self.release()

    def rollback_savepoint(self, number: int) -> None:
        """Undo what was written since that savepoint; those inside it end too.

        Raises:
            BadRequestError: it is not open; nothing has changed.
        """
        depth = self._depth_of(number, "rollback")
        while len(self._below) > depth:
            self.rollback()

    def _depth_of(self, number: int, what: str) -> int:
        """How many savepoints are open around that one."""
        if number not in self._open:
            raise BadRequestError(
                f"{what} of savepoint {number}, which is not open: it was ended, or an earlier turn began it "
                f"({self._label})"
            )
        return self._open.index(number)

    def _pop(self, what: str) -> None:
        if not self._below:
            raise BadRequestError(f"{what} without an open savepoint ({self._label})")
        outer = self._below.pop()
        self._open = self._open[:-1]
        self._below_bytes -= outer.size_bytes
        self._below_keys -= len(outer.writes)
        self._top = outer


def _written_bytes(key: bytes, value: bytes | None) -> int:
    return len(key) + (0 if value is None else len(value))
