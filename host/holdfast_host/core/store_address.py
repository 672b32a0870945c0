"""The address of a store, `postgresql://USER@HOST/DATABASE`, taken apart as PostgreSQL's own client takes it apart.

That is not how other URLs are read: user and password go up to the first `@`, and only a slash ends them before it. No
sentence here repeats anything of an address: where it is wrong, the password may stand anywhere in it.
"""

from __future__ import annotations

from typing import Final

from holdfast_host.core.errors import ConfigurationError

SHAPE: Final = (
    "write postgresql://USER@HOST/DATABASE, and in a password %25 for %, %40 for @, %2F for / and %20 for a space"
)
_SCHEMES: Final = frozenset({"postgresql", "postgres"})


def has_password(address: str | None) -> bool:
    """Whether an address, if there is one, says a password."""
    if not address:
        return False
    user, _, _ = _parts(address)
    return ":" in user or "password=" in address


def check_address(address: str) -> None:
    """Return when the address can be one, and nothing that is no password stands where that was meant to be.

    Raises:
        ConfigurationError: it is none.
    """
    _, hosts, database = _parts(address)
    ports = [each.rpartition("]")[2].partition(":")[2] for each in hosts.split(",")]
    whole = address.partition("://")[0] in _SCHEMES and "@" not in hosts + database
    if not whole or not all(port.isdecimal() or not port for port in ports):
        raise ConfigurationError(f"--store is no address of PostgreSQL: {SHAPE}")


def _parts(address: str) -> tuple[str, str, str]:
    """User and password, hosts with their ports, and the database."""
    before, _, behind = address.partition("://")[2].partition("/")
    user, at, hosts = before.partition("@")
    return (user, hosts, behind.partition("?")[0]) if at else ("", before.partition("?")[0], behind.partition("?")[0])
