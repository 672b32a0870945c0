"""Which web pages may read what is answered here (CORS): of a manifest's `[cors]`, and of the host's own API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from holdfast_host.core.origins import OriginError, read_origins

ANY: Final = "*"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS: Final = ("Content-Type", "Authorization", "Last-Event-ID")  # the last of event streams that go on
MAX_AGE_S: Final = 600
_KEYS: Final = ("origins", "methods", "headers", "expose", "credentials", "max_age_s")
_AGE_S_MAX: Final = 86_400  # no browser keeps it longer
_NAMES_MAX: Final = 100
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


class CorsError(ValueError):
    """Rules that are none; its text says which and why."""


@dataclass(frozen=True, slots=True)
class Cors:
    """What pages of other origins may do.

    Attributes:
        origins: those pages', as core.origins reads them; or `*` alone, for all there are.
        methods: what they may ask with.
        headers: what they may send beside the few that every page may.
        expose: what they may read of an answer's, beside the few that every page may.
        credentials: whether their requests carry the cookies of this host.
        max_age_s: for how long a browser need not ask again what it may do.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...] = METHODS
    headers: tuple[str, ...] = HEADERS
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age_s: int = MAX_AGE_S

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Cors:
        """What a registry has kept."""
        read: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in facts.items()}
        return cls(**read)


def read_cors(value: Any) -> Cors | None:
    """A manifest's `[cors]`; None where there is none, CorsError where it is no such table."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CorsError("it must be a table")
    for key in value:
        if key not in _KEYS:
            raise CorsError(f"the unknown key {key}; known here: {', '.join(_KEYS)}")
    credentials = value.get("credentials", False)
    if not isinstance(credentials, bool):
        raise CorsError("credentials must be true or false")
    origins = read_listed(value.get("origins"))
    if credentials and ANY in origins:
        raise CorsError('credentials = true with origins = ["*"], which browsers refuse: list the origins')
    max_age_s = value.get("max_age_s", MAX_AGE_S)
    if type(max_age_s) is not int or not 0 <= max_age_s <= _AGE_S_MAX:
        raise CorsError(f"max_age_s = {max_age_s!r:.40}, it must be a whole number from 0 to {_AGE_S_MAX} seconds")
    methods = tuple(each.upper() for each in _names("methods", value.get("methods", list(METHODS))))
    headers = _names("headers", value.get("headers", list(HEADERS)))
    return Cors(origins, methods, headers, _names("expose", value.get("expose", [])), credentials, max_age_s)


def read_listed(value: Any) -> tuple[str, ...]:
    """The origins of a list that is not empty, or `*` alone; CorsError."""
    if value == [ANY]:
        return (ANY,)
    try:
        origins = read_origins(value)
    except OriginError as error:
        raise CorsError(str(error)) from None
    if not origins:
        raise CorsError('origins has none: list them, like origins = ["https://app.example.com"], or ["*"] for all')
    return origins


def _names(key: str, value: Any) -> tuple[str, ...]:
    """Names of methods or headers."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CorsError(f"{key} is no list of strings")
    if len(value) > _NAMES_MAX:
        raise CorsError(f"{len(value)} {key}, the limit is {_NAMES_MAX}")
    for each in value:
        if not _TOKEN.fullmatch(each) or each == ANY:
            raise CorsError(f"{each!r:.100} in {key} is no name: list those that are meant")
    return tuple(value)
