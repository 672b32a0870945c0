"""The state page: one shared word per slot of a client's link to a worker.

It is the evidence from which the client answers what it had sent when the worker dies: the worker writes a slot's
word as the call advances, the client reads it when the successor has said which group each partition reached. The
client owns the page and clears a slot's word before it uses the slot; nobody writes a word after the slot's REPLY.

The events of a front's sockets have a page of their own, whose words keep the group beside LEFT: an event that is seen
as committed is over, whatever had left of it.
"""

from __future__ import annotations

import mmap
import os
from enum import Enum
from typing import Final

from holdfast_host.core.limits import SLOTS

NOT_BEGUN: Final = 0
BEGUN: Final = 1
FIRST_GROUP: Final = 2  # group numbers start here: a word of 2 or more is a group
LEFT: Final = 1 << 63  # a sync or call of the turn has already left
ENDED: Final = LEFT - 1  # in place of a group: the turn is over, waits for none, and what it sent has left
EVENT_SLOTS: Final = 2_048


class Fate(Enum):
    """What became of a call whose worker died, by the evidence."""

    NOT_BEGUN = "not begun: send it again"
    NOT_COMMITTED = "committed nothing"
    COMMITTED = "committed, the result is lost"
    SENT = "what it sent has left, the result is lost"
    UNKNOWN = "something of it had already left"


class EventFate(Enum):
    """What became of a socket's event whose worker died, by the evidence."""

    NOT_BEGUN = "not begun: it goes to the successor"
    NOT_COMMITTED = "committed nothing: it goes to the successor, a few times"
    OVER = "it has taken effect"
    UNKNOWN = "something of it had left, and it is not seen as committed"


class StatePage:
    """Words of 64 bit, one a slot, in an anonymous file that client and worker map."""

    def __init__(self, fd: int, slots: int = SLOTS) -> None:
        """Map the page behind this descriptor, which the page then owns."""
        self.fd = fd
        self._map = mmap.mmap(fd, slots * 8)
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, slots: int = SLOTS) -> StatePage:
        """A new page, all NOT_BEGUN."""
        fd = os.memfd_create("holdfast-slots", os.MFD_CLOEXEC)
        os.ftruncate(fd, slots * 8)
        return cls(fd, slots)

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self._map.close()
        os.close(self.fd)


def fate_of(word: int, group_reached: int) -> Fate:
    """Read one word, given the group that the slot's partition had reached when the worker died."""
    if word == NOT_BEGUN:
        return Fate.NOT_BEGUN
    if word & LEFT:
        return Fate.UNKNOWN
    if word == ENDED:
        return Fate.SENT
    if word == BEGUN or word > group_reached:
        return Fate.NOT_COMMITTED
    return Fate.COMMITTED


def fate_of_event(word: int, group_reached: int) -> EventFate:
    """The same for a word of the page of events."""
    if word == NOT_BEGUN:
        return EventFate.NOT_BEGUN
    group = word & ~LEFT
    if group == ENDED or BEGUN < group <= group_reached:
        return EventFate.OVER
    return EventFate.UNKNOWN if word & LEFT else EventFate.NOT_COMMITTED
