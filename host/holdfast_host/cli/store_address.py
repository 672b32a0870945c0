"""The address of a store as commands take it."""

from __future__ import annotations

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.store_address import has_password


def refuse_password(address: str) -> None:
    """A command line is seen by every process of the machine.

    Raises:
        ConfigurationError: there is a password in it.
    """
    if has_password(address):
        raise ConfigurationError(
            "--store has a password in it, which every process of the machine could read: set HOLDFAST_STORE, or keep "
            "it in a password file (PGPASSFILE)"
        )
