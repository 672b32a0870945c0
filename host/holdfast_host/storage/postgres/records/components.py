"""Components in PostgreSQL, in pieces; hosts keep what they run in files, as a cache, under its hash.

A component is there before a version that needs it is recorded. So what no version needs goes only when it has been
there for an hour: it may be on its way.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from holdfast_host.core.durable_files import write_pieces
from holdfast_host.core.errors import HostUnavailableError, StorageFullError
from holdfast_host.core.limits import MIB
from holdfast_host.core.tenants import key_of
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.session import StoreAddress, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE_BYTES: Final = MIB
PIECE_S: Final = 30.0  # after which a server that has not answered is given up
_DISK_FULL: Final = "53100"
# A piece that is there is written again only where it is damaged.
_PUT: Final = """INSERT INTO component VALUES (%s, %s, %s, now()) ON CONFLICT (sha256, piece) DO UPDATE SET
    stored = now(), bytes = CASE WHEN component.bytes = excluded.bytes THEN component.bytes ELSE excluded.bytes END"""
_SWEEP: Final = """DELETE FROM component WHERE stored < now() - interval '1 hour'
    AND NOT EXISTS (SELECT FROM versions WHERE versions.sha256 = component.sha256)"""

_WRONG: Final = """SELECT DISTINCT f.tenant, f.name, v.version, h.sha256 IS NULL
    FROM versions AS v JOIN functions AS f USING (func_id)
    LEFT JOIN (SELECT sha256, encode(sha256(string_agg(bytes, ''::bytea ORDER BY piece)), 'hex') AS found
        FROM component GROUP BY sha256) AS h USING (sha256)
    WHERE h.found IS DISTINCT FROM v.sha256 ORDER BY 1, 2, 3"""


def wrong_components(connection: psycopg.Connection[Any]) -> list[str]:
    """What is wrong with the components of the versions that are recorded; the server reads all of them."""
    return [
        f"the component of version {version} of {key_of(tenant, name)!r} is "
        f"{'gone' if is_gone else 'damaged'}: deploy it again"
        for tenant, name, version, is_gone in connection.execute(_WRONG)
    ]


class StoreComponents:
    """Implements `storage.records.SharedComponents`; any thread, over a connection that is opened for it."""

    def __init__(self, address: StoreAddress, name: str) -> None:
        self._address = address
        self._name = name

    def put(self, sha256: str, component: Path) -> None:
        """Keep one; it is there on return."""
        try:
            with connect(self._address, self._name) as connection, component.open("rb") as file:
                pieces = iter(partial(file.read, PIECE_BYTES), b"")
                for number, piece in enumerate(pieces):  # each is a transaction of its own: none holds others up
                    with cut_after(connection, PIECE_S):
                        connection.execute(_PUT, (sha256, number, piece))
                with cut_after(connection, PIECE_S):
                    connection.execute(_SWEEP)
        except psycopg.Error as error:
            kind = StorageFullError if error.sqlstate == _DISK_FULL else HostUnavailableError
            raise kind(f"the component cannot be kept in the store: {error}") from error

    def fetch(self, sha256: str, draft: Path) -> bool:
        """Write one into a new file, and see that it is what was kept."""
        hashed = hashlib.sha256()

        def pieces(connection: psycopg.Connection[Any]) -> Iterator[bytes]:
            for number in range(count):
                with cut_after(connection, PIECE_S):
                    row = connection.execute(
                        "SELECT bytes FROM component WHERE sha256 = %s AND piece = %s", (sha256, number)
                    ).fetchone()
                piece = b"" if row is None else bytes(row[0])
                hashed.update(piece)
                yield piece

        try:
            with connect(self._address, self._name) as connection:
                with cut_after(connection, PIECE_S):
                    row = connection.execute("SELECT count(*) FROM component WHERE sha256 = %s", (sha256,)).fetchone()
                count = 0 if row is None else row[0]
                if not count:
                    return False
                write_pieces(draft, pieces(connection))
        except psycopg.Error as error:
            raise HostUnavailableError(f"the component {sha256} cannot be read from the store: {error}") from error
        if hashed.hexdigest() != sha256:
            raise HostUnavailableError(f"the component {sha256} in the store is damaged: deploy it again")
        return True
