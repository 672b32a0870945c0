"""What `worker.inspection` answers about alarms, as of the last commit. Runs on its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import Alarm, Store
    from holdfast_host.worker.deployments import Deployments

Facts = dict[str, Any]


def alarm_readers(store: Store, deployments: Deployments) -> dict[str, Callable[[Facts], Facts]]:
    """The readers by the name of their question."""

    def read_alarm(facts: Facts) -> Facts:
        """One instance's alarm or null: `type_id`, `name`."""
        return {"alarm": describe_alarm(store.alarm(store.locate(facts["type_id"], facts["name"].encode())))}

    def read_alarms(facts: Facts) -> Facts:
        """A page of those in a state: `state`, `after` (a position or empty), `limit`."""
        found, position = store.alarm_page(facts["state"], bytes.fromhex(facts["after"]), int(facts["limit"]))
        rows = []
        for type_id, name, alarm in found:
            loaded = deployments.find(type_id)
            where = {"type": None if loaded is None else loaded.type, "type_id": type_id, "name": name.decode()}
            rows.append({**where, "alarm": describe_alarm(alarm)})
        return {"rows": rows, "next": None if position is None else position.hex()}

    return {"alarm": read_alarm, "alarms": read_alarms}


def describe_alarm(alarm: Alarm | None) -> Facts | None:
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
