"""An instance as a worker holds it: whole, in memory, as of the last commit.

It is read when it is first needed and changed when a group is settled; the rows on the server are its owner's alone. So
a read of a turn costs no round trip, and none may be larger than `instance_memory_bytes`. Receipts are the exception:
each is read when a call comes under its key, and there may be any number of them.

Threads: `fill` and `Merged.settle` are the leader's; turns read from theirs. What a turn may see torn is read under
`lock`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.lmdb.keys import unpack_job
from holdfast_host.storage.lmdb.sockets import unpack_socket
from holdfast_host.storage.postgres.arrays import number
from holdfast_host.storage.postgres.listings import unpack_alarm
from holdfast_host.storage.store import Alarm, SocketRow, StoredInstance

if TYPE_CHECKING:
    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.postgres.link import Rows

SOCKET_BYTES: Final = 8  # of a socket's number, as it is counted
_KEY, _JOB = 0, 1  # of a further row


@dataclass(slots=True, eq=False)
class Handle(StoredInstance):
    """A StoredInstance with all that is stored of it. `number` is what its jobs, receipts and sockets stand under."""

    shard: int = 0
    epoch: int = 0  # of the shard, when it was loaded
    row: int = 0  # the number of its own row
    keys: dict[bytes, bytes] = field(default_factory=dict)
    order: list[bytes] | None = None  # the keys in their order, where somebody has needed that
    alarm: Alarm | None = None
    jobs: dict[bytes, Job] = field(default_factory=dict)
    sockets: dict[int, SocketRow] = field(default_factory=dict)
    receipt_bytes: int = 0  # of `apart_bytes`, what is not held here
    lock: threading.Lock = field(default_factory=threading.Lock)

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool, entries_max: int, bytes_max: int
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """As `Store.scan`."""
        with self.lock:
            order = self.order
            if order is None:
                order = self.order = sorted(self.keys)
            first = bisect_left(order, start)
            stop = len(order) if end is None else bisect_left(order, end)
            pairs: list[tuple[bytes, bytes]] = []
            page_bytes = 0
            for at in reversed(range(first, stop)) if reverse else range(first, stop):
                if pairs and (len(pairs) >= entries_max or page_bytes >= bytes_max):
                    return pairs, False
                key = order[at]
                value = self.keys[key]
                pairs.append((key, value))
                page_bytes += len(key) + len(value)
            return pairs, True


def fill(handle: Handle, row: tuple[bytes | None, ...], further: Rows) -> None:
    """Make a fresh handle what `statements.LOAD` and `LOAD_ROWS` have found."""
    own, data, apart, live_bytes, apart_bytes, due_us, scheduled_us, retries, state, marks, last_error, trace = row
    held_bytes = 0
    for kind, socket, key, value in further:
        if number(kind) == _KEY:
            handle.keys[key or b""] = value or b""
        elif number(kind) == _JOB:
            handle.jobs[key or b""] = job = unpack_job(value or b"")
            held_bytes += job.size_bytes
        else:
            handle.sockets[number(socket)] = unpack_socket(value or b"")
            held_bytes += SOCKET_BYTES + len(value or b"")
    if number(state) >= 0:
        handle.alarm = unpack_alarm(due_us, scheduled_us, retries, state, marks, last_error, trace)
    handle.row, handle.data_number = number(own), number(data)
    handle.live_bytes, handle.apart_bytes, handle.exists = number(live_bytes), number(apart_bytes), True
    handle.receipt_bytes = handle.apart_bytes - held_bytes
    handle.number = number(apart)  # last: who sees it finds the rest
