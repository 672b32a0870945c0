"""The hosts of a store, as its table shows them: the row of each, and the statements of a host about its own.

A row has the host's life, a random number that is new at each start, and a beat that it counts. `up` serves; `standby`
waits for that one to end; `stopped` has said that it ended; `dead` was taken over by another one. The life decides: who
finds his row with another one, or dead, has lost everything, and no statement of his finds its fence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from holdfast_host.storage.postgres.owning import new_life

Connection = psycopg.Connection[Any]
BROKEN: Final = psycopg.Error  # what statements raise where the server is gone, or does not do what it is asked
_ROWS: Final = (
    "SELECT h.host, h.life, h.beat, h.state, h.name, h.url, h.release, (SELECT count(DISTINCT seat.seat) FROM shard"
    " JOIN seat USING (seat) WHERE seat.host = h.host), (SELECT count(*) FROM shard JOIN seat USING (seat) WHERE"
    " seat.host = h.host) FROM host AS h ORDER BY h.name, h.host"
)
_BEAT: Final = (
    "UPDATE host SET beat = beat + 1, changed_at = now() WHERE host = %s AND life = %s AND state IN ('up', 'standby')"
    " RETURNING beat"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One host's row, and what it owns."""

    host: str
    life: int
    beat: int
    state: str
    name: str  # of its machine
    url: str
    release: str
    workers: int  # that own something
    shards: int

    @property
    def is_alive(self) -> bool:
        """Whether it says so, and nobody has said otherwise."""
        return self.state in {"up", "standby"}


def read_members(connection: psycopg.Connection[Any]) -> list[Member]:
    """All rows, by the names of their machines."""
    return [Member(*row) for row in connection.execute(_ROWS)]


def beat(connection: psycopg.Connection[Any], host: str, life: int) -> bool:
    """Count a beat; False where the row has another life, or somebody has taken the host over."""
    return connection.execute(_BEAT, (host, life)).fetchone() is not None


def leave(connection: psycopg.Connection[Any], host: str, life: int) -> None:
    """Say that the host has ended: nobody waits for a beat of it."""
    connection.execute(
        "UPDATE host SET state = 'stopped', changed_at = now() WHERE host = %s AND life = %s AND state <> 'dead'",
        (host, life),
    )


def stand_by(connection: psycopg.Connection[Any], host: str, about: tuple[str, str, str]) -> int | None:
    """Say that the host waits for the one that serves; its life, or None where its row says that it serves itself."""
    life = new_life()
    row = connection.execute(
        "INSERT INTO host (host, life, state, name, url, release) VALUES (%s, %s, 'standby', %s, %s, %s)"
        " ON CONFLICT (host) DO UPDATE SET life = excluded.life, state = excluded.state, name = excluded.name,"
        " url = excluded.url, release = excluded.release, changed_at = now() WHERE host.state <> 'up' RETURNING life",
        (host, life, *about),
    ).fetchone()
    return None if row is None else life
