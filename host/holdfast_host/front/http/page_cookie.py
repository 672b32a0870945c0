"""The token of whoever has signed in to the inspector: a cookie that its own page alone can use.

The page's scripts cannot read it, and a browser sends it along with requests that any page makes. So it counts only
where the page itself asks: it names itself in a header, which no form and no link can set, and which pages of other
origins may not; and what the browser says of the request's origin must be this host. No guest is shown it, and none
sets it: whoever looks at the inspector would be somebody else there.

Scripts of a function's page, on a host name below ours, could set a cookie for ours too. So over HTTPS its name begins
with `__Host-`: of such a cookie browsers see to it that nobody but this very host sets it, and for all paths.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDictProxy

from holdfast_host.front.http.origin_checks import is_same_host

if TYPE_CHECKING:
    from holdfast_host.front.http.server import Exchange

COOKIE: Final = "holdfast_token"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
PAGE_HEADER: Final = "Holdfast-Inspector"
# What the page asks for, where a cookie may say so. No function sees it, whatever its path.
_PATHS: Final = ("/v1", "/metrics")
_FLAGS: Final = "HttpOnly; SameSite=Strict"
_OURS: Final = frozenset({COOKIE, SECURE_COOKIE})


def headers_of_page(exchange: Exchange) -> CIMultiDictProxy[str]:
    """What a request shows: of one that the inspector's page sends, its cookie's token is its Authorization."""
    headers = exchange.headers
    if PAGE_HEADER not in headers or "Authorization" in headers or not _is_own(headers, exchange.asked_host or ""):
        return headers
    kept = SECURE_COOKIE if is_secure(exchange) else COOKIE
    for line in headers.getall("Cookie", ()):
        for pair in line.split(";"):
            name, _, value = pair.strip().partition("=")
            token = _unpack(value) if name == kept else None
            if token is not None:
                shown = headers.copy()
                shown["Authorization"] = f"Bearer {token}"
                return CIMultiDictProxy(shown)
    return headers


def is_secure(exchange: Exchange) -> bool:
    """Whether the browser speaks HTTPS, to the host or to a proxy before it."""
    return exchange.came_by.scheme == "https"


def keep_lines(token: str, *, secure: bool) -> bytes:
    """The header lines that have the browser keep a token until it is closed."""
    value = base64.urlsafe_b64encode(token.encode("utf-8", "surrogateescape")).decode()
    return _secure_line(value, "") if secure else _plain_lines(value, "")


def forget_lines(*, secure: bool) -> bytes:
    """Those that have it forget."""
    return _secure_line("", "; Max-Age=0") if secure else _plain_lines("", "; Max-Age=0")


def without_page_cookie(header: tuple[str, str]) -> tuple[str, str] | None:
    """A header for a guest, without our cookie where it is the one of cookies; None where nothing is left of it."""
    name, value = header
    if name.lower() != "cookie" or COOKIE not in value:
        return header
    left = [pair for pair in value.split(";") if pair.partition("=")[0].strip() not in _OURS]
    return (name, ";".join(left).strip()) if left else None


def is_page_cookie(name: str, value: str) -> bool:
    """Whether a guest's header would set our cookie.

    Of a cookie without a name, `=a=b`, browsers send the value alone, which reads as one that is named `a`.
    """
    return name.lower() == "set-cookie" and value.lstrip("= \t").partition("=")[0].strip() in _OURS


def _is_own(headers: Mapping[str, str], asked_host: str) -> bool:
    """Whether nothing says that another page asks; over plain HTTP browsers say of a page's origin only for changes."""
    origin = headers.get("Origin")
    site = headers.get("Sec-Fetch-Site", "same-origin").lower()
    return site == "same-origin" and (origin is None or is_same_host(origin, asked_host))


def _unpack(value: str) -> str | None:
    try:
        return base64.b64decode(value, altchars=b"-_", validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return None


def _secure_line(value: str, further: str) -> bytes:
    return f"Set-Cookie: {SECURE_COOKIE}={value}; Path=/; Secure; {_FLAGS}{further}\r\n".encode()


def _plain_lines(value: str, further: str) -> bytes:
    return "".join(f"Set-Cookie: {COOKIE}={value}; Path={path}; {_FLAGS}{further}\r\n" for path in _PATHS).encode()
