"""The send page: whose frames are on their way to a front, and which group they wait for.

It is the evidence from which a front reads, when a worker has died and its link is read to the end, whose frames were
lost. When a turn that has sent something ends, or syncs, its worker writes into a free slot whose frames those are and
the group that they wait for, before that group commits; the slot's number goes with the last of them, and the front
clears the slot when it has that one. Where no slot is free a count goes up instead, which stands for everybody.

Each word has one writer at a time: the worker writes slots that are clear and the first two counts, the front clears
slots that are written and has the third count. Nothing is written to disk for it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from functools import lru_cache
from typing import Final, NamedTuple

SEND_SLOTS: Final = 1_024
NO_SLOT: Final = 0  # on a frame that is not the last, or that nobody misses
EVERYBODY: Final = SEND_SLOTS + 1  # in place of a slot: it was counted
NO_GROUP: Final = 0

_MARKED, _WITHDRAWN, _ARRIVED = 0, 1, 2  # words; those of a slot, which is 1 at least, begin behind them
_GROUP, _OWNER = 2, 3  # behind the double of a slot
_OWNER_BYTES: Final = 8
_MARKS_KEPT: Final = 1_024  # of instances that send again and again
_BYTES: Final = (SEND_SLOTS + 2) * 2 * 8


class InFlight(NamedTuple):
    """What a slot says."""

    owner: int
    group: int  # NO_GROUP: they wait for none


@lru_cache(maxsize=_MARKS_KEPT)
def owner_mark(type_id: int, name: bytes) -> int:
    """An instance in a word of 64 bit; two that share one would only be closed together."""
    digest = hashlib.blake2b(name, digest_size=_OWNER_BYTES, salt=type_id.to_bytes(4, "little")).digest()
    return int.from_bytes(digest, "little") or 1


class SendPage:
    """One link's, in an anonymous file that both ends map. The front makes it and owns the descriptor."""

    def __init__(self, fd: int) -> None:
        """Map the page behind this descriptor, which the page then owns."""
        self.fd = fd
        self._map = mmap.mmap(fd, _BYTES)
        self.words = memoryview(self._map).cast("Q")
        self._free = list(range(SEND_SLOTS, 0, -1))  # as the worker knows it

    @classmethod
    def create(cls) -> SendPage:
        """A new page, all clear."""
        fd = os.memfd_create("holdfast-sends", os.MFD_CLOEXEC)
        os.ftruncate(fd, _BYTES)
        return cls(fd)

    def close(self) -> None:
        """Unmap and close."""
        self.words.release()
        self._map.close()
        os.close(self.fd)

    # The worker's.

    def take(self, owner: int, group: int) -> int:
        """Note that frames of this instance wait for that group; the number that goes with the last of them."""
        words = self.words
        if not self._free:
            owners = words[
                2 + _OWNER :: 2
            ].tolist()  # of slot 1 and those behind it: each turn comes here while it is full
            if 0 in owners:
                self._free = [slot for slot, owner in enumerate(owners, 1) if not owner]
        if not self._free:
            words[_MARKED] += 1
            return EVERYBODY
        slot = self._free.pop()
        words[2 * slot + _GROUP] = group
        words[2 * slot + _OWNER] = owner  # from here on it counts
        return slot

    def withdraw(self, slot: int) -> None:
        """The frames will never leave."""
        if slot == EVERYBODY:
            self.words[_WITHDRAWN] += 1
        elif slot != NO_SLOT:
            self.words[2 * slot + _OWNER] = 0
            self._free.append(slot)

    def lose_everything(self) -> None:
        """The link is over, and its worker lives: what it sends from now on reaches nobody."""
        self.words[_MARKED] += 1

    # The front's.

    def clear(self, slot: int) -> None:
        """The last of the slot's frames is here."""
        if slot == EVERYBODY:
            self.words[_ARRIVED] += 1
        elif 0 < slot < EVERYBODY:
            self.words[2 * slot + _OWNER] = 0

    @property
    def stands_for_everybody(self) -> bool:
        """Whether frames are missing, and nobody knows whose."""
        return self.words[_MARKED] != self.words[_WITHDRAWN] + self.words[_ARRIVED]

    def in_flight(self) -> list[InFlight]:
        """Whose frames have not come; the worker is gone."""
        words = self.words
        return [
            InFlight(words[2 * slot + _OWNER], words[2 * slot + _GROUP])
            for slot in range(1, EVERYBODY)
            if words[2 * slot + _OWNER]
        ]
