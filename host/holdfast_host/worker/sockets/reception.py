"""Where a worker's sockets come together: what fronts say of them, and what turns do with them."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.storage.store import Ending
from holdfast_host.wire.calls.frames import Call, CallKind, ProtocolError
from holdfast_host.wire.pages.send_page import NO_GROUP
from holdfast_host.wire.pages.state_page import ENDED
from holdfast_host.wire.sockets.frames import (
    ABNORMAL,
    INTERNAL_ERROR,
    ON_CLOSE,
    ON_ERROR,
    ON_MESSAGE,
    SERVICE_RESTART,
    Closed,
    Message,
    unpack_taken,
)
from holdfast_host.wire.sockets.standing import StandingSockets
from holdfast_host.worker.sockets.closings import Closings
from holdfast_host.worker.sockets.events import CloseEvent, EventTurn, MessageEvent
from holdfast_host.worker.sockets.outgoing import Outgoing, SendsExit
from holdfast_host.worker.sockets.scan import Scan
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from holdfast_host.core.clock import Clock
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import Changes, Store, StoredInstance
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.commits.replies import Replies
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn

_AGAIN_S: Final = 0.1  # after which an event is tried again that found no room


@leaders
@dataclass(eq=False, kw_only=True)
class Sockets:
    """The sockets of one worker; nothing of one that is idle is kept here."""

    store: Store
    limits: Limits
    output: Output
    clock: Clock
    leadership: Leadership
    gate: Gate
    mailboxes: Mailboxes
    directory: Directory
    deployments: Deployments
    replies: Replies

    def __post_init__(self) -> None:
        """Nothing is known of any socket."""
        unsent = self.replies.note_unsent
        self.at_rest = False  # `release` has nothing to do, whatever the time: what each round asks first
        self.outgoing = Outgoing(
            self.limits, function_of=self._function_of, on_orphan=self._close_orphan, on_unsent=unsent
        )
        self.closings = Closings(
            self.gate, self.output, self.clock, deliver=self._deliver, on_unsent=unsent, on_aside=self._stir
        )
        self._scan = Scan(
            self.store,
            self.leadership,
            self.mailboxes,
            self.deployments,
            self.closings,
            self.outgoing,
            settled=lambda: self.gate.settled,
        )
        self._aside: list[tuple[float, int, EventTurn]] = []  # by the monotonic time at which they are tried again
        self._tickets = itertools.count()

    # What fronts say, and what is said of them.

    def know_fronts(self, fronts: Collection[int]) -> None:
        """These fronts live, and no other does: what is sent to those that have not come yet waits for them."""
        if self.outgoing.know(fronts):
            self._begin_scan()

    def stand(self, client: ClientConnection, payload: bytes) -> None:
        """A front has said which of its sockets stand."""
        self.outgoing.stand(client, StandingSockets.unpack(payload), self._begin_scan())

    def connect(self, client: ClientConnection) -> None:
        """A client has said hello; a front's sockets of an earlier link are none any more."""
        if client.front and self.outgoing.connect(client):
            self._begin_scan()

    def forget(self, client: ClientConnection) -> None:
        """It is gone, and its sockets with it."""
        if self.outgoing.forget(client):
            self._begin_scan()

    def receive(self, client: ClientConnection, request: Call) -> None:
        """An event of a socket.

        Raises:
            ProtocolError: it is none.
        """
        owner = self.store.place(request.type_id, request.name)
        if request.method == ON_MESSAGE:
            message, request.body = Message.unpack(request.body), b""
            if self.closings.knows(owner, message.socket):
                self._reply(client, request.slot)
            else:
                event = MessageEvent(message, client, request.slot)
                self.mailboxes.deliver(EventTurn(self._open(owner), event, request))
        elif request.method in {ON_CLOSE, ON_ERROR}:
            closed = Closed.unpack(request.body)
            self.outgoing.ended(closed.socket)
            ending = Ending(closed.code, closed.reason, closed.clean, broke=request.method == ON_ERROR)
            if self.mailboxes.draining:
                self._reply(client, request.slot)  # the row is for the next start
            else:
                # Behind SOCKETS come those of a predecessor, who may have died of them.
                suspect = self.outgoing.unwalked(closed.socket) is not None
                self.closings.start(owner, closed.socket, ending, client=client, slot=request.slot, suspect=suspect)
        else:
            raise ProtocolError(f"an event {request.method[:40]!r} of a socket from {client.name}")

    def taken(self, client: ClientConnection, payload: bytes) -> None:
        """A front has handed messages on."""
        self.outgoing.taken(client, unpack_taken(payload))

    # What the loop asks.

    @any_thread
    def is_due(self) -> bool:
        """True when `release` would have something to do (monitor)."""
        return not self.at_rest and (self._scan.is_due or self.clock.monotonic() >= self._due_at())

    def wait_s(self, longest_s: float) -> float:
        """How long the leader may sleep."""
        if self._scan.is_due:
            return 0.0
        return min(longest_s, max(0.0, self._due_at() - self.clock.monotonic()))

    def release(self, generation: int) -> bool:
        """Bring what is due into the mailboxes, and read a page of rows. False: the leadership is lost."""
        now, draining = self.clock.monotonic(), self.mailboxes.draining
        while self._aside and (draining or now >= self._aside[0][0]):
            self.mailboxes.requeue(heapq.heappop(self._aside)[2].entry)
        if draining:
            self._scan.stop()
            return True
        self.closings.pump()
        if self._scan.is_due:
            return self._scan.read(generation)
        self.at_rest = self._scan.is_over and self._due_at() == math.inf
        return True

    def look_again(self, type_ids: Container[int] = ()) -> None:
        """What is deployed, or quarantined, has changed; of these types nothing may have run until now."""
        self.closings.take_up(type_ids)
        self._begin_scan()

    # What turns do.

    @any_thread
    def is_live(self, socket: int) -> bool:
        """Whether a socket's front has it."""
        return self.outgoing.is_live(socket)

    def leave(self, turn: Turn, changes: Changes, *, ends: bool) -> None:
        """What a turn has sent goes to the door, at its end or its sync; whose it is, and what it waits for, is noted.

        At the end the turn's own word comes behind that and before anything leaves: what had sent would send again.
        """
        if changes.sends is not None and turn.broken is None:
            entry = turn.entry
            group = self._awaited_by(entry)
            leaving = SendsExit(self.outgoing, entry.stored, changes.sends, group)
            if ends:
                turn.mark(group or ENDED)
            self.gate.leave(entry, None, leaving)

    def admit(self, turn: EventTurn, loaded: LoadedType | None) -> bool:
        """Whether an event that was taken from its mailbox runs now; if not, it has been seen to."""
        entry, event = turn.entry, turn.event
        quarantined = self.mailboxes.is_quarantined(entry.type_id, entry.stored.name)
        if self.mailboxes.draining:
            self._turn_away(event)
        elif loaded is None or quarantined:
            if isinstance(event, CloseEvent):
                self.closings.park(event)
            else:
                if quarantined:
                    self.outgoing.close(entry.stored, (event.socket,), INTERNAL_ERROR, "quarantined")
                self._answer(event)
        elif self._has_no_room(entry):
            entry.mail.appendleft(turn)
            self._stir()
            heapq.heappush(self._aside, (self.clock.monotonic() + _AGAIN_S, next(self._tickets), turn))
            return False
        else:
            return True
        self.mailboxes.requeue(entry)
        return False

    def end(self, turn: EventTurn) -> None:
        """An event's turn is over."""
        event = turn.event
        if isinstance(event, CloseEvent):
            self.closings.end(turn, event)
        else:
            if turn.broken is None:
                turn.mark(self._awaited_by(turn.entry) or ENDED)
            self.gate.leave(turn.entry, turn, _Heard(self, turn.entry, event))

    # Inside.

    def _stir(self) -> None:
        self.at_rest = False

    def _begin_scan(self) -> int:
        self._stir()
        return self._scan.begin()

    def _awaited_by(self, entry: Entry) -> int:
        """The group that what leaves the instance now waits for."""
        return entry.last_group if entry.last_group > self.gate.settled else NO_GROUP

    def _deliver(self, owner: StoredInstance, event: CloseEvent) -> None:
        request = Call(0, owner.type_id, 0, CallKind.SOCKET, 0, owner.name, ON_CLOSE, b"", b"")
        self.mailboxes.deliver(EventTurn(self._open(owner), event, request))

    def _open(self, owner: StoredInstance) -> Entry:
        loaded = self.deployments.find(owner.type_id)
        return self.directory.open(owner.type_id, owner.name, loaded.type if loaded else f"type {owner.type_id}")

    def _close_orphan(self, owner: StoredInstance, socket: int) -> None:
        """It was accepted when its front had gone."""
        self.closings.start(owner, socket, Ending(ABNORMAL, "", clean=False))

    def _function_of(self, type_id: int) -> str:
        loaded = self.deployments.find(type_id)
        return loaded.function if loaded is not None else ""

    def _has_no_room(self, entry: Entry) -> bool:
        crowded = self.leadership.at_work >= self.limits.detached_turns_max
        return crowded or (self.directory.is_full and entry.sandbox is None)

    def _turn_away(self, event: MessageEvent | CloseEvent) -> None:
        """The worker drains: nothing begins any more."""
        if isinstance(event, CloseEvent):
            self.closings.withdraw(event)
        self._answer(event, HostUnavailableError.default_status)

    def _answer(self, event: MessageEvent | CloseEvent, status: int = 200) -> None:
        client = event.answer(status)
        if client is not None:
            self.replies.note_unsent(client)

    def _reply(self, client: ClientConnection, slot: int) -> None:
        self.replies.send(client, slot, 200, b"")

    def _due_at(self) -> float:
        events = self._aside[0][0] if self._aside else math.inf
        return events if self.mailboxes.draining else min(events, self.closings.due_at)


@leaders
class _Heard:
    """A message was heard, whatever its handler said; held until that is durable."""

    __slots__ = ("_entry", "_event", "_sockets")

    def __init__(self, sockets: Sockets, entry: Entry, event: MessageEvent) -> None:
        self._sockets = sockets
        self._entry = entry
        self._event = event

    def go(self) -> None:
        """It is durable."""
        self._sockets._answer(self._event)  # noqa: SLF001  (its own)

    def fail(self, error: HoldfastError) -> None:
        """What came of it is lost: the client is to come again, and to find out what is there."""
        self._event.note_lost()  # its group may have been reached without it
        self._sockets.outgoing.close(self._entry.stored, (self._event.socket,), SERVICE_RESTART, "a message was lost")
        self._sockets._answer(self._event)  # noqa: SLF001  (its own)
