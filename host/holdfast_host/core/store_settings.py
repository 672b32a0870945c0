"""What the operator says of a store on PostgreSQL, checked together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.store_address import check_address

if TYPE_CHECKING:
    from pathlib import Path

DURABILITIES: Final = ("replicated", "managed", "single")
HOST_TTL_S: Final = 3  # unless the operator says otherwise
_TTL_RANGE_S: Final = (2, 60)  # below, a host that is busy for a moment counts as dead


def check_store(store: str | None, durability: str, host_ttl_s: int, archive: str | Path | None) -> None:
    """Raise ConfigurationError for what does not go together, or is nothing."""
    least_s, most_s = _TTL_RANGE_S
    if durability not in DURABILITIES:
        raise ConfigurationError(f"--durability {durability!r} is none of {', '.join(DURABILITIES)}")
    if not least_s <= host_ttl_s <= most_s:
        raise ConfigurationError(f"--host-ttl is {host_ttl_s}, it must be between {least_s} and {most_s} seconds")
    if store is not None and archive is not None:
        raise ConfigurationError("--archive is of storage in files: with --store, PostgreSQL's own backups go back")
    if store is not None:
        check_address(store)


def check_cluster_key(store: str | None, key: str | Path | None) -> None:
    """Raise ConfigurationError for a key that is for nothing."""
    if key is not None and store is None:
        raise ConfigurationError("--cluster-key-file is of hosts that share a store: give --store too")
