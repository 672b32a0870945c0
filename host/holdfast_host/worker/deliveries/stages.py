"""The stages of a delivery, and which may follow which.

    DUE -> QUEUED -> READING -> QUEUED -> RUNNING -> WRITING -> OVER

That is the way of a first attempt that nothing disturbs. A row may turn out to be gone, or need no handler; an attempt
that may have killed a worker is written down before it runs; what could not be written is put aside and tried again.
A call or request of a job is away until it is answered; of an answer that streams each piece is written, and then the
next one awaited.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Hashable

    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import Alarm, StoredInstance
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.turn import Turn

    Row = Alarm | Job


class Stage(Enum):
    """Where a delivery is; the value continues "a delivery that"."""

    DUE = "was taken from the table"
    QUEUED = "waits in the mailbox"
    READING = "waits for its row, and holds the instance"
    NOTING = "waits for the note that its attempt has begun, and holds the instance"
    IN_LINE = "has killed a worker and waits for another one that has"
    RUNNING = "runs its handler"
    WRITING = "waits until what became of it is durable"
    AWAY = "waits for an answer, from elsewhere"
    ASIDE = "waits to be tried again"
    OVER = "is over"


NEXT: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.DUE: frozenset({Stage.QUEUED}),
    Stage.QUEUED: frozenset(
        # Once the row is read the handler runs, now or later; or the row is gone, or is taken on without one.
        {
            Stage.READING,
            Stage.RUNNING,
            Stage.NOTING,
            Stage.AWAY,
            Stage.IN_LINE,
            Stage.ASIDE,
            Stage.WRITING,
            Stage.OVER,
        }
    ),
    Stage.READING: frozenset({Stage.QUEUED, Stage.ASIDE}),  # read; or something of it may be lost
    Stage.NOTING: frozenset({Stage.QUEUED, Stage.ASIDE}),  # noted; or the note is lost
    Stage.IN_LINE: frozenset({Stage.QUEUED}),
    Stage.AWAY: frozenset({Stage.QUEUED, Stage.ASIDE}),  # answered; or never sent, for there was no room
    Stage.RUNNING: frozenset({Stage.WRITING, Stage.QUEUED}),  # it returned; it failed, and its row is read again
    Stage.WRITING: frozenset({Stage.OVER, Stage.ASIDE, Stage.AWAY}),  # durable; or lost; or a piece of an answer
    Stage.ASIDE: frozenset({Stage.QUEUED}),
    Stage.OVER: frozenset(),
}


UNREAD: Final = -1


class DeliveryOwner(Protocol):
    """The deliveries of one kind, as far as a turn and who runs it ask them."""

    def has_row(self, turn: Turn) -> bool:
        """Whether the row was read since the instance last changed."""

    def read_row(self, turn: Turn, generation: int) -> bool:
        """Read it. False: the leadership is lost."""

    def begin(self, turn: Turn, loaded: LoadedType | None) -> bool:
        """Whether the handler is to run now."""

    def hold(self, delivery: Delivery, overlay: Overlay) -> None:
        """The turn that begins with this overlay handles it."""

    def end(self, turn: Turn) -> None:
        """The handler has returned or failed."""

    def post(self, delivery: Delivery) -> None:
        """Put a turn for it into the mailbox."""


@leaders
@dataclass(slots=True, eq=False)
class Delivery:
    """One row on its way; lives from `release` until what became of it is durable."""

    owner: DeliveryOwner
    stored: StoredInstance
    due_us: int
    id: bytes = b""  # of a job; an instance has one alarm
    unpark: bool = False  # the type is deployed again: take the row up, run nothing
    stage: Stage = Stage.DUE
    ready: bool = False  # its turn is in the ready queue
    noted: bool = False  # the row says that this attempt has begun
    failure: HoldfastError | None = None  # it failed, and that is not written down yet
    outcome: bytes | None = None  # of a job: what `then` gets
    row: Row | None = None  # as the instance's finished turns had left it
    row_group: int = UNREAD  # when that was read, the instance's last group: true while it is that one

    @property
    def key(self) -> Hashable:
        """What there is one delivery of at a time."""
        return (self.stored, self.id) if self.id else self.stored

    def enter(self, stage: Stage) -> None:
        """Go on to this stage.

        Raises:
            InternalError: it does not follow the present one.
        """
        if stage not in NEXT[self.stage]:
            raise InternalError(f"a delivery that {self.stage.value} cannot become one that {stage.value}")
        self.stage = stage
