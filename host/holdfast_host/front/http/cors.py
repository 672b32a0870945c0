"""Pages of other origins: what their browsers are told that they may do, and read.

A browser asks before a page of another origin sends what a form could not (a preflight); the host answers that by
itself. Of an answer, whatever it is, a page reads nothing unless the answer names the page's origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast_host.core.cors import ANY, Cors
from holdfast_host.core.origins import OriginError, read_origin
from holdfast_host.front.http.answers import TEXT, Answer

if TYPE_CHECKING:
    from holdfast_host.front.http.server import Exchange

_PREFIX = "access-control-"
_VARY = ("Vary", "Origin")  # for caches: what is answered to one page is not for another


def is_cors_header(name: str) -> bool:
    """Whether a header says what pages may do."""
    return name.lower().startswith(_PREFIX)


def share(exchange: Exchange, rules: Cors) -> bool:
    """Have whatever is answered say that the page behind a request may read it; False where it may not."""
    origin = exchange.headers.get("Origin", "")
    listed = _lists(rules, origin)
    if rules.origins == (ANY,):
        exchange.sharing = (("Access-Control-Allow-Origin", ANY),)
    else:
        exchange.sharing = (("Access-Control-Allow-Origin", origin), _VARY) if listed else (_VARY,)
    if listed and rules.credentials:
        exchange.sharing += (("Access-Control-Allow-Credentials", "true"),)
    if listed and rules.expose and exchange.method != "OPTIONS":
        exchange.sharing += (("Access-Control-Expose-Headers", ", ".join(rules.expose)),)
    return listed


def is_preflight(exchange: Exchange) -> bool:
    """Whether a browser asks what a page may do."""
    headers = exchange.headers
    return exchange.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight_answer(rules: Cors) -> Answer:
    """What a browser is told that a page may do; `share` says which."""
    lines = [
        f"Access-Control-Allow-Methods: {', '.join(rules.methods)}",
        f"Access-Control-Allow-Headers: {', '.join(rules.headers)}",
        f"Access-Control-Max-Age: {rules.max_age_s}",
    ]
    return Answer(200, b"", TEXT, "".join(f"{line}\r\n" for line in lines).encode())


def _lists(rules: Cors, origin: str) -> bool:
    if rules.origins == (ANY,):
        return True
    try:
        return read_origin(origin) in rules.origins
    except OriginError:
        return False
