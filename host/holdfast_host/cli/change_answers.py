"""What `GET /v1/changes` answers, as far as commands show it; see `answers`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from holdfast_host.cli.answers import Count


class Gap(TypedDict):
    """Commits of a partition that the archive lacks."""

    partition: Count
    to: str


class Change(TypedDict):
    """What one turn has put and deleted; or that some are missing."""

    position: str
    at: NotRequired[str]
    type: NotRequired[str]
    name: NotRequired[str]
    cleared: NotRequired[bool]
    imported: NotRequired[bool]
    put: NotRequired[dict[str, Any]]
    raw: NotRequired[dict[str, str]]
    deleted: NotRequired[list[str]]
    alarm: NotRequired[str | None]
    gap: NotRequired[Gap]


class Reverted(TypedDict):
    """What was changed to have an instance's keys as they were."""

    at: str
    put: Count
    deleted: Count
    keys: Count
