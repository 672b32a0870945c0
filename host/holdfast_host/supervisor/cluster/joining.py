"""A host that starts on a store: it takes the shards once no other host lives there, and stands by until then.

It beats while it stands by, as the one that serves does, and looks at that one's beat twice a second. Who stands by has
no workers and no fronts, and answers nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.postgres import members, owning
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.session import StoreAddress, StoreUnreachableError, connect
from holdfast_host.supervisor.cluster.membership import PERIOD_S, Observations, Sign

if TYPE_CHECKING:
    from holdfast_host.core.logs import EventLog
    from holdfast_host.storage.postgres.members import Member

ROUND_S: Final = 5.0  # after which a server that has not answered is given up
_TAKE_S: Final = 30.0  # for a takeover, which waits for the commit under way


@dataclass(frozen=True, slots=True)
class Candidate:
    """The host that starts."""

    host: str
    workers: int
    name: str  # of the machine
    url: str
    release: str

    @property
    def about(self) -> tuple[str, str, str]:
        """What its row says of it."""
        return self.name, self.url, self.release


class Waiting(Protocol):
    """How a host waits that has another one before it."""

    def begin(self) -> None:
        """It stands by from now on."""

    def pause(self, seconds: float) -> None:
        """Let the time pass; raises what ends the waiting, where the operator wants that."""


@dataclass
class Joining:
    """One start; for one thread."""

    address: StoreAddress
    candidate: Candidate
    ttl_s: float
    waiting: Waiting
    log: EventLog
    _observed: Observations = field(init=False)
    _warnings: list[str] = field(default_factory=list, init=False)
    _connection: members.Connection | None = field(default=None, init=False)
    _life: int | None = field(default=None, init=False)  # of a standby, or of a takeover that was recorded
    _tried: int | None = field(default=None, init=False)  # of a takeover of which nobody has said what became

    def __post_init__(self) -> None:
        self._observed = Observations(self.ttl_s)

    def join(self) -> int:
        """Take the store for the host; returns its life.

        A host that is dead has not always said so: its row is watched for the time to live.

        Raises:
            ConfigurationError: a process with this host's id is alive, or the store is not to be used.
            StoreUnreachableError: the server does not answer, and did not before either.
        """
        self._connection = self._connect()
        try:
            while True:
                life = self._look()
                if life is not None:
                    self._life = life
                    self.waiting.pause(0.0)  # who was told to stop meanwhile gives back what it has taken
                    return life
                self.waiting.pause(PERIOD_S)
        except BaseException:
            self._withdraw()
            raise
        finally:
            self._hang_up()

    def _look(self) -> int | None:
        """One round; the host's life, where it serves from now on."""
        try:
            connection = self._connection = self._connection or self._connect()
            with cut_after(connection, ROUND_S):
                rows = self._round(connection)
                before = [each for each in rows if self._is_before_us(connection, each)]
                self._stand_by(connection, rows, before)
            return None if before else self._take(connection, rows)
        except (StoreUnreachableError, members.BROKEN) as error:
            self._hang_up()
            if self._life is None and isinstance(error, StoreUnreachableError):
                raise
            self.log.warning("the store does not answer: the host goes on standing by", error=str(error).strip())
            return None

    def _round(self, connection: members.Connection) -> list[Member]:
        began = monotonic()
        if self._life is not None and not members.beat(connection, self.candidate.host, self._life):
            if self._tried is None or not members.beat(connection, self.candidate.host, self._tried):
                raise ConfigurationError(self._refusal("somewhere else"))
            self._life = self._tried  # the answer to our takeover was lost, and not what it did
        rows = members.read_members(connection)
        self._observed.note(began, monotonic(), [Sign(each.host, each.life, each.beat) for each in rows])
        return rows

    def _is_before_us(self, connection: members.Connection, row: Member) -> bool:
        """Whether to wait for it. Our own of before is over with its connections, for its directory is ours."""
        is_ours = row.host == self.candidate.host
        if row.life in {self._life, self._tried} or not (row.is_alive if is_ours else row.state == "up"):
            return False
        is_gone = owning.find_connected(connection, row.host) is None
        if is_ours and not is_gone and self._observed.moves(row.host):
            raise ConfigurationError(self._refusal(row.url or row.name))
        return not (is_ours and is_gone) and not self._observed.is_silent(row.host, is_gone=is_gone)

    def _stand_by(self, connection: members.Connection, rows: list[Member], before: list[Member]) -> None:
        """Say so, once, where another one gives signs of life."""
        serving = next((each for each in before if self._observed.moves(each.host)), None)
        if self._life is not None or serving is None:
            return
        self._refuse_strange_store(connection)
        self._life = members.stand_by(connection, self.candidate.host, self.candidate.about)
        self.log.info(
            "standing by: another host serves, and this one follows when it gives no sign of life",
            host=serving.host,
            machine=serving.name,
            url=serving.url,
            ttl_s=self.ttl_s,
        )
        self.waiting.begin()

    def _take(self, connection: members.Connection, rows: list[Member]) -> int | None:
        seen = {each.host: (each.life, each.beat) for each in rows}
        self._warnings.clear()
        self._tried = owning.new_life()
        with cut_after(connection, _TAKE_S):
            life = owning.start_host(
                connection, self.candidate.host, self.candidate.workers, self.candidate.about, seen, self._tried
            )
        if life is None:
            return None
        if self._warnings:  # of an outcome that is unknown: the rows will say it
            self.log.warning("the store has warned at the takeover, which is tried again", warning=self._warnings[0])
            self._life = life
            return None
        for each in rows:
            if each.state == "up":
                own = each.host == self.candidate.host
                what = "the last start of this host did not end in order" if own else "a silent host is taken over"
                self.log.warning(what, host=each.host, machine=each.name, url=each.url, shards=each.shards)
        return life

    def _connect(self) -> members.Connection:
        return connect(self.address, owning.host_name(self.candidate.host), self._warnings.append)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _withdraw(self) -> None:
        """Say that this host waits no more."""
        if self._life is not None and self._connection is not None:
            with suppress(members.BROKEN), cut_after(self._connection, ROUND_S):
                members.leave(self._connection, self.candidate.host, self._life)

    def _refuse_strange_store(self, connection: members.Connection) -> None:
        """Who could not take the store does not stand by."""
        owning.check_bound(connection, self.candidate.host)

    def _refusal(self, where: str) -> str:
        return (
            f"another process with this host's id, {self.candidate.host}, is alive at {where}: is the data directory a "
            "copy? Start with one of its own"
        )
