"""First reads over a store that is far away: all instances of a round that are not read yet, in one question.

A turn that was taken for such an instance goes back into its mailbox, and the instance is held back until it is read.
What is held back is the worker's, not the round's: whoever loses the leadership in the middle of one leaves it to the
next leader to ask.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from holdfast_host.storage.store import LoadTogether, StoredInstance
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn


@leaders
class Loads:
    """The first reads of one worker."""

    def __init__(self, load: LoadTogether, mailboxes: Mailboxes, measures: Measures) -> None:
        self._load = load
        self._mailboxes = mailboxes
        self._measures = measures
        self._unsent: list[StoredInstance] = []

    def hold_back(self, turn: Turn) -> bool:
        """Hold the turn back where its instance is to be read first; whether that is so."""
        entry = turn.entry
        if entry.stored.number or entry.is_function:
            return False
        if self._mailboxes.hold_back(turn):
            self._unsent.append(entry.stored)
        return True

    @any_thread
    def anything_unsent(self) -> bool:
        """Whether `send` has something to ask (monitor)."""
        return bool(self._unsent)

    def send(self) -> None:
        """Ask for all that were held back since."""
        unsent, self._unsent = self._unsent, []
        if unsent:
            self._load(unsent, partial(self._have_read, time.monotonic()))

    def _have_read(self, asked_at: float, instance: StoredInstance) -> None:
        self._measures.load_seconds.add(time.monotonic() - asked_at)
        self._mailboxes.let_go(instance)
