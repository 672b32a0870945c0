"""Changes of an instance's storage from outside: turns that run the host's own code instead of the guest's.

They stand in the mailbox like any call, commit like any turn and are answered through the gate. An activation that a
change has passed by is dropped: its memory may hold what storage does not any more.

A call of kind EDIT names its edit as the method; what the edit needs is the body.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import BadRequestError, HostUnavailableError, UnknownJobError, UnknownSocketError
from holdfast_host.storage.archive.keys_file import read_pairs
from holdfast_host.wire.sockets.frames import read_socket
from holdfast_host.worker.inspection.imports import adopt, close_sockets, stage
from holdfast_host.worker.turns.job_texts import read_facts, read_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast_host.storage.jobs import Job
    from holdfast_host.worker.turns.turn import Turn


_JOBS_MAX: Final = 1_000  # of a function: more than any manifest lists


def run_edit(turn: Turn) -> bytes:
    """Run it on the turn's storage; the result as its caller will read it.

    Raises:
        HoldfastError: it cannot be done; nothing is changed.
    """
    edit = _EDITS.get(turn.request.method)
    if edit is None:
        raise BadRequestError(f"{turn.entry.label}: there is no edit {turn.request.method!r}")
    result = edit(turn)
    if turn.storage.wrote and edit is not stage:  # what lies beside the instance changes nothing of it
        turn.entry.deactivate()
    return result


def _put(turn: Turn) -> bytes:
    """Body: `[key, value]`, the value as its encoded text."""
    key, value = json.loads(turn.request.body)
    encoded = value.encode()
    turn.storage.put(key.encode(), encoded)
    return _said(key=key, bytes=len(encoded))


def _delete(turn: Turn) -> bytes:
    """Body: `[key]`."""
    (key,) = json.loads(turn.request.body)
    return _said(key=key, deleted=turn.storage.delete(key.encode()))


def _revert(turn: Turn) -> bytes:
    """Body: `[path]`, of a file with all keys and values that it had; only what differs is written, or in memory."""
    (path,) = json.loads(turn.request.body)
    storage, stored = turn.storage, _stored(turn)
    put = deleted = keys = 0
    now = next(stored, None)
    try:
        for key, value in read_pairs(Path(path)):
            keys += 1
            while now is not None and now[0] < key:
                deleted += storage.delete(now[0])
                now = next(stored, None)
            differs = now is None or now != (key, value)
            if now is not None and now[0] == key:
                now = next(stored, None)
            if differs:
                storage.put(key, value)
                put += 1
    except OSError as error:  # whoever asked has gone, and the file with it
        raise HostUnavailableError(f"{turn.entry.label} is not reverted: {error.strerror}") from error
    while now is not None:
        deleted += storage.delete(now[0])
        now = next(stored, None)
    return _said(put=put, deleted=deleted, keys=keys)


def _stored(turn: Turn) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values, page by page: what the turn writes behind them does not matter."""
    storage, after = turn.storage, None
    while page := storage.list(b"", None, after, None, False, storage.page_entries_max)[0]:
        yield from page
        after = page[-1][0]


def _delete_instance(turn: Turn) -> bytes:
    """All that is stored of it: keys, alarm, jobs, receipts and sockets, which are closed."""
    storage = turn.storage
    some, _ = storage.list(b"", None, None, None, False, 1)
    storage.delete_alarm()
    deleted = bool(some) or storage.wrote
    close_sockets(turn)
    return _said(deleted=storage.erase() or deleted)


def _close_socket(turn: Turn) -> bytes:
    """Body: `[socket, code, reason]`."""
    socket, code, reason = json.loads(turn.request.body)
    number = read_socket(socket)
    row = turn.storage.socket(number) if number else None
    if row is None or row.closed or row.ending is not None:
        raise UnknownSocketError(f"{turn.entry.label} has no open socket {socket!r}")
    turn.sockets.close(json.dumps({"ids": [socket]}).encode(), code, reason.encode())
    return _said(closed=True)


def _set_alarm(turn: Turn) -> bytes:
    """Body: `[due_us]`."""
    turn.check_alarm_handler()
    (due_us,) = json.loads(turn.request.body)
    turn.storage.set_alarm(due_us)
    return _said(due_us=due_us)


def _delete_alarm(turn: Turn) -> bytes:
    turn.storage.delete_alarm()
    return _said(deleted=turn.storage.wrote)


def _retry_job(turn: Turn) -> bytes:
    """Body: `[id, again]`. One whose effect nobody knows is tried again where `again` says so.

    One that is not given up yet may have had its effect: how long that can be told counts from its first try on.
    """
    id_, job, again = _job(turn)
    afresh = again or job.state == "abandoned"
    if job.unknown and afresh and not again:
        raise BadRequestError(
            f"{turn.entry.label}: whether the job {id_.hex()} took effect is unknown: again=true has it tried again"
        )
    due_us = turn.clock_us()
    state = "waiting" if job.outcome else "armed"
    tried = replace(
        job.broken_off(), state=state, due_us=due_us, scheduled_us=min(job.scheduled_us, due_us), tries=0,
        retry_count=0, tried_us=0 if afresh else job.tried_us, begun=False, killed=False,
        unknown=job.unknown and not afresh,
    )  # fmt: skip
    turn.storage.write_job(id_, tried)
    return _said(id=id_.hex(), state=state, due_us=due_us)


def _cancel_job(turn: Turn) -> bytes:
    """Body: `[id]`."""
    id_, _, _ = _job(turn)
    return _said(id=id_.hex(), deleted=turn.storage.cancel_job(id_))


def _job(turn: Turn) -> tuple[bytes, Job, bool]:
    text, *further = json.loads(turn.request.body)
    id_ = read_id(text)
    job = None if id_ is None else turn.storage.job(id_)
    if id_ is None or job is None:
        raise UnknownJobError(f"{turn.entry.label} has no job {text[:64]!r}")
    return id_, job, bool(further and further[0])


def _set_crons(turn: Turn) -> bytes:
    """Body: the cron texts of a function's manifest. Its jobs are these from then on."""
    crons = json.loads(turn.request.body)
    found, _ = turn.storage.list_jobs(b"", _JOBS_MAX)
    for id_, job in found:
        if read_facts(job).head.get("cron") not in crons:
            turn.storage.cancel_job(id_)
    for cron in crons:
        wanted = {"kind": "run", "method": "scheduled", "arguments": {"$hf": "arguments", "v": [[], {}]}, "cron": cron}
        turn.jobs.put(json.dumps({**wanted, "key": hashlib.sha256(cron.encode()).hexdigest()}).encode())
    return _said(crons=len(crons))


def _said(**facts: object) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode()


_EDITS: Final[dict[bytes, Callable[[Turn], bytes]]] = {
    b"put": _put,
    b"delete": _delete,
    b"delete_instance": _delete_instance,
    b"revert": _revert,
    b"set_alarm": _set_alarm,
    b"delete_alarm": _delete_alarm,
    b"close_socket": _close_socket,
    b"retry_job": _retry_job,
    b"cancel_job": _cancel_job,
    b"set_crons": _set_crons,
    b"stage": stage,
    b"adopt": adopt,
}
