"""The address of a store as commands take it."""

from __future__ import annotations

from urllib.parse import urlsplit

from holdfast_host.core.errors import ConfigurationError


def has_password(address: str | None) -> bool:
    """Whether an address, if there is one, says a password.

    Raises:
        ConfigurationError: it is no address.
    """
    if not address:
        return False
    try:
        return urlsplit(address).password is not None or "password=" in address
    except ValueError as error:
        raise ConfigurationError(f"--store is no address: {error}") from None


def refuse_password(address: str) -> None:
    """A command line is seen by every process of the machine.

    Raises:
        ConfigurationError: there is a password in it, or it is no address.
    """
    if has_password(address):
        raise ConfigurationError(
            "--store has a password in it, which every process of the machine could read: set HOLDFAST_STORE, or keep "
            "it in a password file (PGPASSFILE)"
        )
