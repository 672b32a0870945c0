"""What alarms and jobs each say for themselves of how they are delivered; what is the same is `deliveries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import Batch, Changes, Store, StoredInstance
    from holdfast_host.wire.calls.frames import CallKind
    from holdfast_host.worker.deliveries.stages import Delivery, Row
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn


class Page(Protocol):
    """What is due soon, to be read from the store."""

    def read(self, store: Store) -> Any:
        """The page itself, read; any thread."""


@leaders
class Kind:
    """One kind of rows that come due."""

    WHAT: ClassVar[str]
    CALL_KIND: ClassVar[CallKind]

    def hold(self, delivery: Delivery, overlay: Overlay) -> None:
        """The turn that begins with this overlay handles it."""
        raise NotImplementedError

    def _take(self, now_us: int) -> Delivery | None:
        """What is due by then and may be delivered now, taken out of the timetable."""
        raise NotImplementedError

    def _lacks(self, now_us: int) -> bool:
        """Whether a page must be read to know what is due by then."""
        raise NotImplementedError

    def _next_due_us(self) -> int:
        """When `_take` will have something, where nothing becomes due before."""
        raise NotImplementedError

    def _put(self, delivery: Delivery, due_us: int | None) -> None:
        """The row of that delivery is due then; None: never."""
        raise NotImplementedError

    def _open_page(self, now_us: int) -> Page:
        """What is to be read of the timetable next."""
        raise NotImplementedError

    def _fill_page(self, page: Any) -> None:
        """It was read."""
        raise NotImplementedError

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """These instances are another owner's: nothing of them is due here."""
        raise NotImplementedError

    def _read_anew(self) -> None:
        """There are instances of which nothing was read."""
        raise NotImplementedError

    def _parked(self, type_id: int, but: Container[bytes]) -> list[Delivery]:
        """Some rows of a type that are parked, without those of instances of these names; any thread."""
        raise NotImplementedError

    def _read(self, entry: Entry, delivery: Delivery) -> Row | None:
        """Its row, as the finished turns of its instance have left it; any thread."""
        raise NotImplementedError

    def _changes(self, delivery: Delivery, row: Row | None) -> Changes:
        """What makes the row that."""
        raise NotImplementedError

    def _changed(self, batch: Batch) -> Iterable[tuple[Delivery, Row | None]]:
        """The rows of this kind that a batch has changed."""
        raise NotImplementedError

    def _is_said(self, changes: Changes, delivery: Delivery) -> bool:
        """Whether the changes say what has become of its row."""
        raise NotImplementedError

    def _look_for(self, stored: StoredInstance) -> None:
        """Something of the instance is lost: what is known of its rows may be wrong."""
        raise NotImplementedError

    def _refusal(self, loaded: LoadedType) -> HoldfastError | None:
        """Why the type cannot handle it."""
        raise NotImplementedError

    def _prepare(self, turn: Turn, delivery: Delivery, row: Row) -> None:
        """The handler is to run: what it is told."""
        raise NotImplementedError

    def _waits(self, row: Row) -> bool:
        """Whether it waits for its time."""
        raise NotImplementedError

    def _comes_due(self, row: Row) -> bool:
        """Whether it is in the timetable of this kind."""
        return self._waits(row)

    def _takes_up(self, row: Row) -> bool:
        """Whether it is parked, and this kind's to take up when its type is deployed again."""
        return row.state == "parked"

    def _retrying_state(self, row: Row) -> str:
        """The state of one that has failed and is tried again."""
        return "retrying"

    def _unparked_state(self, row: Row) -> str:
        """The state of one whose type is deployed again."""
        return "retrying" if row.retry_count else "armed"

    def _forget(self, delivery: Delivery) -> None:
        """It is over."""

    def _named(self, delivery: Delivery) -> dict[str, Any]:
        """What the log calls it by, beside its instance."""
        return {}
