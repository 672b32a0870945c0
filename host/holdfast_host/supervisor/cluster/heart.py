"""The heart of a host: counts its beats in the store, sees those of the others, and finds when the host is over.

A thread of its own, for the supervisor's loop waits for nobody. Nothing hangs on its being in time but whether another
host thinks that this one is dead; a store that does not answer only stops the counting, for all hosts alike.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.postgres import members
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.owning import host_name
from holdfast_host.storage.postgres.server_facts import read_server_facts
from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError, connect
from holdfast_host.supervisor.cluster.membership import PERIOD_S, Observations, Sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.logs import EventLog
    from holdfast_host.storage.postgres.server_facts import ServerFacts

SERVER_S: Final = 60.0  # between two looks at how the server does
ROUND_S: Final = 5.0  # after which a server that has not answered is given up
_LEAVE_S: Final = 2.0
_WARN_AFTER_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class SeenMember:
    """A host's row, and how long what it shows has stood still."""

    member: members.Member
    beat_age_s: float
    is_silent: bool


class Heart:
    """Of one host at one life, from `start` to `close`; the properties are for any thread."""

    def __init__(self, address: StoreAddress, host: str, life: int, ttl_s: float, log: EventLog) -> None:
        self._address = address
        self.host = host
        self._life = life
        self._log = log
        self._observed = Observations(ttl_s)
        self._connection: members.Connection | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._beaten_at = time.monotonic()
        self._said = False  # that the store does not answer
        self._seen: tuple[SeenMember, ...] = ()
        self._server: ServerFacts | None = None
        self._server_at = 0.0  # when it is to be looked at next
        self._warned: set[str] = set()  # by which facts, as of the last look
        self._over = threading.Lock()
        self._is_over = False
        self._on_over: Callable[[], object] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def on_over(self, callback: Callable[[], object]) -> None:
        """Call it once, from the heart's thread or at once, when another host has this one's shards."""
        with self._over:
            self._on_over = callback
            told = self._is_over
        if told:
            callback()

    @property
    def seen(self) -> tuple[SeenMember, ...]:
        """The hosts as of the last round."""
        return self._seen

    @property
    def beat_age_s(self) -> float:
        """Since the last beat that the store has taken."""
        return time.monotonic() - self._beaten_at

    def measures(self) -> dict[str, float]:
        """For /metrics."""
        found = {"beat_age_s": self.beat_age_s}
        return found if self._server is None else {**found, **asdict(self._server)}

    def close(self) -> None:
        """Stop beating, and say in the store that the host has ended, where it answers."""
        self._stop.set()
        self._thread.join(ROUND_S + _LEAVE_S)
        with contextlib.suppress(Exception):
            connection = self._connection or self._connect()
            with cut_after(connection, _LEAVE_S):
                members.leave(connection, self.host, self._life)
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set() and not self._is_over:
            self._beat()
            due = max(due + PERIOD_S, time.monotonic())
            self._stop.wait(due - time.monotonic())

    def _connect(self) -> members.Connection:
        self._connection = connect(self._address, host_name(self.host))
        return self._connection

    def _beat(self) -> None:
        try:
            connection = self._connection or self._connect()
            with cut_after(connection, ROUND_S):
                began = time.monotonic()
                beats = members.beat(connection, self.host, self._life)
                rows = members.read_members(connection)
                ended = time.monotonic()
                if ended >= self._server_at:
                    self._server_at = ended + SERVER_S
                    self._look_at_server(read_server_facts(connection))
        except (StoreUnreachableError, ConfigurationError, members.BROKEN) as error:
            self._fail(error)
            return
        if not beats:
            self._end()
            return
        self._beaten_at = ended
        if self._said:
            self._said = False
            self._log.warning("the store takes the host's beats again")
        self._observed.note(began, ended, [Sign(each.host, each.life, each.beat) for each in rows])
        self._seen = tuple(
            SeenMember(each, self._observed.stands_still_s(each.host), self._observed.is_silent(each.host))
            for each in rows
        )

    def _look_at_server(self, facts: ServerFacts) -> None:
        """Warn when something begins to go wrong, not each time."""
        self._server = facts
        warnings = facts.warnings()
        for fact in warnings.keys() - self._warned:
            self._log.warning(warnings[fact])
        self._warned = set(warnings)

    def _fail(self, error: Exception) -> None:
        """Try again with the next beat, on a new connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not self._said and self.beat_age_s > _WARN_AFTER_S:
            self._said = True
            self._log.error("the store takes no beats of the host: another one may take over", error=str(error).strip())

    def _end(self) -> None:
        with self._over:
            self._is_over = True
            callback = self._on_over
        if callback is not None:
            callback()
