"""Who owns the shards: the host that serves, and of it a seat for each worker; a life each.

A life is a random number that is never used twice: a store that is restored to the past cannot bring an old owner back.
Whoever gives a seat another life waits for the commit that is under way on it, and no later one finds its fence.

One host serves at a time. Which one may take the store is judged by `supervisor.cluster`; here it is taken.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.postgres.schema import FORMAT, NUMBER_BLOCK, SCHEMA, STEPS, TABLES_1
from holdfast_host.storage.store import OwnerLostError, TakenOverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

APPLICATION: Final = "holdfast/"  # how the name of each connection of a host begins
_LIFE_BITS: Final = 62
COPYING: Final = "a copy that has not ended"  # in place of a directory's host


Owners = dict[int, int]  # a worker for each shard


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker owns: its seat at a life, and its shards with their epochs and the group that each has reached."""

    seat: int
    life: int
    reached: dict[int, tuple[int, int]]


def worker_name(host: str, worker: int) -> str:
    """How the server shows a worker's connection."""
    return f"{APPLICATION}{host}/w{worker}"


def host_name(host: str) -> str:
    """How the server shows that of a host itself."""
    return f"{APPLICATION}{host}/host"


def new_life() -> int:
    """A number that nobody has had."""
    return secrets.randbits(_LIFE_BITS) | 1


def find_connected(connection: psycopg.Connection[Any], host: str = "") -> str | None:
    """A host, or this one, of which the server has a connection, beside the given one."""
    found = connection.execute(
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s AND pid <> pg_backend_pid()"
        " AND datname = current_database() LIMIT 1",
        (f"{APPLICATION}{host}%",),
    ).fetchone()
    return None if found is None else str(found[0]).removeprefix(APPLICATION).partition("/")[0]


def make_tables(connection: psycopg.Connection[Any]) -> bool:
    """Make the tables of a new store; False where they are there."""
    (there,) = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.cluster",)).fetchone() or (None,)
    if there is not None:
        return False
    with connection.transaction():
        connection.execute(TABLES_1)
        connection.execute("INSERT INTO cluster (id, format, catalog, directory) VALUES (gen_random_uuid(), 1, 1, '')")
        _bring_up(connection, 1)
    return True


def upgrade_tables(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """Bring a store of an earlier format to this release's; the format that it had, and the one that it has.

    Raises:
        ConfigurationError: there is no store, or one of a later format, or a host is connected.
    """
    (there,) = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.cluster",)).fetchone() or (None,)
    if there is None:
        raise ConfigurationError("the store has no tables: make them with `holdfast store init`")
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '1s'")
        (found,) = connection.execute("SELECT format FROM cluster FOR UPDATE").fetchone() or (0,)
        if found > FORMAT:
            raise ConfigurationError(f"the store has format {found}, this release writes {FORMAT}: take a later one")
        if found < FORMAT:
            host = find_connected(connection)
            if host is not None:
                raise ConfigurationError(f"the host {host} is connected to this store: stop it first")
            _bring_up(connection, found)
    return found, FORMAT


def _bring_up(connection: psycopg.Connection[Any], found: int) -> None:
    for number in range(found + 1, FORMAT + 1):
        connection.execute(STEPS[number])
    connection.execute("UPDATE cluster SET format = %s", (FORMAT,))


def check_bound(connection: psycopg.Connection[Any], host: str) -> None:
    """Raise ConfigurationError where what the store is to have is in the directory of another host yet."""
    (bound,) = connection.execute("SELECT directory FROM cluster").fetchone() or ("",)
    if bound == COPYING:
        raise ConfigurationError(
            "a copy into this store has not ended: give the same `holdfast store copy` again, which goes on with it"
        )
    if bound not in ("", host):
        raise ConfigurationError(
            f"the functions of this store are still registered in the data directory whose registry/store.json "
            f"says {bound}: start once with that one, which brings them into the store"
        )


def start_host(
    connection: psycopg.Connection[Any],
    host: str,
    workers: int,
    about: tuple[str, str, str] = ("", "", ""),
    seen: Mapping[str, tuple[int, int]] | None = None,
    life: int | None = None,
) -> int | None:
    """Take all shards for a host, spread over so many seats; the host's life.

    Args:
        connection: to the store.
        host: whose they are to be.
        workers: the seats.
        about: name of the machine, URL, release.
        seen: life and beat of each host that says it lives, as it was seen when it was held for dead; None for all.
        life: the host's from now on, where its caller is to know it also if the answer is lost; None for a new one.

    Returns:
        None, and nothing is changed, where another host lives, or one of them has come to life again.

    Raises:
        ConfigurationError: the store goes with the directory of another host.
    """
    life = life or new_life()
    with connection.transaction():
        connection.execute("SELECT FROM cluster FOR UPDATE")
        check_bound(connection, host)
        alive = connection.execute(
            "SELECT host, life, beat FROM host WHERE state = 'up' OR (state = 'standby' AND host = %s)"
            " ORDER BY host FOR UPDATE",
            (host,),
        ).fetchall()
        if seen is not None and any(seen.get(each) != (life_, beat) for each, life_, beat in alive):
            return None
        connection.execute(
            "UPDATE host SET state = 'dead', changed_at = now() WHERE host <> %s AND state = 'up'", (host,)
        )
        connection.execute(
            "INSERT INTO host (host, life, state, name, url, release) VALUES (%s, %s, 'up', %s, %s, %s)"
            " ON CONFLICT (host) DO UPDATE SET life = excluded.life, state = 'up', name = excluded.name,"
            " url = excluded.url, release = excluded.release, changed_at = now()",
            (host, life, *about),
        )
        for worker in range(workers):
            connection.execute(
                "INSERT INTO seat (host, worker, life, lives) VALUES (%s, %s, 0, 0) ON CONFLICT DO NOTHING",
                (host, worker),
            )
        for (seat,) in connection.execute("SELECT seat FROM seat ORDER BY seat FOR UPDATE").fetchall():
            other = new_life()
            connection.execute("UPDATE seat SET life = %s, lives = lives + 1 WHERE seat = %s", (other, seat))
        _fold_reached(connection, None)
        _pass_numbers(connection)
        for worker in range(workers):
            connection.execute(
                "UPDATE shard SET epoch = epoch + 1, seat = (SELECT seat FROM seat WHERE host = %s AND worker = %s)"
                " WHERE shard %% %s = %s",
                (host, worker, workers, worker),
            )
        _forget_hosts(connection)
    return life


def _forget_hosts(connection: psycopg.Connection[Any]) -> None:
    """Those that have not been there for a day; what they owned is another one's.

    Who stood by and was killed has said nothing, and nobody has taken anything from it; its beat is a day old.
    """
    connection.execute(
        "DELETE FROM seat USING host WHERE seat.host = host.host AND host.state <> 'up'"
        " AND host.changed_at < now() - interval '1 day'"
        " AND NOT EXISTS (SELECT FROM shard WHERE shard.seat = seat.seat)"
    )
    connection.execute(
        "DELETE FROM host WHERE state <> 'up' AND changed_at < now() - interval '1 day'"
        " AND NOT EXISTS (SELECT FROM seat WHERE seat.host = host.host)"
    )


def _pass_numbers(connection: psycopg.Connection[Any]) -> None:
    """No number is given twice, also where a logical replication has left the sequence behind."""
    last, highest = connection.execute(
        "SELECT last_value, greatest((SELECT max(number) FROM instance), (SELECT max(data) FROM kv), 0) FROM numbers"
    ).fetchone() or (0, 0)
    if highest >= last + NUMBER_BLOCK:
        connection.execute(
            "SELECT setval('numbers', greatest((SELECT max(greatest(number, data, apart)) FROM instance),"
            " (SELECT max(data) FROM kv), (SELECT max(apart) FROM job), (SELECT max(apart) FROM receipt),"
            " (SELECT max(apart) FROM socket), (SELECT max(number) FROM garbage)))"
        )


def claim(
    connection: psycopg.Connection[Any], host: str, host_life: int, worker: int, warned: Callable[[], str | None]
) -> Seat:
    """Give a worker's seat another life, which is this connection's; what it owns, and what its predecessor reached.

    Raises:
        TakenOverError: the host has another life.
        OwnerLostError: the server has warned: nothing is known.
    """
    life = new_life()
    with connection.transaction():
        alive = connection.execute(
            "SELECT FROM host WHERE host = %s AND life = %s AND state = 'up' FOR KEY SHARE", (host, host_life)
        ).fetchone()
        if alive is None:
            raise TakenOverError("another host has taken the store over, and one host can serve a store")
        row = connection.execute(
            "UPDATE seat SET life = %s, lives = lives + 1 WHERE host = %s AND worker = %s RETURNING seat",
            (life, host, worker),
        ).fetchone()
        if row is None:
            raise OwnerLostError("the store has no seat for this worker")
        seat: int = row[0]
        _fold_reached(connection, seat)
        shards = connection.execute(
            "UPDATE shard SET epoch = epoch + 1 WHERE seat = %s RETURNING shard, epoch, grp", (seat,)
        ).fetchall()
    warning = warned()
    if warning is not None:
        raise OwnerLostError(f"the store has warned at the claim: {warning}")
    return Seat(seat, life, {shard: (epoch, group) for shard, epoch, group in shards})


def empty_seat(
    connection: psycopg.Connection[Any], host: str, host_life: int, worker: int, heirs: Sequence[int]
) -> Owners | None:
    """Spread what a worker owns that does not run over others of its host, those with the fewest first.

    Its seat gets another life: if it runs all the same, no statement of it finds its fence. A shard in which a socket
    is open stays: the fronts have it of this worker.

    Returns:
        The new owner of each shard; None where the host has another life.
    """
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        alive = connection.execute(
            "SELECT FROM host WHERE host = %s AND life = %s AND state = 'up' FOR KEY SHARE", (host, host_life)
        ).fetchone()
        seats: dict[int, int] = dict(
            connection.execute("SELECT worker, seat FROM seat WHERE host = %s ORDER BY seat FOR UPDATE", (host,))
        )
        if alive is None or worker not in seats:
            return None
        seat = seats[worker]
        connection.execute("UPDATE seat SET life = %s, lives = lives + 1 WHERE seat = %s", (new_life(), seat))
        _fold_reached(connection, seat)
        owned: dict[int, int] = dict(connection.execute("SELECT seat, count(*) FROM shard GROUP BY seat").fetchall())
        moving = connection.execute(
            "SELECT shard FROM shard WHERE seat = %s AND NOT EXISTS (SELECT FROM socket WHERE socket.shard ="
            " shard.shard) ORDER BY shard FOR UPDATE",
            (seat,),
        ).fetchall()
        given: Owners = {}
        for (shard,) in moving:
            heir = min(heirs, key=lambda each: owned.get(seats[each], 0))
            owned[seats[heir]] = owned.get(seats[heir], 0) + 1
            given[shard] = heir
            connection.execute("UPDATE shard SET seat = %s, epoch = epoch + 1 WHERE shard = %s", (seats[heir], shard))
    return given


def read_owners(connection: psycopg.Connection[Any], host: str) -> Owners:
    """The worker of each shard that the host owns."""
    return dict(
        connection.execute(
            "SELECT shard.shard, seat.worker FROM shard JOIN seat USING (seat) WHERE seat.host = %s", (host,)
        ).fetchall()
    )


def _fold_reached(connection: psycopg.Connection[Any], seat: int | None) -> None:
    """What a seat, or every one, has reached is its shards' from now on; the seats are locked."""
    connection.execute(
        "UPDATE shard SET grp = greatest(shard.grp, r.grp) FROM (SELECT seat, max(grp) AS grp FROM reached"
        " GROUP BY seat) AS r WHERE shard.seat = r.seat AND (%s::int IS NULL OR r.seat = %s)",
        (seat, seat),
    )
    connection.execute("DELETE FROM reached WHERE %s::int IS NULL OR seat = %s", (seat, seat))
