"""PostgreSQL on three nodes: a primary and two standbys, one of which has whatever is acknowledged."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psycopg

from holdfast_host.storage.postgres.owning import make_tables
from tests.harness.postgres import WAIT_S, Server, new_server, programs

SYNCHRONOUS = "ANY 1 (n0, n1, n2)"  # the same on each: a node that is promoted waits for the others


class Replicas:
    """Three servers, and what an operator does with them; `primary` is the one that takes writes."""

    def __init__(self, *, on_disk: bool = False) -> None:
        self.primary = new_server("cluster_name = 'n0'", on_disk=on_disk)
        self.nodes = [self.primary]
        binaries = programs()
        assert binaries is not None
        for n in (1, 2):
            names = f"synchronous_standby_names = '{SYNCHRONOUS}'"
            self.nodes.append(Server(binaries, [f"cluster_name = 'n{n}'", names], of=self.primary, on_disk=on_disk))
        self.require(SYNCHRONOUS)
        self.wait_for_standbys(2)

    @property
    def standbys(self) -> list[Server]:
        """All but the primary that run."""
        return [each for each in self.nodes if each is not self.primary and (each.data / "postmaster.pid").exists()]

    def new_store(self) -> str:
        """The address of a new one: that of all nodes."""
        dsn = self.new_database()
        with psycopg.connect(dsn, autocommit=True, target_session_attrs="read-write") as connection:
            make_tables(connection)
        return dsn

    def new_database(self) -> str:
        """The address of an empty one, on whichever node takes writes."""
        dsn = self.primary.new_database()
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.nodes)
        return f"postgresql://holdfast@{hosts}/{dsn.rsplit('/', 1)[1]}"

    def require(self, names: str) -> None:
        """Have the primary wait for these; returns when it does."""
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.execute("SELECT pg_reload_conf()")
        self._wait_until(self.primary, f"SELECT current_setting('synchronous_standby_names') = '{names}'")

    def wait_for_standbys(self, count: int) -> None:
        """Return when so many follow the primary."""
        self._wait_until(
            self.primary, f"SELECT count(*) >= {count} FROM pg_stat_replication WHERE sync_state = 'quorum'"
        )

    def kill_primary(self) -> None:
        """All of it at once, as when its machine loses power."""
        self.primary.send(signal.SIGKILL)
        Path(self.primary.data / "postmaster.pid").unlink()

    def promote(self) -> Server:
        """As is to be done by hand: cut the standbys off, promote the one that is ahead, have the other follow it."""
        for each in self.standbys:
            each.execute("ALTER SYSTEM SET primary_conninfo = ''")
            each.execute("SELECT pg_reload_conf()")
        for each in self.standbys:
            self._wait_until(each, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")
        last = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"
        ahead = max(self.standbys, key=lambda each: int(each.execute(last)[0][0]))
        followers = [each for each in self.standbys if each is not ahead]
        ahead.execute("SELECT pg_promote()")
        for each in followers:
            each.execute(f"ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={ahead.port} user=holdfast'")
            each.execute("SELECT pg_reload_conf()")
        self.primary = ahead
        return ahead

    def remove(self) -> None:
        for each in self.nodes:
            each.remove()

    def _wait_until(self, node: Server, question: str) -> None:
        end = time.monotonic() + WAIT_S
        while not node.execute(question)[0][0]:
            assert time.monotonic() < end, f"it did not come to that: {question}"
            time.sleep(0.02)
