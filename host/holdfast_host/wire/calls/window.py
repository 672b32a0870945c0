"""One client's window of slots at one worker: which calls wait for an answer, and what becomes of them when it dies.

Invariants: a slot is free again only by its REPLY, or when its worker is known to be gone; a call is never sent twice
unless the evidence says that it has not begun, or it has an idempotency key, so that its receipt decides; a question
changes nothing, and so is sent again as often as such a call; all keep their order, also when they are sent again; and
nobody is told that nothing happened where an earlier worker may have committed it.

    down --hello--> up --lost--> down --give_up--> refusing --hello--> up

While it is *down*, calls take slots and wait for the successor; while it is *refusing*, they are refused at once. A
front's link and a worker's peer both own one: sockets, time and waiting are theirs, the decision from evidence is
`wire.evidence`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import ActorOutputGateError, HoldfastError, HostUnavailableError, MailboxFullError
from holdfast_host.core.limits import SLOTS, Limits
from holdfast_host.wire.calls.frames import PROTOCOL, Kind, ProtocolError, unpack_json, with_slot
from holdfast_host.wire.pages.evidence import Opened, judge
from holdfast_host.wire.pages.state_page import NOT_BEGUN, StatePage

if TYPE_CHECKING:
    from collections.abc import Callable

Reply = tuple[int, bytes]  # HTTP status and body

# Of a call with a key, whatever the evidence says, and of a question, which leaves none: what kills workers must end.
REPEATS_MAX: Final = 2

_HELLO: Final = int(Kind.HELLO)


class Receiver(Protocol):
    """Who gets a call's answer.

    It is told within the window's own work, and so raises nothing and enters no other call before that work is done.
    """

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, reply: Reply, /) -> None:
        """The worker's answer."""

    def set_exception(self, error: HoldfastError, /) -> None:
        """Why there is none."""


class PendingCall:
    """A call that has a slot and no answer yet. The frame stays, in case it must be sent again."""

    __slots__ = (
        "body_bytes", "doubt", "frame", "is_question", "moved_at", "partition", "receiver", "repeats_left", "sent",
        "slot",
    )  # fmt: skip

    def __init__(
        self,
        slot: int,
        receiver: Receiver,
        frame: bytes,
        partition: int,
        body_bytes: int,
        sent: bool,
        repeats_left: int = 0,
        is_question: bool = False,
    ) -> None:
        # By position, as `enter`: names cost a call more than the rest of this.
        self.slot = slot
        self.receiver = receiver
        self.frame = frame
        self.partition = partition
        self.body_bytes = body_bytes
        self.sent = sent  # to the worker of the current page
        self.repeats_left = repeats_left
        self.is_question = is_question
        self.moved_at = 0.0  # when a worker first said that it is another one's; monotonic
        self.doubt: ActorOutputGateError | None = None  # why an earlier worker may have committed it all the same


class Window:
    """The slots of one client at one worker. Lives as long as its owner; for the owner's thread.

    Args (when made):
        worker: the worker's number, for errors.
        limits: how many bytes of bodies may be unanswered, and how long a successor is waited for.
        calls: what is sent, for errors: "calls" or "nested calls".
    """

    def __init__(self, worker: int, limits: Limits, calls: str = "calls") -> None:
        self.up = False  # from a worker's HELLO to the end of its connection
        self._worker = worker
        self._limits = limits
        self._calls = calls
        self._refusing = False
        self._page = StatePage.create()  # the words of the calls that have slots; replaced at each HELLO
        self._pending: dict[int, PendingCall] = {}  # by slot, in order of arrival
        self._free = list(range(SLOTS))
        self._unanswered_bytes = 0
        self._opened: Opened | None = None

    @property
    def unanswered(self) -> int:
        """Slots in use."""
        return len(self._pending)

    def take(self, body_bytes: int) -> int:
        """A slot for a call with a body of so many bytes; `enter` comes next.

        Raises:
            MailboxFullError: no slot or no room for the body.
            HostUnavailableError: no successor came in time.
        """
        if not self._free or self._unanswered_bytes + body_bytes > self._limits.client_body_bytes_max:
            raise self._full(body_bytes)
        if self._refusing:
            raise HostUnavailableError(
                f"worker {self._worker} is gone since over {self._limits.resend_timeout_s:g} s: the call has not begun"
            )
        slot = self._free.pop()
        self._page.words[slot] = 0
        self._unanswered_bytes += body_bytes
        return slot

    def enter(
        self,
        slot: int,
        receiver: Receiver,
        frame: bytes,
        partition: int,
        body_bytes: int,
        keyed: bool = False,
        question: bool = False,
    ) -> PendingCall:
        """The call, or the question, that took this slot; where it is `sent`, its frame is to be written now."""
        repeats = REPEATS_MAX if keyed or question else 0
        pending = PendingCall(slot, receiver, frame, partition, body_bytes, self.up, repeats, question)
        self._pending[slot] = pending
        return pending

    def can_cancel(self, slot: int, receiver: Receiver) -> bool:
        """Whether a CANCEL for the slot reaches the receiver's call: it may have been answered and taken anew."""
        pending = self._pending.get(slot)
        return self.up and pending is not None and pending.receiver is receiver

    def reply(self, slot: int, status: int, body: bytes) -> None:
        """A slot's answer: it is free again, and who waits is told.

        Raises:
            ProtocolError: no call waits in this slot.
        """
        pending = self._pending.pop(slot, None)
        if pending is None:
            raise ProtocolError(f"a REPLY for slot {slot}, which waits for none")
        self._free.append(slot)
        self._unanswered_bytes -= pending.body_bytes
        if not pending.receiver.done():
            pending.receiver.set_result((status, body))

    def take_back(self, slot: int) -> PendingCall:
        """A slot's call, which its worker has not begun, is another worker's: its slot is free again.

        Raises:
            ProtocolError: no call waits in this slot.
        """
        pending = self._pending.pop(slot, None)
        if pending is None:
            raise ProtocolError(f"a REPLY for slot {slot}, which waits for none")
        self._free.append(slot)
        self._unanswered_bytes -= pending.body_bytes
        return pending

    def take_back_unbegun(self, is_elsewhere: Callable[[int], bool]) -> list[PendingCall]:
        """Calls that wait for the successor of a worker which has not begun them, of partitions that are another one's.

        `is_elsewhere(partition)` says so of those whose last owner is known to begin nothing more.
        """
        if self.up:
            return []
        words = self._page.words
        return [
            self.take_back(slot)
            for slot, pending in list(self._pending.items())
            if not pending.is_question
            and (not pending.sent or words[slot] == NOT_BEGUN)
            and is_elsewhere(pending.partition)
        ]

    def enter_again(self, slot: int, call: PendingCall) -> PendingCall:
        """A call that another worker has not begun, in the slot that was taken for it here."""
        frame = with_slot(call.frame, slot)
        pending = PendingCall(
            slot, call.receiver, frame, call.partition, call.body_bytes, self.up, call.repeats_left, call.is_question
        )
        pending.moved_at, pending.doubt = call.moved_at, call.doubt
        self._pending[slot] = pending
        return pending

    def hello(self, opened: Opened, page: StatePage) -> list[bytes]:
        """A worker is there, which writes to this page: what its predecessor left is judged.

        Returns:
            The frames to send, in order: of the calls that have not begun or have a key, and that somebody waits for.
            The others are answered.
        """
        before, self._opened = self._opened, opened
        old_page, self._page = self._page, page
        again: list[bytes] = []
        for slot, pending in list(self._pending.items()):
            verdict = judge(old_page.words[slot], pending.partition, before, opened) if pending.sent else None
            if verdict is None and pending.sent and pending.is_question:
                verdict = HostUnavailableError(f"{REPEATS_MAX + 1} workers ended before they had answered the question")
            if verdict is not None and pending.repeats_left:
                pending.repeats_left -= 1
                if isinstance(verdict, ActorOutputGateError) and not pending.is_question:
                    pending.doubt = verdict
                verdict = None
            if verdict is None and not pending.receiver.done():
                pending.sent = True
                again.append(pending.frame)
            else:
                self._fail(slot, verdict)
        old_page.close()
        self.up = True
        self._refusing = False
        return again

    def lost(self) -> None:
        """The connection ended: the evidence is kept for the successor's HELLO."""
        self.up = False

    def give_up(self) -> None:
        """No successor came in time: all are answered from what is known, and from now on calls are refused."""
        self._refusing = True
        for slot, pending in list(self._pending.items()):
            self._fail(slot, judge(self._page.words[slot], pending.partition, self._opened, None))

    def close(self) -> None:
        """The end: like `give_up`, for good."""
        self.up = False
        self.give_up()
        self._page.close()

    def owns(self, page: StatePage) -> bool:
        """Whether this is the page of the current slots, which the window closes itself."""
        return page is self._page

    def _fail(self, slot: int, verdict: HoldfastError | None) -> None:
        pending = self._pending.pop(slot)
        self._free.append(slot)
        self._unanswered_bytes -= pending.body_bytes
        if verdict is not None and not pending.receiver.done():
            pending.receiver.set_exception(pending.doubt or verdict)

    def _full(self, body_bytes: int) -> MailboxFullError:
        if not self._free:
            return MailboxFullError(f"worker {self._worker} has {SLOTS} unanswered {self._calls}, the limit is {SLOTS}")
        return MailboxFullError(
            f"worker {self._worker} has {self._unanswered_bytes} bytes of unanswered bodies, {body_bytes} more exceed "
            f"the limit of {self._limits.client_body_bytes_max} bytes"
        )


def read_hello(kind: int, payload: bytes) -> Opened:
    """The worker's first frame, which must be its HELLO and of our protocol.

    Raises:
        ProtocolError: it is not.
    """
    if kind != _HELLO:
        raise ProtocolError(f"a frame of kind {kind} out of turn")
    facts = unpack_json(payload)
    if facts.get("protocol") != PROTOCOL:
        raise ProtocolError(f"the worker speaks protocol {facts.get('protocol')}, we speak {PROTOCOL}")
    try:
        return Opened.from_hello(facts)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"a HELLO without what a worker opened: {error!r}") from error
