"""What `worker.inspection.queries` answers about alarms, as of the last commit. Runs on its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.listing_by_types import page_of_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Set

    from holdfast_host.storage.store import Alarm, Store


_PAGE: Final = 256
_COUNTED_PAGE: Final = 1_000


def types_with_instances(store: Store, type_ids: Set[int]) -> set[int]:
    """Those of these types of which there is an instance. Any thread."""
    return {each for each in type_ids if store.instances(each, b"", b"", 1)[0]}


def count_stored(store: Store, type_ids: Iterable[int]) -> tuple[int, int]:
    """How many instances there are of these types together, and how many bytes of keys and values. Any thread."""
    instances = size = 0
    for type_id in type_ids:
        after: bytes | None = b""
        while after is not None:
            page = store.instances(type_id, b"", after, _COUNTED_PAGE)
            instances += len(page.rows)
            size += sum(live_bytes for _, live_bytes in page.rows)
            after = page.next
    return instances, size


def types_with_alarms(store: Store, type_ids: Set[int]) -> set[int]:
    """Those of these types of which an instance has an alarm that waits: armed, retrying or parked. Any thread."""
    found: set[int] = set()
    for state in ("armed", "retrying", "parked"):
        after: bytes | None = b""
        while after is not None and found != type_ids:
            page, after = store.alarm_page(state, after, _PAGE)
            found.update(type_id for type_id, _, _ in page if type_id in type_ids)
    return found


def alarm_readers(store: Store) -> dict[str, Callable[[JsonObject], JsonObject]]:
    """The readers by the name of their question."""

    def read_alarm(facts: JsonObject) -> JsonObject:
        """One instance's alarm or null: `type_id`, `name`."""
        return {"alarm": describe_alarm(store.alarm(store.locate(facts["type_id"], facts["name"].encode())))}

    def read_alarms(facts: JsonObject) -> JsonObject:
        """A page of those in a state: `state`, and as `page_of_types` says; `types`, the names by number."""
        found, position = page_of_types(facts, lambda after, limit: store.alarm_page(facts["state"], after, limit))
        rows = []
        for type_id, name, alarm in found:
            where = {"type": facts["types"].get(type_id), "type_id": type_id, "name": name.decode()}
            rows.append({**where, "alarm": describe_alarm(alarm)})
        return {"rows": rows, "next": position}

    return {"alarm": read_alarm, "alarms": read_alarms}


def describe_alarm(alarm: Alarm | None) -> JsonObject | None:
    """An alarm's facts for the front; None where there is none."""
    if alarm is None:
        return None
    return {
        "due_us": alarm.due_us,
        "scheduled_us": alarm.scheduled_us,
        "state": alarm.state,
        "retry_count": alarm.retry_count,
        "last_error": alarm.last_error,
    }
