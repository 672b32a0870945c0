"""What a host answers to its operator: what may not run, what was logged, secrets, tokens, who changed what."""

from __future__ import annotations

from typing import Annotated, Final, NotRequired, TypedDict

from holdfast_host.cli.answers import Count
from holdfast_host.cli.shapes import Bounds

_YEAR_9000_S: Final = 221_845_392_000


class Quarantined(TypedDict):
    """What may not run; an instance has a type and a name."""

    died_at: str
    function: str
    version: Count
    what: str
    type: NotRequired[str | None]
    name: NotRequired[str | None]


class LogLine(TypedDict):
    """What an instance, with its type and name, or a function has printed."""

    time: Annotated[float, Bounds(0, _YEAR_9000_S)]
    level: NotRequired[str]
    type: NotRequired[str]
    name: NotRequired[str]
    function: NotRequired[str]
    message: NotRequired[str]
    backtrace: NotRequired[str]


class ShownSecret(TypedDict):
    """A secret, without its value."""

    name: str
    updated_at: str
    functions: NotRequired[list[str]]
    sealed_for: NotRequired[str]


class Secrets(TypedDict):
    """All of them."""

    secrets: list[ShownSecret]


class AuditEntry(TypedDict):
    """A line of the audit log: a change that has begun, or has ended."""

    number: Count
    at: str
    event: str
    begun: NotRequired[Count]
    token: NotRequired[str]
    name: NotRequired[str]
    what: NotRequired[str]
    object: NotRequired[str]
    client: NotRequired[str]
    status: NotRequired[Count | None]
    error: NotRequired[str | None]


class OwnToken(TypedDict):
    """What the token is that the request has shown."""

    id: str
    name: str
    scope: str
    types: list[str]
    expires_at: str | None
    tenant: NotRequired[str | None]


class ShownToken(TypedDict):
    """A token, without its text."""

    id: str
    name: str
    scope: str
    types: list[str]
    expires_at: str | None
    expired: bool
    last_used_at: str | None
    tenant: NotRequired[str | None]  # hosts of before know none


class StoredOfTenant(TypedDict):
    """How much a tenant has stored, as it was counted last."""

    instances: int
    bytes: int


class ShownTenant(TypedDict):
    """A tenant."""

    name: str
    created_at: str | None
    limits: dict[str, int]
    stored: StoredOfTenant | None


class Tenants(TypedDict):
    """All of them."""

    tenants: list[ShownTenant]


class NewToken(TypedDict):
    """A token that was made, or rotated."""

    id: str
    scope: str
    expires_at: str | None
    token: str


class Tokens(TypedDict):
    """All of them."""

    tokens: list[ShownToken]
