"""What a token is: its text, how it is kept, and what its scope lets it do.

A token is 256 bits from the system's generator, so its SHA-256 can be kept where it itself must not be: nobody finds a
text of that kind by trying, and a slow hash, which is for passwords that people choose, would only slow the host down.
Its id is no secret: it is how people and the audit log speak of it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

_ID: Final = "[a-z2-7]{10}"
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARS: Final = 10
_SECRET_BYTES: Final = 32
_TEXT: Final = re.compile(rf"hft_({_ID})_[A-Za-z0-9_-]{{43}}")
TOKEN_ID: Final = re.compile(_ID)

# Who a request comes from that shows none of the made tokens: the host's own one, or none, where the host has none.
BOOTSTRAP: Final = "bootstrap"
ANONYMOUS: Final = "anonymous"


class Scope(StrEnum):
    """What a token may do; one each."""

    ADMIN = "admin"  # everything
    DEPLOY = "deploy"  # functions and their versions, and what one looks at to deploy
    CALL = "call"  # calls, sockets and events of instances, of all types or of some
    READ = "read"  # look at everything, and change nothing


def new_id() -> str:
    """An id for a token, of 50 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))


def new_token(token_id: str) -> str:
    """Another token under that id."""
    return f"hft_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(token: str) -> str | None:
    """The id that a token has in it; None where it is none that a host has made."""
    found = _TEXT.fullmatch(token)
    return None if found is None else found[1]


def without_secrets(target: str) -> str:
    """A request's path or target with the ids alone of the tokens in it, also of those that are escaped there."""
    named = unquote(target)
    hidden = _TEXT.sub(r"hft_\1_...", named)
    return target if hidden == named else quote(hidden, safe="/?=&*")


def digest_of(token: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
