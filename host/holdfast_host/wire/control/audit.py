"""The audit log between a front, which knows who asks, and the supervisor, which keeps it: changes, and refusals."""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.core.json_text import JsonObject
from holdfast_host.wire.control.messages import Message


class Change(Struct, frozen=True):
    """A change through the management API, as it is asked for. No value and no argument is in it."""

    token: str  # the id of the token that was shown; or `bootstrap`, or `anonymous` on a host without tokens
    name: str  # that token's label
    what: str  # the operation, as the API's description calls it
    object: str  # the request's path, as it came, without its query
    client: str  # the address that it came from
    tenant: str | None = None  # for whom it acts; null: for the host, whose names are those of `default`
    by_host: bool = False  # a token of the host acts for that tenant


class Refusal(Struct, frozen=True):
    """A request that was refused for its token; the first of its kind, where there are several."""

    status: int
    error: str
    token: str  # the id of the token that it showed; empty where it showed none that is let in
    name: str  # that token's label
    client: str  # the address that it came from
    object: str  # method and path, without the query
    tenant: str | None = None  # whose token it is; null: the host's, or nobody's


class RequestsRefused(Message, tag="refused"):
    """A front has refused so many of each kind, and `further` ones of others."""

    groups: list[tuple[Refusal, int]]
    further: int = 0


class Outcome(Struct, frozen=True):
    """What became of it."""

    status: int | None = None  # of HTTP; null where the client hung up, and nobody knows
    error: str | None = None  # its name
    details: JsonObject = {}  # what was made: a version, a token's id
