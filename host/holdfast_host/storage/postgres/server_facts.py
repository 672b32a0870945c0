"""What slowly goes wrong with a server, asked once a minute: transactions used up, connections, old snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

XID_AGE_WARNED: Final = 1_000_000_000  # of the 2^31 after which the server refuses to write
SNAPSHOT_WARNED_S: Final = 600.0
CONNECTIONS_WARNED: Final = 3
# When a session began its transaction is shown to its own role, and to who has pg_monitor.
_FACTS: Final = """SELECT (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database())"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """As of one moment.

    Attributes:
        xid_age: transactions since rows were frozen last.
        connections_left: how many more clients may connect.
        snapshot_age_s: of the oldest snapshot in this database; hot rows keep their versions as long as it is held.
    """

    xid_age: int
    connections_left: int
    snapshot_age_s: float

    def warnings(self) -> dict[str, str]:
        """What somebody should look at, each under the name of its fact."""
        found = {}
        if self.xid_age > XID_AGE_WARNED:
            found["xid_age"] = (
                f"the store is {self.xid_age:,} transactions old and refuses to write at 2^31: let autovacuum freeze "
                "it (VACUUM FREEZE), and end what holds a snapshot"
            )
        if self.snapshot_age_s > SNAPSHOT_WARNED_S:
            found["snapshot_age_s"] = (
                f"a session of the store has held a snapshot for {self.snapshot_age_s:.0f} s, and instances that are "
                "written often slow down as long as it does: see pg_stat_activity, and end it"
            )
        if self.connections_left < CONNECTIONS_WARNED:
            found["connections_left"] = (
                f"the store's server has {self.connections_left} connections left: raise max_connections"
            )
        return found


def read_server_facts(connection: psycopg.Connection[Any]) -> ServerFacts:
    """One short query."""
    row = connection.execute(_FACTS).fetchone() or (0, 0, 0.0)
    return ServerFacts(*row)
