"""A worker's one connection: prepared statements in libpq's pipeline mode, on the leader's poller.

Each statement is a transaction of its own, for a Sync follows each, and what it says counts only when that Sync has
come back. It is sent whole before the server begins it, it is never cancelled, and it has no timeout at the server.
What is not clean is unknown, and ends the link: a WARNING (a commit whose wait for a standby was cancelled succeeds
with one), an error that is no ERROR, a connection that ends, no answer for `SILENCE_S`.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import OperationalError, pq

from holdfast_host.storage.store import OwnerLostError

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGconn, PGresult

    from holdfast_host.storage.store import Leader

SILENCE_S: Final = 30.0
_GOOD: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_BINARY: Final = 1


class Refusal(NamedTuple):
    """An ERROR: the statement was rolled back, and nothing of it is there."""

    sqlstate: str
    message: str


Rows = list[tuple[bytes | None, ...]]
Told = Callable[[Rows], None]
Refused = Callable[[Refusal], None]


class _Sent:
    """A statement whose answer is waited for."""

    __slots__ = ("refused", "result", "sent_at", "told")

    def __init__(self, told: Told, refused: Refused) -> None:
        self.told = told
        self.refused = refused
        self.result: PGresult | None = None
        self.sent_at = time.monotonic()


class Link:
    """All but `silent_s` and `lost` is the leader's."""

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self._sent: deque[_Sent] = deque()
        self._writing = False
        self._warning: str | None = None
        self._ending = threading.Lock()
        self._on_lost: list[Callable[[OwnerLostError], None]] = []
        self.lost: OwnerLostError | None = None
        self._leader: Leader | None = None

    def attach(self, leader: Leader, on_lost: Callable[[OwnerLostError], None]) -> None:
        """From now on it is the leader's; `on_lost(error)` is told when it has ended, once, on any thread."""
        connection = self._connection
        self._leader = leader
        self._on_lost.append(on_lost)
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        leader.watch(connection.socket, self._ready)

    def warn(self, message: str) -> None:
        """The server has sent a WARNING: what it is about has no known outcome."""
        self._warning = message

    def send(self, statement: str, parameters: Sequence[Buffer], told: Told, refused: Refused | None = None) -> None:
        """Send a prepared statement; `told(rows)` when it is clean, `refused(refusal)` where it was rolled back.

        A refusal that nobody has asked to be told of ends the link.
        """
        connection = self._connection
        if self.lost is not None:
            return
        self._sent.append(_Sent(told, refused or self._end_refused))
        try:
            connection.send_query_prepared(
                statement.encode(), parameters, [_BINARY] * len(parameters), result_format=_BINARY
            )
            connection.pipeline_sync()
            self._flush()
        except OperationalError as error:
            self.end(f"the connection to the store broke: {error}")

    def silent_s(self) -> float:
        """For how long the oldest statement has had no answer; any thread."""
        try:
            return time.monotonic() - self._sent[0].sent_at
        except IndexError:
            return 0.0

    def end(self, reason: str) -> None:
        """Nothing of it counts any more; any thread."""
        with self._ending:
            if self.lost is not None:
                return
            self.lost = OwnerLostError(reason)
        for each in self._on_lost:
            each(self.lost)

    def _end_refused(self, refusal: Refusal) -> None:
        self.end(f"the store has refused a read: {refusal.message} ({refusal.sqlstate})")

    def _flush(self) -> None:
        writing = self._connection.flush() == 1
        if writing != self._writing:
            self._writing = writing
            if self._leader is not None:
                self._leader.watch_writing(self._connection.socket, writing=writing)

    def _ready(self, events: int) -> None:
        connection, sent = self._connection, self._sent
        try:
            if events & select.EPOLLOUT:
                self._flush()
            connection.consume_input()
            while self.lost is None and sent and not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    if connection.status == pq.ConnStatus.BAD:
                        self.end(f"the connection to the store broke: {connection.get_error_message()}")
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._take(sent.popleft())
                else:
                    sent[0].result = result
        except OperationalError as error:
            self.end(f"the connection to the store broke: {error}")

    def _take(self, sent: _Sent) -> None:
        """Its Sync has come back: what it says counts, if it is clean."""
        result = sent.result
        if self._warning is not None:
            self.end(f"the store has warned, the outcome is unknown: {self._warning}")
        elif result is None:
            self.end("the store has answered a statement with nothing")
        elif result.status in _GOOD:
            rows, columns = range(result.ntuples), range(result.nfields)
            sent.told([tuple([result.get_value(row, column) for column in columns]) for row in rows])
        else:
            severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
            state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
            message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
            if severity == b"ERROR":
                sent.refused(Refusal(state, message))
            else:
                self.end(f"the store has ended the connection: {message} ({state})")
