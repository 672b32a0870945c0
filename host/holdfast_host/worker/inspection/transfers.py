"""Exports and imports that are under way at this worker: READ frames, see inspection.queries, on its thread.

An export holds a snapshot, an import rows that are nobody's yet. Who has begun one goes on with it or ends it; where he
is gone, it ends by itself.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.limits import KIB
from holdfast_host.storage.transfers import ExportedAlarm, ExportedInstance, ExportedKey, ExportRow
from holdfast_host.worker.alarms.queries import describe_alarm
from holdfast_host.worker.turns.job_texts import read_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.jobs import Job
    from holdfast_host.storage.store import Store
    from holdfast_host.storage.transfers import Export

STEP_BYTES: Final = 32 * KIB  # of rows: more would hold the interpreter for longer than calls should wait
_EXPORTS_MAX: Final = 16
_ID_BYTES: Final = 16


@dataclass(slots=True)
class _Reading:
    """An export, and when somebody went on with it."""

    export: Export
    moved_at: float


class Transfers:
    """Those of one worker; the reading thread's."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._exports: dict[str, _Reading] = {}
        self._imports = False  # whether there may be some
        self.readers: dict[str, Callable[[JsonObject], JsonObject]] = {
            "begin_export": self._begin_export,
            "export": self._export,
            "end_export": self._end_export,
            "begin_import": self._begin_import,
            "end_import": self._end_import,
        }

    def end_idle(self) -> float | None:
        """End what nobody has gone on with for too long; how many seconds until there may be more to end."""
        idle_s = self._limits.transfer_idle_s
        late = monotonic() - idle_s
        for export_id, each in list(self._exports.items()):
            if each.moved_at <= late:
                self._close(export_id)
        self._imports = self._imports and self._store.end_idle_imports(idle_s)
        return idle_s / 4 if self._exports or self._imports else None

    def _begin_export(self, facts: JsonObject) -> JsonObject:
        """One instance, `type_id` and `name`; or all of a type under a `prefix`, where the name is null."""
        if len(self._exports) >= _EXPORTS_MAX:
            raise HostUnavailableError(f"{_EXPORTS_MAX} exports are under way at this worker: wait until one has ended")
        name, export_id = facts["name"], secrets.token_hex(_ID_BYTES)
        export = self._store.export(facts["type_id"], None if name is None else name.encode(), facts["prefix"].encode())
        self._exports[export_id] = _Reading(export, monotonic())
        return {"export": export_id}

    def _export(self, facts: JsonObject) -> JsonObject:
        """The next rows of an `export`; none where that was all."""
        reading = self._exports.get(facts["export"])
        if reading is None:
            raise HostUnavailableError(
                "the export has ended: its worker was replaced, or nothing was taken for too long; begin again"
            )
        rows = reading.export.step(STEP_BYTES, self._limits.page_read_s)
        reading.moved_at = monotonic()
        return {"rows": [_row(each) for each in rows]}

    def _end_export(self, facts: JsonObject) -> JsonObject:
        self._close(facts["export"])
        return {}

    def _begin_import(self, facts: JsonObject) -> JsonObject:
        """Into one instance, `type_id` and `name`; says also whether there is anything already."""
        stored = self._store.locate(facts["type_id"], facts["name"].encode())
        there = stored.live_bytes > 0 or self._store.alarm(stored) is not None or self._store.jobs.count(stored) > 0
        self._imports = True
        return {"import": self._store.begin_import(stored), "there": there}

    def _end_import(self, facts: JsonObject) -> JsonObject:
        stored = self._store.locate(facts["type_id"], facts["name"].encode())
        self._store.end_import(stored, facts["import"])
        return {}

    def _close(self, export_id: str) -> None:
        reading = self._exports.pop(export_id, None)
        if reading is not None:
            reading.export.close()


def _row(row: ExportRow) -> list[Any]:
    """A row as fronts read it."""
    if isinstance(row, ExportedKey):
        return ["key", row.key.decode(), row.value.decode()]
    if isinstance(row, ExportedInstance):
        return ["instance", row.name.decode(), row.live_bytes]
    if isinstance(row, ExportedAlarm):
        return ["alarm", describe_alarm(row.alarm)]
    return ["job", _job(row.id, row.job)]


def _job(id_: bytes, job: Job) -> JsonObject:
    """All of a job but what only this host knows of its attempts."""
    facts = read_facts(job)
    head = {name: value for name, value in facts.head.items() if name != "type_id"}
    return {
        "id": id_.hex(),
        "kind": job.kind,
        "state": job.state,
        "due_us": job.due_us,
        "key": job.key,
        **head,
        "payload": json.loads(facts.payload),
        "outcome": json.loads(job.outcome) if job.outcome else None,
        "retry_count": job.retry_count,
        "tries": job.tries,
        "last_error": job.last_error,
        "unknown": job.unknown,
    }
