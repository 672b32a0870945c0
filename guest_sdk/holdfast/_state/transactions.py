"""`transaction()` blocks: parts of a turn that can be undone, told apart from each other.

Each block is a savepoint of the host, which knows it by its id and takes none that is not open. Which blocks are open
in this turn is known here too: so a block can say what is wrong with it, and that one inside it has to end first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from holdfast._host_imports import Err, StorageImport, facts_of, raise_refusal


class Blocks:
    """The blocks of one storage that are open. Lives as long as the storage; each turn has a list of its own.

    Attributes:
        open: Those of this turn, outermost first.
    """

    __slots__ = ("_at_turn_end", "_forget_values", "open")

    def __init__(self, forget_values: Callable[[], None], at_turn_end: Callable[[Callable[[], None]], None]) -> None:
        self._forget_values = forget_values
        self._at_turn_end = at_turn_end
        self.open: list[Savepoint] = []

    def begin(self, block: Savepoint) -> None:
        """Begin a block inside those that are open."""
        try:
            block.number = block.host().open_savepoint()
        except Err as error:
            raise_refusal(error)
        if not self.open:
            self._at_turn_end(self._forget)
        self.open.append(block)

    def end(self) -> None:
        """Keep what the innermost block wrote."""
        block = self.open.pop()
        try:
            block.host().release_savepoint(block.number)
        except Err as error:
            raise_refusal(error)

    def undo(self, level: int, failure: BaseException | None) -> None:
        """Undo what the blocks from this level on wrote; what the host says to that must not hide the failure."""
        self._forget_values()
        block = self.open[level]
        del self.open[level:]
        try:
            block.host().rollback_savepoint(block.number)
        except Err as error:
            message = facts_of(error)["message"]
            if failure is not None:
                with suppress(TypeError):  # an exception may have odd notes
                    failure.add_note(f"what the transaction() block wrote could not be undone: {message}")

    def release(self) -> None:
        """End all that are open, and keep what they wrote."""
        while self.open:
            self.end()

    def _forget(self) -> None:
        """The turn is over: the host has ended what it left open."""
        self.open = []


class Savepoint:
    """What a block is to the host.

    Attributes:
        host: The import that it writes through now.
        number: What the host calls it, once it is begun.
    """

    __slots__ = ("host", "number")

    def __init__(self, host: Callable[[], StorageImport]) -> None:
        self.host = host
        self.number = 0


class Transaction:
    """The block of `Storage.transaction()`. It ends itself alone, and in the turn in which it began."""

    __slots__ = ("_among", "_blocks", "_savepoint")

    def __init__(self, blocks: Blocks, host: Callable[[], StorageImport]) -> None:
        """Made by the storage."""
        self._blocks = blocks
        self._savepoint = Savepoint(host)
        self._among: list[Savepoint] | None = None  # the open ones of the turn in which it was begun

    def __enter__(self) -> Self:
        if self._among is not None and self._savepoint in self._among:
            raise RuntimeError("a transaction() block is begun while it is open: make one for each block")
        self._blocks.begin(self._savepoint)
        self._among = self._blocks.open
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        among = self._among
        fault = self._fault()
        if kind is not None:  # what is wrong with the block must not hide it
            if among is not None and not fault:
                self._blocks.undo(among.index(self._savepoint), failure)
            return
        if not fault and among is not None and among[-1] is not self._savepoint:
            fault = "a transaction() block ends while one that was begun inside it is open: that one ends first"
        if fault:
            raise RuntimeError(fault)
        self._blocks.end()

    def _fault(self) -> str:
        """Why there is nothing that it could end."""
        if self._among is None:
            return "a transaction() block ends that was never begun"
        if self._among is not self._blocks.open:
            return "a transaction() block ends that an earlier turn has begun: it ended with that turn"
        if self._savepoint not in self._among:
            return "a transaction() block ends that is over: it was ended, or undone with the one around it"
        return ""
