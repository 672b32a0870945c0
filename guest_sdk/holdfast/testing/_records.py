"""What a local host keeps of an instance: what would be on disk, and its activation, if it has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.testing._idempotency import Receipt
    from holdfast.testing._jobs.rows import StoredJob
    from holdfast.testing._sandbox import Sandbox
    from holdfast.testing._sockets.rows import Sent, SocketRow


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an actor printed or logged, or the traceback of an exception that left it.

    Attributes:
        instance: `Account/alice`, or `fn NAME` for the function.
        level: `stdout`, `stderr`, `debug`, `info`, `warning` or `error`.
        text: The line.
    """

    instance: str
    level: str
    text: str


@dataclass(slots=True)
class Alarm:
    """The one timer of an instance, in microseconds since 1970."""

    due_us: int
    scheduled_us: int  # what the actor asked for; `due_us` moves with retries
    retry_count: int = 0
    state: str = "armed"  # armed, retrying, abandoned
    last_error: str = ""
    survived_a_crash: bool = False  # an attempt of it may have killed the host: the next one that does counts


@dataclass(slots=True)
class Changes:
    """What a turn changes, in one piece: first `cleared`, then `writes`; a value of None deletes the key."""

    writes: dict[bytes, str | None] = field(default_factory=dict)
    cleared: bool = False
    alarm: Alarm | None = None
    alarm_changed: bool = False
    jobs: dict[str, StoredJob | None] = field(default_factory=dict)  # by id; None removes it
    sockets: dict[str, SocketRow | None] = field(default_factory=dict)  # by id; None removes it
    auto_response: tuple[str, str] | None = None
    auto_response_changed: bool = False
    sends: list[Sent] = field(default_factory=list)  # not stored: they leave with the commit
    size_bytes: int = 0

    def __bool__(self) -> bool:
        """True when there is anything to commit."""
        if self.writes or self.cleared or self.alarm_changed or self.auto_response_changed:
            return True
        return bool(self.jobs or self.sockets)

    def add(self, later: Changes) -> None:
        """Make this what it and then `later` do."""
        if later.cleared:
            self.writes, self.cleared, self.size_bytes = dict(later.writes), True, later.size_bytes
        else:
            for key, value in later.writes.items():
                if key in self.writes:
                    self.size_bytes -= written_bytes(key, self.writes[key])
                self.writes[key] = value
                self.size_bytes += written_bytes(key, value)
        if later.alarm_changed:
            self.alarm, self.alarm_changed = later.alarm, True
        self.jobs |= later.jobs
        self.sockets |= later.sockets
        self.sends += later.sends
        if later.auto_response_changed:
            self.auto_response, self.auto_response_changed = later.auto_response, True


@dataclass(slots=True, eq=False)
class Record:
    """One instance, for as long as its host lives; the activation comes and goes."""

    actor_type: str
    name: str
    values: dict[bytes, str] = field(default_factory=dict)  # committed, as encoded text
    alarm: Alarm | None = None
    sandbox: Sandbox | None = None
    savepoints: int = 0  # that its turns have begun: the id of the last one
    receipts: dict[str, Receipt] = field(default_factory=dict)  # by idempotency key
    jobs: dict[str, StoredJob] = field(default_factory=dict)  # by id
    sockets: dict[str, SocketRow] = field(default_factory=dict)  # by id
    auto_response: tuple[str, str] | None = None

    @property
    def label(self) -> str:
        """`Account/alice`, as logs, errors and call paths spell it."""
        return f"{self.actor_type}/{self.name}"

    @property
    def exists(self) -> bool:
        """Whether anything of it is stored."""
        return bool(self.values or self.jobs or self.sockets or self.receipts) or self.alarm is not None

    def commit(self, changes: Changes) -> None:
        """Apply what a turn changed."""
        if changes.cleared:
            self.values.clear()
        for key, value in changes.writes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        if changes.alarm_changed:
            self.alarm = changes.alarm
        if changes.auto_response_changed:
            self.auto_response = changes.auto_response
        for socket, row in changes.sockets.items():
            if row is None:
                self.sockets.pop(socket, None)
            else:
                self.sockets[socket] = row
        for id_, job in changes.jobs.items():
            if job is None:
                self.jobs.pop(id_, None)
            else:
                self.jobs[id_] = job

    def deactivate(self) -> None:
        """Drop the activation; what is stored stays."""
        self.sandbox = None


def written_bytes(key: bytes, value: str | None) -> int:
    """What a write counts for in the limit of a turn."""
    return len(key) + (0 if value is None else bytes_of(value))


def bytes_of(text: str) -> int:
    """What a text counts for in a limit: its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
