"""What is looked at once, when a host starts: what may go wrong later with a server that can be used now."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

from holdfast_host.core.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

    from holdfast_host.storage.postgres.session import StoreAddress

CLOCK_WARNED_S: Final = 2.0
CLOCK_REFUSED_S: Final = 60.0
# Of a host, beside one a worker: beats, key, what it keeps there (4), a component, a question of people's, an export.
FURTHER_CONNECTIONS: Final = 9
_ANY_STANDBY: Final = re.compile(r"(^|[ (,])\*")


def look_at_server(connection: psycopg.Connection[Any], address: StoreAddress, workers: int) -> list[str]:
    """What the log is to warn of, each in a sentence.

    Raises:
        ConfigurationError: the clocks of host and server are too far apart.
    """
    before = time.time()
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('synchronous_standby_names'),"
        " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())"
    ).fetchone()
    after = time.time()
    server_s, names, left = row or (before, "", workers)
    warnings = []
    apart_s = max(before - server_s, server_s - after, 0.0)
    if apart_s > CLOCK_REFUSED_S:
        raise ConfigurationError(
            f"the clocks of this host and of the store's server are {apart_s:.0f} s apart, and alarms go by the one, "
            "what expires by the other: set them (NTP)"
        )
    if apart_s > CLOCK_WARNED_S:
        warnings.append(f"the clocks of this host and of the store's server are {apart_s:.1f} s apart: set them (NTP)")
    if address.durability == "replicated" and _ANY_STANDBY.search(names):
        warnings.append(
            f"synchronous_standby_names = {names}: whatever receives the log counts as a standby, a backup too; "
            "name the standbys"
        )
    wanted = workers + FURTHER_CONNECTIONS
    if left < wanted:
        warnings.append(
            f"the store's server has {left} connections left, this host takes up to {wanted}: raise max_connections"
        )
    return warnings
