"""One turn's view of its instance's storage: writes go to the overlay, and to the record only when the turn commits.

All limits on keys, values, turns and pages are kept here; a call that is refused has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._records import Alarm, Changes, Record, bytes_of, written_bytes

if TYPE_CHECKING:
    from holdfast.testing._jobs.rows import StoredJob
    from holdfast.testing._sockets.rows import Sent, SocketRow

RESERVED_PREFIX: Final = b"__holdfast_"

Pair = tuple[bytes, str]


class Overlay:
    """What a turn has written so far, over what is committed. Lives for one turn.

    Args:
        record: The instance.
        limits: What may be written and read.
        on_write: Called after each write; may end the turn.
        delivers: The alarm whose handler this turn is: gone while the handler runs, unless it is set again.
        runs: The id of the job that this turn runs, and what it is from then on, None for gone.
    """

    def __init__(
        self,
        record: Record,
        limits: Limits,
        on_write: Callable[[], None],
        delivers: Alarm | None = None,
        runs: tuple[str, StoredJob | None] | None = None,
    ) -> None:
        self._record = record
        self._limits = limits
        self._on_write = on_write
        self._delivers = delivers
        self._runs = runs
        self._layers = [Changes()]  # one more for each open savepoint; the last one takes the writes
        self._open: list[int] = []  # the ids of open savepoints, outermost first
        self._ends = ""
        self._sent = self._sent_bytes = 0
        self.wrote = False  # also if it was rolled back or synced: memory may hold traces of it

    @property
    def open_savepoints(self) -> int:
        """How many `transaction()` blocks are open."""
        return len(self._layers) - 1

    # Reads

    def get(self, key: bytes) -> str | None:
        """The encoded value, None where the key is absent."""
        self._check_key(key)
        return self._read(key)

    def get_many(self, keys: list[bytes]) -> list[Pair]:
        """The pairs that exist, in the order asked for."""
        limits = self._limits
        if len(keys) > limits.turn_write_keys_max:
            raise self._over(f"get_many of {len(keys)} keys exceeds the limit of {limits.turn_write_keys_max} keys")
        pairs: list[Pair] = []
        page_bytes = 0
        for key in keys:
            self._check_key(key)
            value = self._read(key)
            if value is None:
                continue
            page_bytes += written_bytes(key, value)
            if page_bytes > limits.page_bytes_max:
                raise self._over(
                    f"get_many passes the limit of {limits.page_bytes_max} bytes a page at key {_shown(key)}: "
                    "ask for it and those after it in another call"
                )
            pairs.append((key, value))
        return pairs

    def page(
        self,
        prefix: bytes,
        start: bytes | None,
        start_after: bytes | None,
        end: bytes | None,
        reverse: bool,
        limit: int,
    ) -> tuple[list[Pair], bytes | None]:
        """A page of pairs in the order of their keys' bytes, and the first key that its bytes left out."""
        view = self._everything()
        keys = sorted((key for key in view if key.startswith(prefix)), reverse=reverse)
        page: list[Pair] = []
        page_bytes = 0
        for key in keys:
            if (
                (start is not None and key < start)
                or (start_after is not None and key <= start_after)
                or (end is not None and key >= end)
            ):
                continue
            page_bytes += written_bytes(key, view[key])
            if page_bytes > self._limits.page_bytes_max and page:
                return page, key
            page.append((key, view[key]))
            if len(page) == limit:
                break
        return page, None

    def alarm(self) -> Alarm | None:
        """The alarm as the turn sees it."""
        for layer in reversed(self._layers):
            if layer.alarm_changed:
                return layer.alarm
        return None if self._delivers is not None else self._record.alarm

    def jobs(self) -> dict[str, StoredJob]:
        """The jobs as the turn sees them, by id."""
        view: dict[str, StoredJob | None] = dict(self._record.jobs)
        if self._runs is not None:
            id_, following = self._runs
            view[id_] = following
        for layer in self._layers:
            view |= layer.jobs
        return {id_: job for id_, job in view.items() if job is not None}

    def jobs_made(self, but: str) -> int:
        """How many jobs the turn has made, beside the one of that id."""
        made = [id_ for layer in self._layers for id_, job in layer.jobs.items() if job is not None]
        return len(made) - made.count(but)

    # Writes

    def put(self, key: bytes, value: str) -> None:
        """Write one encoded value."""
        self._check_key(key)
        limit = self._limits.value_bytes_max
        size = bytes_of(value)
        if size > limit:
            raise self._over(f"value of {size} bytes for key {_shown(key)} exceeds the limit of {limit} bytes")
        self._write(key, value)

    def delete(self, key: bytes) -> bool:
        """Delete one key; whether it was there."""
        self._check_key(key)
        if self._read(key) is None:
            return False
        self._write(key, None)
        return True

    def delete_all(self) -> None:
        """Delete every key, not the alarm."""
        top = self._layers[-1]
        top.writes, top.cleared, top.size_bytes = {}, True, 0
        self._written()

    def set_alarm(self, due_us: int) -> None:
        """Set or replace the alarm."""
        self._set(Alarm(due_us, due_us))

    def delete_alarm(self) -> None:
        """Clear the alarm; nothing to do where there is none."""
        if self.alarm() is not None:
            self._set(None)

    def write_job(self, id_: str, job: StoredJob | None) -> None:
        """Make a job, or remove it."""
        self._layers[-1].jobs[id_] = job
        self._written()

    # Sockets

    def sockets(self) -> dict[str, SocketRow]:
        """The instance's sockets, those too that it has closed."""
        found: dict[str, SocketRow | None] = dict(self._record.sockets)
        for layer in self._layers:
            found |= layer.sockets
        found.pop(self._ends, None)
        return {id_: row for id_, row in found.items() if row is not None}

    def write_socket(self, id_: str, row: SocketRow | None) -> None:
        """Write a socket's row; None removes it."""
        self._layers[-1].sockets[id_] = row
        self._written()

    def end_socket(self, id_: str) -> None:
        """Handle its close: it is gone for the turn, and with what the turn commits."""
        self._ends = id_

    def set_auto_response(self, auto_response: tuple[str, str] | None) -> None:
        """Set or end it."""
        top = self._layers[-1]
        top.auto_response, top.auto_response_changed = auto_response, True
        self._written()

    def send(self, sent: Sent) -> None:
        """Have it leave with what the turn commits."""
        self._layers[-1].sends.append(sent)
        self.wrote = True

    def count_send(self, size: int) -> tuple[int, int]:
        """How many messages, and bytes of them, the turn sends with this one, since its last sync."""
        self._sent, self._sent_bytes = self._sent + 1, self._sent_bytes + size
        return self._sent, self._sent_bytes

    # Savepoints, and the end

    def savepoint(self) -> int:
        """Begin a part of the turn that can be undone; its id."""
        limit = self._limits.turn_savepoints_max
        if self.open_savepoints >= limit:
            raise self._over(f"savepoint {self.open_savepoints + 1} deep exceeds the limit of {limit}")
        self._layers.append(Changes())
        self._record.savepoints += 1
        self._open.append(self._record.savepoints)
        return self._record.savepoints

    def release(self, savepoint: int) -> None:
        """End that part and those inside it, and keep what they wrote."""
        for inner in self._end(savepoint, "release"):
            self._layers[-1].add(inner)

    def rollback(self, savepoint: int) -> None:
        """End that part and those inside it, and undo what they wrote."""
        self._end(savepoint, "rollback")

    def take(self) -> Changes:
        """What was changed since the last `take`, for a `sync()`; an alarm that is being delivered stays armed."""
        if self._open:
            self.release(self._open[0])
        changes, self._layers = self._layers[0], [Changes()]
        self._sent = self._sent_bytes = 0
        if self._delivers is not None and changes.alarm is None:
            changes.alarm_changed = False
        elif self._delivers is not None:
            self._delivers = None  # the actor has replaced it
        if self._runs is not None and self._runs[0] in changes.jobs:
            self._runs = None
        return changes

    def take_all(self) -> Changes:
        """What the turn commits at its end: what it has delivered is cleared with it, unless it was set again."""
        delivered = self._delivers is not None
        changes = self.take()
        if delivered and not changes.alarm_changed:
            changes.alarm, changes.alarm_changed = None, True
        if self._ends:
            changes.sockets[self._ends] = None
        if self._runs is not None:
            id_, following = self._runs
            changes.jobs.setdefault(id_, following)
        return changes

    # Inside

    def _read(self, key: bytes) -> str | None:
        for layer in reversed(self._layers):
            if key in layer.writes:
                return layer.writes[key]
            if layer.cleared:
                return None
        return self._record.values.get(key)

    def _everything(self) -> dict[bytes, str]:
        merged = Changes()
        for layer in self._layers:
            merged.add(layer)
        view: dict[bytes, str | None] = {} if merged.cleared else dict(self._record.values)
        view.update(merged.writes)
        return {key: value for key, value in view.items() if value is not None}

    def _write(self, key: bytes, value: str | None) -> None:
        top, limits = self._layers[-1], self._limits
        grown = 0 if value is None else bytes_of(value)
        if key in top.writes:
            grown -= bytes_of(top.writes[key] or "")
        else:
            grown += len(key)
            keys = sum(len(layer.writes) for layer in self._layers) + 1
            if keys > limits.turn_write_keys_max:
                limit = limits.turn_write_keys_max
                raise self._over(f"writing {keys} keys in one turn exceeds the limit of {limit} keys")
        written = sum(layer.size_bytes for layer in self._layers) + grown
        if written > limits.turn_write_bytes_max and grown > 0:
            raise RefusedError(
                "LimitError",
                f"writing {written} bytes in one turn exceeds the limit of {limits.turn_write_bytes_max} bytes "
                f"(key {_shown(key)}, {self._record.label})",
            )
        top.writes[key] = value
        top.size_bytes += grown
        self._written()

    def _set(self, alarm: Alarm | None) -> None:
        top = self._layers[-1]
        top.alarm, top.alarm_changed = alarm, True
        self._written()

    def _written(self) -> None:
        self.wrote = True
        self._on_write()

    def _end(self, savepoint: int, what: str) -> list[Changes]:
        """Take what was written since that savepoint, outermost part first."""
        if savepoint not in self._open:
            text = f"{what} of savepoint {savepoint}, which is not open: it was ended, or an earlier turn began it"
            raise RefusedError("BadRequestError", f"{text} ({self._record.label})")
        depth = self._open.index(savepoint)
        ended = self._layers[depth + 1 :]
        del self._layers[depth + 1 :], self._open[depth:]
        return ended

    def _check_key(self, key: bytes) -> None:
        limit = self._limits.key_bytes_max
        if not key:
            raise self._over(f"an empty key: a key has 1 to {limit} bytes")
        if len(key) > limit:
            raise self._over(f"key of {len(key)} bytes exceeds the limit of {limit} bytes")
        if key.startswith(RESERVED_PREFIX):
            text = f"key {_shown(key)}: what starts with __holdfast_ is reserved ({self._record.label})"
            raise RefusedError("BadRequestError", text)

    def _over(self, sentence: str) -> RefusedError:
        return RefusedError("LimitError", f"{sentence} ({self._record.label})")


def _shown(key: bytes) -> str:
    return ascii(key.decode("utf-8", "replace"))
