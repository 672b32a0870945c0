"""One instance with all that is stored of it, as it moves from one store to another, and what tells it from others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.lmdb.keys import pack_alarm

if TYPE_CHECKING:
    from holdfast_host.storage.store import Alarm

DIGEST_BYTES: Final = 16

Rows = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class WholeInstance:
    """Rows are pairs, in the order of what stands first: key, id of a job, hash of a receipt, number of a socket."""

    type_id: int
    name: bytes
    live_bytes: int
    apart_bytes: int
    alarm: Alarm | None
    keys: Rows
    jobs: Rows
    receipts: Rows
    sockets: Rows

    @property
    def size_bytes(self) -> int:
        """About what it takes on its way."""
        return self.live_bytes + self.apart_bytes + 256

    def digest(self) -> bytes:
        """Two that have the same are the same."""
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        alarm = b"" if self.alarm is None else pack_alarm(self.alarm)
        head = f"{self.type_id} {self.live_bytes} {self.apart_bytes} {len(self.name)} {len(alarm)}\n".encode()
        digest.update(head + self.name + alarm)
        for rows in (self.keys, self.jobs, self.receipts, self.sockets):
            digest.update(f"{len(rows)}\n".encode())
            for first, second in rows:
                digest.update(f"{len(first)} {len(second)}\n".encode())
                digest.update(first)
                digest.update(second)
        return digest.digest()
