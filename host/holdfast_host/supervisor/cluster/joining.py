"""A host that starts on a store: it takes the shards once no other host lives there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.postgres import members, owning
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.supervisor.cluster.membership import PERIOD_S, Observations, Sign

if TYPE_CHECKING:
    from holdfast_host.core.logs import EventLog

_TAKE_S: Final = 30.0  # for a takeover, which waits for the commit under way


@dataclass(frozen=True, slots=True)
class Candidate:
    """The host that starts."""

    host: str
    workers: int
    name: str  # of the machine
    url: str
    release: str


def join(address: StoreAddress, candidate: Candidate, ttl_s: float, log: EventLog) -> int:
    """Take the store for the host; returns its life.

    A host that is dead has not always said so: its row is watched for the time to live.

    Raises:
        ConfigurationError: another host serves the store, or a process with this one's id; or it is not to be used.
        StoreUnreachableError: the server does not answer.
    """
    warnings: list[str] = []
    with connect(address, owning.host_name(candidate.host), warnings.append) as connection:
        observed = Observations(ttl_s)
        while True:
            rows = _look(connection, observed)
            living = [each for each in rows if each.state == "up" and _lives(connection, each, candidate, observed)]
            if not living:
                life = _take(connection, candidate, rows)
                if life is not None and not warnings:
                    _say(rows, candidate, log)
                    return life
                warnings.clear()  # of an outcome that is unknown: the rows say it
                continue
            for each in living:
                if observed.moves(each.host):
                    raise ConfigurationError(_refusal(each, candidate))
            time.sleep(PERIOD_S)


def _look(connection: members.Connection, observed: Observations) -> list[members.Member]:
    began = time.monotonic()
    rows = members.read_members(connection)
    observed.note(began, time.monotonic(), [Sign(each.host, each.life, each.beat) for each in rows])
    return rows


def _lives(connection: members.Connection, row: members.Member, candidate: Candidate, observed: Observations) -> bool:
    """Whether to wait for what the row shows. Our own of before is over with its connections: its directory is ours."""
    if row.host == candidate.host and owning.find_connected(connection, row.host) is None:
        return False
    return not observed.is_silent(row.host)


def _take(connection: members.Connection, candidate: Candidate, rows: list[members.Member]) -> int | None:
    seen = {each.host: (each.life, each.beat) for each in rows}
    about = (candidate.name, candidate.url, candidate.release)
    with members.cut_after(connection, _TAKE_S):
        return owning.start_host(connection, candidate.host, candidate.workers, about, seen)


def _say(rows: list[members.Member], candidate: Candidate, log: EventLog) -> None:
    for each in rows:
        if each.state == "up":
            own = each.host == candidate.host
            what = "the last start of this host did not end in order" if own else "a host that was silent is taken over"
            log.warning(what, host=each.host, machine=each.name, url=each.url, shards=each.shards)


def _refusal(living: members.Member, candidate: Candidate) -> str:
    if living.host == candidate.host:
        return (
            f"another process with this host's id, {living.host}, is alive at {living.url or living.name}: is the data "
            "directory a copy? Start with one of its own"
        )
    return f"the host {living.name or living.host} at {living.url} serves this store, and one host can: stop it first"
