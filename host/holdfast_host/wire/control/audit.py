"""The audit log between a front, which knows who asks, and the supervisor, which keeps it."""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tenants import DEFAULT_TENANT


class Change(Struct, frozen=True):
    """A change through the management API, as it is asked for. No value and no argument is in it."""

    token: str  # the id of the token that was shown; or `bootstrap`, or `anonymous` on a host without tokens
    name: str  # that token's label
    what: str  # the operation, as the API's description calls it
    object: str  # the request's path, as it came, without its query
    client: str  # the address that it came from
    tenant: str = DEFAULT_TENANT  # whose things it changes


class Outcome(Struct, frozen=True):
    """What became of it."""

    status: int | None = None  # of HTTP; null where the client hung up, and nobody knows
    error: str | None = None  # its name
    details: JsonObject = {}  # what was made: a version, a token's id
