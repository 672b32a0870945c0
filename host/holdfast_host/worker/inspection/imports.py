"""What an import does to its instance, as turns: edits, see inspection.edits.

A piece lies beside the instance and changes nothing of it. The last turn makes the instance what was imported: it is
over when that is durable, so that no turn after it ever reads what was there before, or half of both.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast_host.core.errors import BadRequestError, InstanceExistsError
from holdfast_host.storage.store import AUTO_RESPONSE, Alarm
from holdfast_host.wire.sockets.frames import GOING_AWAY, Auto, Close

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.storage.jobs import Job
    from holdfast_host.worker.turns.turn import Turn


def stage(turn: Turn) -> bytes:
    """Body: `[id of the import, [[key, value], ...]]`, the values as their encoded texts."""
    import_id, rows = json.loads(turn.request.body)
    turn.storage.stage(import_id, [(key.encode(), value.encode()) for key, value in rows])
    return b"{}"


def adopt(turn: Turn) -> bytes:
    """Body: `[id of the import, how many keys it has brought, whether to replace, alarm or null, jobs]`.

    Raises:
        InstanceExistsError: the instance has something, and is not to be replaced.
        BadRequestError: a key came twice, also one of jobs, or alarm or jobs do not fit the type.
        LimitError: a job is too large.
    """
    import_id, keys, replaces, alarm, jobs = json.loads(turn.request.body)
    storage, label = turn.storage, turn.entry.label
    staged = storage.staged_keys(import_id) if keys else 0
    if staged != keys:
        raise BadRequestError(f"{keys - staged} of the {keys} keys for {label} came twice: nothing was changed")
    if alarm is not None:
        turn.check_alarm_handler()
    made = [_job(turn, each) for each in jobs]
    twice = next((key for key, count in Counter(job.key for job in made if job.key).items() if count > 1), None)
    if twice is not None:
        raise BadRequestError(f"two jobs for {label} have the key {twice!r:.80}: nothing was changed")
    some, _ = storage.list(b"", None, None, None, False, 1)
    jobs_there, _ = storage.list_jobs(b"", 1)
    storage.delete_alarm()
    if not replaces and (some or jobs_there or storage.wrote or storage.all_sockets()):
        raise InstanceExistsError(f"{label} has something stored: name another one, or have it replaced")
    close_sockets(turn)
    storage.adopt(import_id, None if alarm is None else Alarm(**alarm), made)
    turn.sync()
    return b"{}"


def close_sockets(turn: Turn) -> None:
    """Close all that the instance has: it is about to have none."""
    storage = turn.storage
    sockets = storage.all_sockets()
    if sockets:
        if storage.socket(AUTO_RESPONSE) is not None:
            storage.tell(Auto(turn.entry.type_id, turn.entry.stored.name, None), [*sockets])
        storage.tell(Close(GOING_AWAY, (), "erased"), [*sockets])


def _job(turn: Turn, wanted: JsonObject) -> Job:
    """A run as it stood where it was exported: `text` is what `wit/jobs.wit` has, the rest how far it has come."""
    made = turn.jobs.read(json.dumps(wanted["text"]).encode())
    turn.storage.check_job_size(made)
    return replace(made, state=wanted["state"], retry_count=wanted["retry_count"], last_error=wanted["last_error"])
