"""The alarms of a worker; how they are delivered is `deliveries`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from holdfast_host.core.errors import ActorUnknownMethodError
from holdfast_host.storage.lmdb.keys import has_due_row
from holdfast_host.storage.store import Alarm, Changes
from holdfast_host.storage.unflushed import read_alarm
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.worker.alarms.due import DueAlarms
from holdfast_host.worker.deliveries.deliveries import Deliveries
from holdfast_host.worker.deliveries.stages import Delivery
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.storage.overlay import Overlay
    from holdfast_host.storage.store import Batch, StoredInstance
    from holdfast_host.worker.alarms.due import DuePage
    from holdfast_host.worker.deliveries.stages import Row
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.turn import Turn

_PARKED_PAGE = 64


@leaders
@dataclass(eq=False, kw_only=True)
class Alarms(Deliveries):
    """The alarms of one worker."""

    WHAT: ClassVar[str] = "alarm"
    CALL_KIND: ClassVar[CallKind] = CallKind.ALARM

    def __post_init__(self) -> None:
        """Nothing is known to be due yet."""
        super().__post_init__()
        self._due_alarms = DueAlarms()

    def hold(self, delivery: Delivery, overlay: Overlay) -> None:
        """The turn that begins with this overlay handles it."""
        overlay.take_alarm()

    def _take(self, now_us: int) -> Delivery | None:
        found = self._due_alarms.take(now_us)
        return None if found is None else Delivery(self, *found)

    def _lacks(self, now_us: int) -> bool:
        return self._due_alarms.lacks(now_us)

    def _next_due_us(self) -> int:
        return self._due_alarms.next_us()

    def _put(self, delivery: Delivery, due_us: int | None) -> None:
        self._due_alarms.put(delivery.stored, due_us)

    def _open_page(self, now_us: int) -> DuePage:
        return self._due_alarms.open_page(now_us, len(self._under_way))

    def _fill_page(self, page: DuePage) -> None:
        self._due_alarms.fill(page, self.under_way)

    def forget(self, is_gone: Callable[[StoredInstance], bool]) -> None:
        """These instances are another owner's."""
        self._due_alarms.forget(is_gone)

    def _read_anew(self) -> None:
        self._due_alarms.read_anew()

    def _parked(self, type_id: int, but: Container[bytes]) -> list[Delivery]:
        found = self.store.parked_alarms(type_id, _PARKED_PAGE, but)
        return [Delivery(self, each, 0, unpark=True) for each in found]

    def _read(self, entry: Entry, delivery: Delivery) -> Alarm | None:
        return read_alarm(self.store, entry.stored, entry.pending)

    def _changes(self, delivery: Delivery, row: Any) -> Changes:
        return Changes(alarm=row, alarm_changed=True)

    def _changed(self, batch: Batch) -> Iterable[tuple[Delivery, Alarm | None]]:
        changes = batch.changes
        return ((Delivery(self, batch.instance, 0), changes.alarm),) if changes.alarm_changed else ()

    def _is_said(self, changes: Changes, delivery: Delivery) -> bool:
        return changes.alarm_changed

    def _look_for(self, stored: StoredInstance) -> None:
        if stored not in self._under_way:
            self.look_again(Delivery(self, stored, 0))

    def _refusal(self, loaded: LoadedType) -> HoldfastError | None:
        if loaded.may_handle("alarm"):
            return None
        return ActorUnknownMethodError(
            f"{loaded.type} has no alarm handler in version {loaded.version} of {loaded.function!r}"
        )

    def _prepare(self, turn: Turn, delivery: Delivery, row: Row) -> None:
        info = {"retry_count": row.retry_count, "scheduled_us": row.scheduled_us}
        turn.request.body = json.dumps(info, separators=(",", ":")).encode()

    def _waits(self, row: Any) -> bool:
        return has_due_row(row)
