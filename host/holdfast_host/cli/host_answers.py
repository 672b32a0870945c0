"""What `GET /v1/hosts` answers; see `answers`."""

from __future__ import annotations

from typing import TypedDict

from holdfast_host.cli.answers import Count


class Host(TypedDict):
    """One that shares the store; without an id where the data directory is the store."""

    host: str | None
    name: str
    url: str
    state: str
    release: str
    workers: Count
    shards: Count
    beat_age_s: float | None
    is_this: bool


class Hosts(TypedDict):
    """All of them."""

    store: str
    hosts: list[Host]
