"""Origins of web pages, as a manifest lists them and as browsers send them."""

from __future__ import annotations

import re
from typing import Any, Final

ORIGINS_MAX: Final = 100
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
_USUAL: Final = {"http": "80", "https": "443"}


class OriginError(ValueError):
    """What is no origin; its text says what, and what one looks like."""


def read_origin(text: str) -> str:
    """An origin as it is compared: in lower case, without its scheme's own port; OriginError where it is none."""
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None:
        raise OriginError(f"{text!r:.100} is no origin of a page, like 'https://app.example.com'")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" if port in (None, _USUAL[scheme]) else f"{scheme}://{host}:{port}"


def read_origins(value: Any) -> tuple[str, ...]:
    """A manifest's `[sockets] origins`; OriginError where it is no list of origins."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise OriginError('origins is no list of strings, like origins = ["https://app.example.com"]')
    if len(value) > ORIGINS_MAX:
        raise OriginError(f"{len(value)} origins, the limit is {ORIGINS_MAX}")
    return tuple(read_origin(each) for each in value)
