"""The mark of an activation, where its host can find it: at an address that is the same in every sandbox.

A host that has stopped a sandbox looks for the memory with this mark in it, to say in the log where the code stood. It
is made while the component is built, and never moves.
"""

from __future__ import annotations

from typing import Final

MARK_BYTES: Final = 16
# Put together, so that a constant of this module is not taken for the place itself.
_PLACE: Final = bytearray(b" ".join((b"holdfast", b"activation", b"mark:")) + bytes(MARK_BYTES))


def keep_mark(mark: object) -> None:
    """Keep what the environment says, where it says something of that kind."""
    if isinstance(mark, str) and len(mark) == MARK_BYTES and mark.isascii():
        _PLACE[-MARK_BYTES:] = mark.encode()
