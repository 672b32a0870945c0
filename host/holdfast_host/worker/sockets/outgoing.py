"""What leaves for fronts: frames in the order of turns, each part of a turn's on the link that was there at its end.

Past what may wait for a front (`front_links`) the sockets that a message was for are closed, for they have missed
something. What is no message keeps its place among those of its instance.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast_host.storage.store import Ending
from holdfast_host.wire.pages.send_page import NO_GROUP, NO_SLOT
from holdfast_host.wire.sockets.frames import (
    ABNORMAL,
    SERIAL_MAX,
    Auto,
    Close,
    Open,
    Send,
    front_of,
    serial_of,
)
from holdfast_host.worker.sockets.front_links import FrontLink, Part, WaitingFrame
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.wire.sockets.frames import Frame
    from holdfast_host.wire.sockets.standing import StandingSockets
    from holdfast_host.worker.client_connections import ClientConnection

Sends = list[tuple["Frame", "Collection[int]"]]


@leaders
class Outgoing:
    """The links of one worker to the fronts that have sockets."""

    def __init__(
        self,
        limits: Limits,
        *,
        function_of: Callable[[int], str],
        on_orphan: Callable[[StoredInstance, int], None],
        on_unsent: Callable[[ClientConnection], None],
    ) -> None:
        """Make it without a link.

        Args:
            limits: the host's.
            function_of: whose a type is, by its number.
            on_orphan: told of a socket that was accepted when its front had gone.
            on_unsent: told of a connection that has something to send.
        """
        self._limits = limits
        self._function_of = function_of
        self._on_orphan = on_orphan
        self._on_unsent = on_unsent
        self._links: dict[int, FrontLink] = {}  # by the front's number; replaced, never changed
        self._known: set[int] = set()  # fronts that have had a link here, or were awaited
        self._waiting_bytes = 0

    @any_thread
    def is_live(self, socket: int) -> bool:
        """Whether its front has it, as far as is known here."""
        link = self._links.get(socket >> 32)  # as `front_of`: each message asks
        return link is not None and link.is_live(socket & SERIAL_MAX)

    @property
    def waiting_bytes(self) -> int:
        """What waits for fronts."""
        return self._waiting_bytes

    def know(self, fronts: Collection[int]) -> bool:
        """These fronts live, and no other does; whether one has gone that was awaited."""
        gone = [front for front, link in self._links.items() if link.client is None and front not in fronts]
        for front in gone:
            self._end(front)
        for front in fronts:
            if front not in self._known:
                self._begin(front)
        return bool(gone)

    def connect(self, client: ClientConnection) -> bool:
        """A front's link is up; whether it has another one, whose end is not known here yet: that one is over."""
        front = client.front
        link = self._links.get(front)
        has_other = link is not None and link.client is not None
        if has_other:
            self._end(front)
        if link is None or has_other:
            link = self._begin(front)
        if client.pages is not None:
            self._waiting_bytes -= link.waiting_bytes
            link.attach(client, client.pages.sends)
            self._waiting_bytes += link.waiting_bytes
        return has_other

    def stand(self, client: ClientConnection, standing: StandingSockets, walk: int) -> None:
        """A front has said which of its sockets stand; that walk through the rows compares them with it."""
        link = self.link_of(client)
        if link is not None:
            link.stand(standing, walk)
            self._waiting_bytes -= link.taken(0)
            self._on_unsent(client)

    def walked(self, walk: int) -> None:
        """That walk through the rows has come to its end."""
        for link in self._links.values():
            link.walked(walk)

    def link_of(self, client: ClientConnection) -> FrontLink | None:
        """The link that a client is, where it still is one."""
        link = self._links.get(client.front)
        return link if link is not None and link.client is client else None

    def forget(self, client: ClientConnection) -> bool:
        """A client is gone; whether it was a front's link."""
        link = self.link_of(client)
        if link is not None:
            self._end(client.front)
        return link is not None

    def taken(self, client: ClientConnection, taken_bytes: int) -> None:
        """A front has handed on so much of what was sent on its link."""
        link = self.link_of(client)
        if link is not None:
            self._waiting_bytes -= link.taken(taken_bytes)
            self._on_unsent(client)

    def ended(self, socket: int) -> None:
        """Its front has closed it."""
        link = self._links.get(front_of(socket))
        if link is not None:
            link.cut.discard(serial_of(socket))

    def ending_of(self, owner: StoredInstance, socket: int) -> Ending | None:
        """How an instance's socket has ended, as its front has it or is gone; None where it stands."""
        link = self._links.get(front_of(socket))
        return Ending(ABNORMAL, "", clean=False) if link is None else link.ending_of(owner, serial_of(socket))

    def unwalked(self, socket: int) -> FrontLink | None:
        """The link of its front, where that one's sockets are still compared with the rows."""
        link = self._links.get(front_of(socket))
        return link if link is not None and link.standing is not None else None

    def divide(self, owner: StoredInstance, sends: Sends, group: int, *, noted: bool = True) -> list[Part]:
        """What a turn has sent, by fronts, and noted in their pages; it waits for that group."""
        parts: dict[int, Part] = {}
        for frame, sockets in sends:
            for front, serials in _by_front(sockets):
                part = parts.get(front)
                if part is None:
                    part = parts[front] = Part(owner, self._links.get(front), group)
                part.frames.append((frame, serials))
                if isinstance(frame, Open):
                    part.opens = (*part.opens, (owner, serial_of(frame.socket)))
        for part in parts.values() if noted else ():
            if part.link is not None:
                part.link.note(part)
        return [*parts.values()]

    def let_out(self, part: Part) -> None:
        """It leaves, unless its link is gone, or will not come."""
        owner, link, slot = part.owner, part.link, part.slot
        if link is None or link.is_over:
            self._note_orphans(part)
            return
        link.leaves(part)
        function = self._function_of(owner.type_id)
        last = len(part.frames) - 1
        if part.opens:
            last = max((at for at, (frame, _) in enumerate(part.frames) if not isinstance(frame, Open)), default=-1)
        for at, (frame, serials) in enumerate(part.frames):
            if isinstance(frame, Open) and not link.is_live(serial_of(frame.socket)):
                self._on_orphan(owner, frame.socket)  # it was offered before the link that its front has now
                continue
            self._send(owner, function, link, frame, serials, slot if at == last else NO_SLOT)

    def _note_orphans(self, part: Part) -> None:
        for frame, _ in part.frames:
            if isinstance(frame, Open):
                self._on_orphan(part.owner, frame.socket)

    def withdraw(self, part: Part) -> None:
        """It never was."""
        if part.link is not None and not part.link.is_over:
            part.link.withdraw(part)

    def tell(self, owner: StoredInstance, sends: Sends) -> None:
        """Let out what no turn has sent, and what is said anew where it is lost."""
        for part in self.divide(owner, sends, NO_GROUP, noted=False):
            self.let_out(part)

    def close(self, owner: StoredInstance, sockets: Iterable[int], code: int, reason: str) -> None:
        """Have their fronts close these, for a reason of the host's."""
        numbers = [*sockets]
        if numbers:
            self.tell(owner, [(Close(code, (), reason), numbers)])

    def _begin(self, front: int) -> FrontLink:
        link = FrontLink(self._limits, is_first=front not in self._known)
        self._known.add(front)
        self._links = {**self._links, front: link}
        return link

    def _end(self, front: int) -> None:
        link = self._links[front]
        self._waiting_bytes -= link.waiting_bytes
        self._links = {number: each for number, each in self._links.items() if each is not link}
        link.end()

    def _send(
        self,
        owner: StoredInstance,
        function: str,
        link: FrontLink,
        frame: Frame,
        serials: tuple[int, ...],
        slot: int,
    ) -> None:
        counted = isinstance(frame, Send)
        if counted or isinstance(frame, Close):
            if link.cut:
                serials = tuple(serial for serial in serials if serial not in link.cut)
            if not serials and slot == NO_SLOT:
                return
        packed = _packed(frame, serials, owner, slot)
        waiting = WaitingFrame(packed, serials if counted else (), len(packed) if counted else 0, slot)
        queue = link.put(owner, function, waiting)
        if link.client is not None:
            self._on_unsent(link.client)
        if queue is not None:
            self._waiting_bytes += len(packed)
            if queue.size_bytes > self._limits.front_unsent_bytes_max:
                self._waiting_bytes -= link.give_up(owner)
            while self._waiting_bytes > self._limits.worker_unsent_bytes_max:
                self._give_up_largest()

    def _give_up_largest(self) -> None:
        queues = ((link, owner) for link in self._links.values() for owner in link.queues)
        link, owner = max(queues, key=lambda each: each[0].queues[each[1]].size_bytes)
        self._waiting_bytes -= link.give_up(owner)
        if link.client is not None:
            self._on_unsent(link.client)


def _packed(frame: Frame, serials: tuple[int, ...], owner: StoredInstance, slot: int) -> bytes:
    """As it goes to a front: for these of its sockets, and with the slot that says that all before it is there."""
    if isinstance(frame, Send):
        return frame.pack_for(serials, owner.type_id, owner.name, slot)
    if isinstance(frame, Close):
        return replace(frame, serials=serials, type_id=owner.type_id, name=owner.name, slot=slot).pack()
    return (replace(frame, slot=slot) if isinstance(frame, Auto) else frame).pack()


def _by_front(sockets: Collection[int]) -> Iterable[tuple[int, tuple[int, ...]]]:
    """Their fronts, and their serials there."""
    if len(sockets) == 1:
        (socket,) = sockets
        return ((socket >> 32, (socket & SERIAL_MAX,)),)
    serials: defaultdict[int, list[int]] = defaultdict(list)
    for socket in sockets:  # of a crowd: what it costs is spent in this loop
        serials[socket >> 32].append(socket & SERIAL_MAX)
    return [(front, tuple(found)) for front, found in serials.items()]


@leaders
class SendsExit:
    """What a turn has sent, held by the gate until what it says is durable."""

    __slots__ = ("_outgoing", "_parts")

    def __init__(self, outgoing: Outgoing, owner: StoredInstance, sends: Sends, group: int) -> None:
        """`group` is the one that it waits for, or NO_GROUP."""
        self._outgoing = outgoing
        self._parts = outgoing.divide(owner, sends, group)

    def go(self) -> None:
        """It leaves."""
        for part in self._parts:
            self._outgoing.let_out(part)

    def fail(self, error: HoldfastError) -> None:
        """It never was: who was to accept or to close has not, as the rows have it."""
        for part in self._parts:
            self._outgoing.withdraw(part)
