"""Closes: what ends a socket becomes a turn of its instance, and is tried until its row is gone.

A front tells of one that its client closed, or that was cut; `scan` finds those whose front has gone. Either way the
close is in one table, by its instance and its socket (two instances may have accepted one handshake), until its turn
has removed the row:

1. It waits until no more than UNDER_WAY_MAX others are under way, and then stands in its instance's mailbox.
2. Its turn reads the row (`events`). Where that is gone, somebody was sooner; a type without a handler costs no
   activation. An attempt that may have killed a worker before is first written down as begun.
3. What failed is noted in the row, and tried again after 1, 4 and 16 s; then the row goes, with an error line.

Where it cannot run, for its type is not deployed or its instance is quarantined, it is parked until that has changed.
One that has killed a worker runs alone: it must not take its neighbours along.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from holdfast_host.worker.sockets.events import CloseEvent, EventTurn
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.store import Ending, StoredInstance
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.turns.entry import Entry

UNDER_WAY_MAX: Final = 128
AGAIN_S: Final = 1.0  # after which what was lost is tried again


@leaders
class Closings:
    """The closes of one worker."""

    def __init__(
        self,
        gate: Gate,
        output: Output,
        clock: Clock,
        *,
        deliver: Callable[[StoredInstance, CloseEvent], None],
        on_unsent: Callable[[ClientConnection], None],
        on_aside: Callable[[], None],
    ) -> None:
        """`deliver(owner, event)` puts a turn for it into the mailbox; `on_unsent` as for Outgoing.

        `on_aside()` is told that one is to be tried again after a while.
        """
        self._gate = gate
        self._output = output
        self._clock = clock
        self._deliver = deliver
        self._on_unsent = on_unsent
        self._on_aside = on_aside
        self._known: dict[tuple[StoredInstance, int], CloseEvent] = {}
        self._waiting: deque[CloseEvent] = deque()
        self._aside: list[tuple[float, int, CloseEvent]] = []  # by the monotonic time at which they are tried again
        self._tickets = itertools.count()
        self._parked: dict[int, list[CloseEvent]] = {}  # by type
        self._alone: CloseEvent | None = None  # that has killed a worker, and the line behind it
        self._line: deque[CloseEvent] = deque()
        self._under_way = 0
        self.closed = 0
        self.failed = 0
        self.given_up = 0

    def __len__(self) -> int:
        """How many are not over."""
        return len(self._known)

    def knows(self, owner: StoredInstance, socket: int) -> bool:
        """Whether the close of an instance's socket is on its way."""
        return (owner, socket) in self._known

    @property
    @any_thread
    def has_room(self) -> bool:
        """Whether more of them can be used at once."""
        return len(self._waiting) < UNDER_WAY_MAX

    @property
    @any_thread
    def due_at(self) -> float:
        """When the first of those put aside is tried again, by the monotonic clock."""
        return self._aside[0][0] if self._aside else math.inf

    def occupancy(self) -> dict[str, int]:
        """How many are under way, wait, are put aside and parked."""
        return {
            "under_way": self._under_way,
            "waiting": len(self._waiting) + len(self._line),
            "aside": len(self._aside),
            "parked": sum(map(len, self._parked.values())),
        }

    def start(
        self,
        owner: StoredInstance,
        socket: int,
        ending: Ending,
        *,
        client: ClientConnection | None = None,
        slot: int = 0,
        suspect: bool = False,
    ) -> None:
        """A socket has ended; nothing to do where that is known."""
        event = CloseEvent(owner, socket, ending, client, slot, suspect=suspect)
        if self.knows(owner, socket):
            self._answer(event)
            return
        self._known[owner, socket] = event
        self._waiting.append(event)
        self.pump()

    def pump(self) -> None:
        """Deliver what waits, as much as may be under way at once."""
        while self._aside and self._clock.monotonic() >= self._aside[0][0]:
            self._waiting.append(heapq.heappop(self._aside)[2])
        while self._waiting and self._under_way < UNDER_WAY_MAX:
            event = self._waiting.popleft()
            event.begin_attempt()
            self._under_way += 1
            self._deliver(event.owner, event)

    def park(self, event: CloseEvent) -> None:
        """It cannot run: keep it until `take_up`; who stands in line behind it does not wait for that."""
        self._under_way -= 1
        event.alone = False
        self._leave_line(event)
        self._parked.setdefault(event.owner.type_id, []).append(event)
        self._answer(event)
        self.pump()

    def take_up(self, type_ids: Container[int]) -> None:
        """These types may run again."""
        for type_id in [each for each in self._parked if each in type_ids]:
            self._waiting += self._parked.pop(type_id)
        self.pump()

    def withdraw(self, event: CloseEvent) -> None:
        """The worker ends: the row is for the next one."""
        self._under_way -= 1
        self._known.pop((event.owner, event.socket), None)

    def end(self, turn: EventTurn, event: CloseEvent) -> None:
        """Its turn is over; its batch, where there is one, is in the current group."""
        failed = turn.broken is not None or (turn.error is not None and not event.ran)
        if event.ran and turn.error is not None:
            self.failed += 1
        self._gate.leave(turn.entry, None, _Ended(self, event, turn.entry, failed=failed))

    def settle(self, event: CloseEvent, label: str) -> None:
        """What its turn has written is durable."""
        self._answer(event)
        self._under_way -= 1
        if event.in_line:
            self._stand_in_line(event)
        elif event.delay_s:
            self._put_aside(event, event.delay_s)
        else:
            del self._known[event.owner, event.socket]
            self.closed += 1
            if event.given_up:
                self.given_up += 1
                self._output.event("error", "socket_close given up", instance=label, last_error=event.given_up)
            self._leave_line(event)
        self.pump()

    def try_again(self, event: CloseEvent) -> None:
        """What its turn has written is lost, or it has not run."""
        self._answer(event)
        self._under_way -= 1
        self._put_aside(event, AGAIN_S)

    def _put_aside(self, event: CloseEvent, seconds: float) -> None:
        heapq.heappush(self._aside, (self._clock.monotonic() + seconds, next(self._tickets), event))
        self._on_aside()

    def _stand_in_line(self, event: CloseEvent) -> None:
        if self._alone is not None:
            self._line.append(event)
            return
        self._alone = event
        event.alone = True
        self._waiting.appendleft(event)

    def _leave_line(self, event: CloseEvent) -> None:
        if event is self._alone:
            self._alone = None
            if self._line:
                self._stand_in_line(self._line.popleft())

    def _answer(self, event: CloseEvent) -> None:
        client = event.answer()
        if client is not None:
            self._on_unsent(client)


@leaders
class _Ended:
    """What became of a close, held by the gate until it is durable."""

    __slots__ = ("_closings", "_event", "_failed", "_label")

    def __init__(self, closings: Closings, event: CloseEvent, entry: Entry, *, failed: bool) -> None:
        self._closings = closings
        self._event = event
        self._label = entry.label
        self._failed = failed

    def go(self) -> None:
        """It is durable."""
        if self._failed:
            self._closings.try_again(self._event)
        else:
            self._closings.settle(self._event, self._label)

    def fail(self, error: HoldfastError) -> None:
        """It is lost: the row is as it was."""
        self._closings.try_again(self._event)
