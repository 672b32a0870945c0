"""What leaves for fronts: frames in the order of turns, and no more of them at a time than a front takes.

Messages go to a link at most `front_ahead_bytes` ahead of what its front has TAKEN, so that no call finds many of them
before it; the rest waits here, and functions, then their instances, have their turns. Past what may wait the sockets
that a message was for are closed, for they have missed something. What is no message keeps its place among those of
its instance.

A socket is alive while a link with its front is up that began before it was offered: a link that broke has ended all
that were before.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.wire.sockets import SERVICE_RESTART, Close, Open, Send, front_of, serial_of
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.wire.sockets import Frame
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.entry import Entry

Sends = list[tuple["Frame", "Collection[int]"]]

_TOO_MUCH: Final = "too many messages wait for it"


class _Waiting(NamedTuple):
    """A frame that waits in a queue."""

    frame: bytes
    serials: tuple[int, ...]  # of the sockets that miss something without it
    taken_bytes: int  # what the front will count for it


@leaders
class Queue:
    """What waits of one instance for one front."""

    __slots__ = ("frames", "function", "size_bytes")

    def __init__(self, function: str) -> None:
        self.function = function
        self.frames: deque[_Waiting] = deque()
        self.size_bytes = 0


@leaders
class FrontLink:
    """A link to a front; lives from its HELLO to its end."""

    def __init__(self, client: ClientConnection, first_serial: int, limits: Limits) -> None:
        self.client = client
        self.first_serial = first_serial  # sockets below it are no sockets any more
        self.queues: dict[StoredInstance, Queue] = {}
        self.cut: set[int] = set()  # serials of those that have missed something, until the front has closed them
        self._ahead_bytes = limits.front_ahead_bytes
        self._rounds: OrderedDict[str, OrderedDict[StoredInstance, Queue]] = OrderedDict()  # by function
        self._sent_bytes = self._taken_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """What its queues hold."""
        return sum(queue.size_bytes for queue in self.queues.values())

    def put(self, owner: StoredInstance, function: str, waiting: _Waiting) -> Queue | None:
        """Send a frame of an instance, or let it wait behind others; where it waits."""
        queue = self.queues.get(owner)
        if queue is None:
            if not waiting.taken_bytes or self._may_send(waiting.taken_bytes):
                self._send(waiting)
                return None
            queue = self.queues[owner] = Queue(function)
            self._rounds.setdefault(function, OrderedDict())[owner] = queue
        queue.frames.append(waiting)
        queue.size_bytes += len(waiting.frame)
        return queue

    def taken(self, taken_bytes: int) -> int:
        """The front has handed on so much; by how many bytes that has shortened the queues."""
        self._taken_bytes = max(self._taken_bytes, taken_bytes)
        left = 0
        while self._rounds:
            function, instances = next(iter(self._rounds.items()))
            owner, queue = next(iter(instances.items()))
            waiting = queue.frames[0]
            if waiting.taken_bytes and not self._may_send(waiting.taken_bytes):
                break
            queue.frames.popleft()
            queue.size_bytes -= len(waiting.frame)
            left += len(waiting.frame)
            self._send(waiting)
            if queue.frames:
                instances.move_to_end(owner)
                self._rounds.move_to_end(function)
            else:
                self._drop(owner, queue)
                if function in self._rounds:
                    self._rounds.move_to_end(function)
        return left

    def give_up(self, owner: StoredInstance) -> int:
        """Forget what waits of an instance, and close the sockets that miss it; how many bytes that were."""
        queue = self.queues[owner]
        self._drop(owner, queue)
        missed = tuple({serial: None for waiting in queue.frames for serial in waiting.serials})
        self.cut.update(missed)
        for waiting in queue.frames:
            if not waiting.taken_bytes:  # who opens or closes is told so all the same
                self._send(waiting)
        if missed:
            close = Close(SERVICE_RESTART, missed, _TOO_MUCH, owner.type_id, owner.name)
            self._send(_Waiting(close.pack(), (), 0))
        return queue.size_bytes

    def _drop(self, owner: StoredInstance, queue: Queue) -> None:
        del self.queues[owner]
        instances = self._rounds[queue.function]
        del instances[owner]
        if not instances:
            del self._rounds[queue.function]

    def _may_send(self, frame_bytes: int) -> bool:
        ahead = self._sent_bytes - self._taken_bytes
        return not ahead or ahead + frame_bytes <= self._ahead_bytes

    def _send(self, waiting: _Waiting) -> None:
        self._sent_bytes += waiting.taken_bytes
        self.client.post(waiting.frame)


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
        self._waiting_bytes = 0

    @any_thread
    def is_live(self, socket: int) -> bool:
        """Whether its front has it, as far as is known here."""
        link = self._links.get(front_of(socket))
        return link is not None and serial_of(socket) >= link.first_serial

    @property
    def waiting_bytes(self) -> int:
        """What waits for fronts."""
        return self._waiting_bytes

    def connect(self, client: ClientConnection) -> bool:
        """A front's link is up; whether it has another one, whose end is not known here yet: that one is over."""
        link, earlier = FrontLink(client, client.first_serial, self._limits), self._links.get(client.front)
        if earlier is not None:
            self._waiting_bytes -= earlier.waiting_bytes
        self._links = {**self._links, client.front: link}
        return earlier is not None

    def forget(self, client: ClientConnection) -> bool:
        """A client is gone; whether it was a front's link."""
        link = self._links.get(client.front)
        if link is None or link.client is not client:
            return False
        self._waiting_bytes -= link.waiting_bytes
        self._links = {front: each for front, each in self._links.items() if each is not link}
        return True

    def taken(self, client: ClientConnection, taken_bytes: int) -> None:
        """A front has handed on so much of what was sent on its link."""
        link = self._links.get(client.front)
        if link is not None and link.client is client:
            self._waiting_bytes -= link.taken(taken_bytes)
            self._on_unsent(client)

    def ended(self, socket: int) -> None:
        """Its front has closed it."""
        link = self._links.get(front_of(socket))
        if link is not None:
            link.cut.discard(serial_of(socket))

    def send(self, owner: StoredInstance, sends: Sends) -> None:
        """Let out what a turn has sent."""
        function = self._function_of(owner.type_id)
        for frame, sockets in sends:
            if isinstance(frame, Open) and not self.is_live(frame.socket):
                self._on_orphan(owner, frame.socket)
                continue
            for front, serials in self._by_front(sockets).items():
                self._send(owner, function, self._links[front], frame, serials)

    def close(self, owner: StoredInstance, sockets: Iterable[int], code: int, reason: str) -> None:
        """Have their fronts close these, for a reason of the host's."""
        numbers = [*sockets]
        if numbers:
            self.send(owner, [(Close(code, (), reason), numbers)])

    def _send(
        self, owner: StoredInstance, function: str, link: FrontLink, frame: Frame, serials: tuple[int, ...]
    ) -> None:
        if isinstance(frame, (Send, Close)):
            frame = replace(frame, serials=serials, type_id=owner.type_id, name=owner.name)
        packed = frame.pack()
        counted = isinstance(frame, Send)
        waiting = _Waiting(packed, serials if counted else (), len(packed) if counted else 0)
        queue = link.put(owner, function, waiting)
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
        self._on_unsent(link.client)

    def _by_front(self, sockets: Collection[int]) -> dict[int, tuple[int, ...]]:
        """The serials of those that are alive and have missed nothing, by their fronts."""
        serials: defaultdict[int, list[int]] = defaultdict(list)
        for socket in sockets:  # of a crowd: what it costs is spent in this loop
            serials[socket >> 32].append(socket & 0xFFFFFFFF)
        alive: dict[int, tuple[int, ...]] = {}
        for front, found in serials.items():
            link = self._links.get(front)
            if link is None:
                continue
            first, cut = link.first_serial, link.cut
            if cut or min(found) < first:
                found = [serial for serial in found if serial >= first and serial not in cut]
            if found:
                alive[front] = tuple(found)
        return alive


@leaders
class SendsExit:
    """What a turn has sent, held by the gate until what it says is durable."""

    __slots__ = ("_outgoing", "_owner", "_sends")

    def __init__(self, outgoing: Outgoing, entry: Entry, sends: Sends) -> None:
        self._outgoing = outgoing
        self._owner = entry.stored
        self._sends = sends

    def go(self) -> None:
        """It leaves."""
        self._outgoing.send(self._owner, self._sends)

    def fail(self, error: HoldfastError) -> None:
        """It never was: who was to accept or to close has not, as the rows have it."""
