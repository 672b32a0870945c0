"""A front as one worker sees it: what waits for it, and which of its sockets stand.

    awaited --HELLO, SOCKETS--> linked --end of the link--> over

A front that lives is awaited from the start of the worker on: its sockets are taken for open, and what is sent to them
waits until it has said which of them are. From then on it gets frames, at most `front_ahead_bytes` ahead of what it has
TAKEN; the rest waits here, and functions, then their instances, have their turns. A link that ends has ended all its
sockets; the next one of that front knows none from before it.

What is on its way is noted in the front's send page (`wire.send_page`) as long as there is one: what was sent while it
was awaited is noted there before our HELLO is answered, for a worker that dies before that is known as such.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.storage.store import Ending
from holdfast_host.wire.pages.send_page import NO_GROUP, NO_SLOT, owner_mark
from holdfast_host.wire.sockets.frames import (
    ABNORMAL,
    SERIAL_MAX,
    SERVICE_RESTART,
    Close,
    untold_bytes_max,
    without_slot,
)
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.wire.pages.send_page import SendPage
    from holdfast_host.wire.sockets.frames import Frame
    from holdfast_host.wire.sockets.standing import StandingSockets
    from holdfast_host.worker.client_connections import ClientConnection

_TOO_MUCH: Final = "too many messages wait for it"


class WaitingFrame(NamedTuple):
    """A frame on its way."""

    frame: bytes
    serials: tuple[int, ...]  # of the sockets that miss something without it
    taken_bytes: int  # what the front will count for it
    slot: int  # of the send page, that it carries


@leaders
class Part:
    """What a turn sends to one front; from the turn's end, or its sync, until it leaves or is lost."""

    __slots__ = ("frames", "group", "link", "opens", "owner", "slot")

    def __init__(self, owner: StoredInstance, link: FrontLink | None, group: int) -> None:
        self.owner = owner
        self.link = link  # None: its front is not there
        self.group = group  # that it waits for
        self.frames: list[tuple[Frame, tuple[int, ...]]] = []
        self.opens: tuple[tuple[StoredInstance, int], ...] = ()  # whose sockets those are that it opens
        self.slot = NO_SLOT


@leaders
class Queue:
    """What waits of one instance for one front."""

    __slots__ = ("frames", "function", "size_bytes")

    def __init__(self, function: str) -> None:
        self.function = function
        self.frames: deque[WaitingFrame] = deque()
        self.size_bytes = 0


@leaders
class FrontLink:
    """One front, until its link ends."""

    def __init__(self, limits: Limits, *, is_first: bool) -> None:
        """`is_first`: no link of the front has ended here, so that its sockets may be older than this worker."""
        self.client: ClientConnection | None = None
        self.is_first = is_first
        self.is_over = False
        self.standing: StandingSockets | None = None  # from SOCKETS until all rows are compared with it
        self.walk = 0  # which walk through the rows has done that
        self.queues: dict[StoredInstance, Queue] = {}
        self.cut: set[int] = set()  # serials of those that have missed something, until the front has closed them
        self._ahead_bytes = limits.front_ahead_bytes
        self._untold_bytes = untold_bytes_max(limits.front_ahead_bytes)
        self._rounds: OrderedDict[str, OrderedDict[StoredInstance, Queue]] = OrderedDict()  # by function
        self._sent_bytes = self._taken_bytes = 0
        self._is_ready = False  # for frames
        self._before: list[tuple[StoredInstance, WaitingFrame]] = []  # that go out first once it is
        self._unnoted: dict[Part, None] = {}  # parts for which there was no page
        self._opening: set[tuple[StoredInstance, int]] = set()  # sockets whose OPEN has not left
        self._next_serial = 0 if is_first else SERIAL_MAX + 1  # from which on sockets are younger than SOCKETS
        self._closing: dict[tuple[int, int], Ending] = {}
        self._gone: set[int] = set()  # of those before it, in which SOCKETS did not name them

    @property
    def waiting_bytes(self) -> int:
        """What its queues hold."""
        return sum(queue.size_bytes for queue in self.queues.values())

    # Which sockets stand.

    @any_thread
    def is_live(self, serial: int) -> bool:
        """Whether the front has it, as far as is known."""
        if serial >= self._next_serial:
            return serial not in self._gone
        standing = self.standing
        if standing is None or not self.is_first:
            return self.is_first and serial not in self._gone
        return serial in standing.open or serial in standing.offers

    def stand(self, standing: StandingSockets, walk: int) -> None:
        """The front has said what stands; that walk compares the rows with it."""
        self._closing = {
            (each.serial, each.owner): Ending(each.code, each.reason, each.clean, broke=each.broke)
            for each in standing.closing
        }
        self.walk = walk
        self.standing = standing
        self._next_serial = standing.next_serial
        self._is_ready = True
        for _, waiting in self._before:
            self._send(waiting)
        self._before.clear()

    def walked(self, walk: int) -> None:
        """All rows have been compared: those that do not stand are on their way to their close."""
        if self.standing is not None and self.walk <= walk:
            self.standing = None
            self._closing.clear()

    def is_offered(self, owner: StoredInstance, serial: int) -> bool:
        """Whether its OPEN may be lost: a predecessor's; a row may be read before our own has left for it."""
        offered = self.standing is not None and self.is_first and serial in self.standing.offers
        return offered and (owner, serial) not in self._opening

    def ending_of(self, owner: StoredInstance, serial: int) -> Ending | None:
        """How an instance's socket has ended; None where it stands."""
        standing = self.standing
        if standing is None or serial >= standing.next_serial:
            return None if self.is_live(serial) else Ending(ABNORMAL, "", clean=False)
        mark = owner_mark(owner.type_id, owner.name)
        if self.is_first and (standing.open.get(serial) == mark or serial in standing.offers):
            return None
        if serial not in standing.open:
            self._gone.add(serial)
        return self._closing.get((serial, mark)) or Ending(ABNORMAL, "", clean=False)

    # What is sent.

    def attach(self, client: ClientConnection, page: SendPage) -> None:
        """The front's link is here. What waits for it is noted in its page."""
        self.client = client
        for part in self._unnoted:
            part.slot = page.take(owner_mark(part.owner.type_id, part.owner.name), part.group)
        self._unnoted.clear()
        for owner, queue in self.queues.items():
            waiting = _carrier(owner, page.take(owner_mark(owner.type_id, owner.name), NO_GROUP))
            queue.frames.append(waiting)
            queue.size_bytes += len(waiting.frame)
        for owner in {id(owner): owner for owner, _ in self._before}.values():
            self._before.append((owner, _carrier(owner, page.take(owner_mark(owner.type_id, owner.name), NO_GROUP))))

    def note(self, part: Part) -> None:
        """Note whose frames those are and what they wait for, before that can be reached."""
        self._opening.update(part.opens)
        if len(part.opens) == len(part.frames):
            return  # nobody would miss them: they are said again
        page = self._page
        if page is None:
            self._unnoted[part] = None
        else:
            part.slot = page.take(owner_mark(part.owner.type_id, part.owner.name), part.group)

    def withdraw(self, part: Part) -> None:
        """It will never leave."""
        self.leaves(part)
        page = self._page
        if page is not None:
            page.withdraw(part.slot)

    def leaves(self, part: Part) -> None:
        """Its frames are about to be sent."""
        self._unnoted.pop(part, None)
        self._opening.difference_update(part.opens)

    def end(self) -> None:
        """The link is gone, and its sockets with it."""
        self.is_over = True
        page = self._page
        if page is not None:
            page.lose_everything()

    def put(self, owner: StoredInstance, function: str, waiting: WaitingFrame) -> Queue | None:
        """Send a frame of an instance, or let it wait behind others; where it waits."""
        queue = self.queues.get(owner)
        if queue is None:
            if self._is_ready and (not waiting.taken_bytes or self._may_send(waiting.taken_bytes)):
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
        """Forget what waits of an instance, and close the sockets that miss it; how many bytes that were.

        Slots are cleared behind that close alone: what keeps its place before it carries none any more.
        """
        queue = self.queues[owner]
        self._drop(owner, queue)
        missed = tuple({serial: None for waiting in queue.frames for serial in waiting.serials})
        self.cut.update(missed)
        leaving = [_without_slot(each) for each in queue.frames if not each.taken_bytes]  # who opens, closes: told so
        if missed:
            close = Close(SERVICE_RESTART, missed, _TOO_MUCH, owner.type_id, owner.name)
            leaving.append(WaitingFrame(close.pack(), (), 0, NO_SLOT))
        leaving += (_carrier(owner, each.slot) for each in queue.frames if each.slot != NO_SLOT)
        for waiting in leaving:
            if self._is_ready:
                self._send(waiting)
            else:
                self._before.append((owner, waiting))
        return queue.size_bytes

    @property
    def _page(self) -> SendPage | None:
        return None if self.client is None or self.client.pages is None else self.client.pages.sends

    def _drop(self, owner: StoredInstance, queue: Queue) -> None:
        del self.queues[owner]
        instances = self._rounds[queue.function]
        del instances[owner]
        if not instances:
            del self._rounds[queue.function]

    def _may_send(self, frame_bytes: int) -> bool:
        ahead = self._sent_bytes - self._taken_bytes
        return ahead <= self._untold_bytes or ahead + frame_bytes <= self._ahead_bytes

    def _send(self, waiting: WaitingFrame) -> None:
        if self.client is not None:
            self._sent_bytes += waiting.taken_bytes
            self.client.post(waiting.frame)


def _without_slot(waiting: WaitingFrame) -> WaitingFrame:
    if waiting.slot == NO_SLOT:
        return waiting
    return waiting._replace(frame=without_slot(waiting.frame), slot=NO_SLOT)


def _carrier(owner: StoredInstance, slot: int) -> WaitingFrame:
    """A frame that only says that all before it are there."""
    return WaitingFrame(Close(SERVICE_RESTART, (), "", owner.type_id, owner.name, slot).pack(), (), 0, slot)
