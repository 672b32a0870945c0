"""A URL, read once, by the library that dials: what is judged is what is sent."""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

from holdfast_host.core.errors import OutboundDeniedError
from holdfast_host.core.outbound import PORTS, Target, is_plain_path

URL_CHARS_MAX: Final = 16_000
_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")
_PARTS: Final = re.compile(r"(?:[^/?#]*:)?(?://([^/?#]*))?([^?#]*)")  # authority and path, as they were written
_NEVER: Final = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")


def read_url(text: str, base: URL | None = None) -> tuple[URL, Target]:
    """A request's URL, or a redirect's location below `base`, as it will be sent.

    Raises:
        OutboundDeniedError: it is none that the courier asks, whoever allows what.
    """
    if len(text) > URL_CHARS_MAX:
        raise OutboundDeniedError(f"a URL of {len(text)} characters exceeds the limit of {URL_CHARS_MAX} characters")
    if found := _NEVER.search(text):
        raise OutboundDeniedError(f"{text!r:.200} is no URL: it holds {found[0]!r}")
    try:
        url = URL(text) if base is None else base.join(URL(text))
        scheme, host, port = url.scheme, url.raw_host or "", url.port
    except ValueError as error:
        raise OutboundDeniedError(f"{text!r:.200} is no URL: {error}") from None
    url = url.with_fragment(None)
    if scheme not in PORTS or not host:
        raise OutboundDeniedError(f"{text!r:.200} is no URL like https://api.example.com/path")
    written = _PARTS.match(text)
    authority, path = (written[1] or "", written[2]) if written else ("", text)
    if "@" in url.raw_authority or "@" in authority:
        raise OutboundDeniedError(f"a URL of {host} with a user name is refused: send a header instead")
    if not _HOST.fullmatch(host) or not port:
        raise OutboundDeniedError(f"{text!r:.200} has a host or port that no request can go to")
    return url, Target(scheme, host, port, url.raw_path, is_plain_path(url.raw_path) and is_plain_path(path))
