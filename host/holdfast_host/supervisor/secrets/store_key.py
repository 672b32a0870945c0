"""The one key that all hosts of a store have: each has a copy of its file, the store has only what tells it apart.

It seals the secrets that lie in the store. A host without it, or with another, could not open them, and would seal its
own so that no other host could; so it does not start.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Protocol

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.supervisor.secrets.secret_store import make_key_file, read_key_file

if TYPE_CHECKING:
    from pathlib import Path


class KnownKey(Protocol):
    """What the store says of its key."""

    @property
    def id(self) -> str:
        """The store's own."""

    def check(self) -> bytes:
        """What `agree` has given it; empty where no host has been there."""

    def set_check(self, check: bytes) -> None:
        """Keep it, where none is kept yet."""


def agree(path: Path, known: KnownKey) -> None:
    """Return when the key file is there, and is that of the store. The first host makes it.

    Raises:
        ConfigurationError: it is missing or another one.
    """
    try:
        key = read_key_file(path)
    except FileNotFoundError:
        if known.check():
            raise ConfigurationError(
                f"{path} is missing: what is sealed in this store opens with the key that its other hosts have; copy "
                "one's key file there (DATA/secrets/key), or name it with --cluster-key-file"
            ) from None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = make_key_file(path)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from None
    check = hmac.digest(key, f"the key of the store {known.id}".encode(), hashlib.sha256)
    if not known.check():
        known.set_check(check)
    if not hmac.compare_digest(known.check(), check):
        raise ConfigurationError(
            f"{path} is not the key of this store: copy the key file of another of its hosts there "
            "(DATA/secrets/key), or name it with --cluster-key-file"
        )
