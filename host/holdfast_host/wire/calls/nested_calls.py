"""How a call of a turn is known among all workers, and by whom it is waited for: what a CALL frame says of it."""

from __future__ import annotations

import json
from typing import NamedTuple

from holdfast_host.wire.calls.frames import ProtocolError


class CallNumber(NamedTuple):
    """Names one call among all workers; a later call has the larger number."""

    time_us: int
    worker: int
    serial: int


class Origin(NamedTuple):
    """Where a nested call comes from: the instances that wait for it, outermost first, and its number."""

    path: tuple[str, ...]
    number: CallNumber

    def pack(self) -> bytes:
        """For a CALL frame."""
        return json.dumps([self.path, self.number], separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, text: bytes) -> Origin:
        """What `pack` wrote; ProtocolError for anything else."""
        try:
            path, number = json.loads(text)
            return cls(tuple(path), CallNumber(*number))
        except (ValueError, TypeError) as error:
            raise ProtocolError("a CALL with a damaged origin") from error
