"""GET /ui: the inspector's files, and signing in to it.

The page is a client like any other: all that it shows comes from the API, and what it may do is what its token may.
Its policy lets it load nothing from elsewhere, run no script but its files, make no markup of texts, and be framed by
nobody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web

from holdfast_host.core.errors import UnknownRouteError
from holdfast_host.front.access.rules import public
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import TEXT, Answer, json_answer
from holdfast_host.front.http.origin_checks import OriginChecks
from holdfast_host.front.http.page_cookie import forget_lines, is_secure, keep_lines
from holdfast_host.front.http.server import Exchange

Found = tuple[str, ...]

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = (
    f"Content-Security-Policy: {_POLICY}\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
).encode()
_ASKED_AGAIN: Final = b"Cache-Control: no-cache\r\n"  # each time; it comes again only where it is another
_KEPT: Final = b"Cache-Control: private, max-age=31536000, immutable\r\n"  # its address has the hash of all files
_HOME: Final = "index.html"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, ready to be sent."""

    content_type: str
    body: bytes
    etag: str

    @classmethod
    def of(cls, suffix: str, body: bytes) -> PageFile:
        """It, by the end of its name."""
        return cls(_TYPES[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class PageFiles:
    """All files by their paths below /ui/, and the hash of all: under it a browser keeps them without asking."""

    files: dict[str, PageFile]
    digest: str


@cache
def page_files() -> PageFiles:
    """Those of the package; read when the first one is asked for. The page names the others by the hash of all."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.is_file())
    files = {path.relative_to(_FOLDER).as_posix(): PageFile.of(path.suffix, path.read_bytes()) for path in paths}
    digest = hashlib.sha256("".join(each.etag for each in files.values()).encode()).hexdigest()[:16]
    home = files[_HOME].body.replace(b'"/ui/', f'"/ui/{digest}/'.encode())
    return PageFiles({**files, _HOME: PageFile.of(".html", home)}, digest)


class InspectorPages:
    """The handlers. One per front."""

    def __init__(self, origin_checks: OriginChecks, tokens: Tokens) -> None:
        self._origin_checks = origin_checks
        self._tokens = tokens

    def routes(self) -> list[Route]:
        """For the App."""
        return [
            Route.of("/", GET=public(self._lead)),
            Route.of("/ui", GET=public(self._page)),
            Route.of("/ui/", GET=public(self._lead)),
            Route.of("/ui/session", POST=public(self._sign_in), DELETE=public(self._sign_out)),
            Route.of("/ui/{}/{}", GET=public(self._file)),
            Route.of("/ui/{}/pages/{}", GET=public(self._page_module)),
        ]

    async def _lead(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        """To the page, whoever looks with a browser."""
        if "text/html" not in exchange.headers.get("Accept", ""):
            raise UnknownRouteError("nothing is served at '/': a browser is led to the inspector, /ui")
        return Answer(303, b"", TEXT, b"Location: /ui\r\nVary: Accept\r\n")

    async def _page(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return _send(exchange, _HOME, "")

    async def _file(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return _send(exchange, found[1], found[0])

    async def _page_module(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        return _send(exchange, f"pages/{found[1]}", found[0])

    async def _sign_in(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        """Have the browser keep the token that the request shows, as any other request would show it."""
        self._origin_checks.check_origin(exchange.headers, exchange.asked_host)
        self._tokens.caller(exchange.headers)
        token = exchange.headers.get("Authorization", "").partition(" ")[2].strip()
        kept = keep_lines(token, secure=is_secure(exchange)) if self._tokens.required else b""
        return json_answer({"signed_in": True}, 200, b"Cache-Control: no-store\r\n" + kept)

    async def _sign_out(self, exchange: Exchange, found: Found, query: str) -> web.StreamResponse:
        """Have it forget the token, whether that still holds or not."""
        self._origin_checks.check_origin(exchange.headers, exchange.asked_host)
        return json_answer({"signed_in": False}, 200, forget_lines(secure=is_secure(exchange)))


def _send(exchange: Exchange, name: str, digest: str) -> Answer:
    """A file, or that the browser has it; a page of an earlier release gets those of today, and keeps none of them."""
    known = page_files()
    file = known.files.get(name)
    if file is None:
        raise UnknownRouteError(f"the inspector has no file {name[:100]!r}")
    caching = _KEPT if digest == known.digest else _ASKED_AGAIN
    further = b"".join((_HEADERS, caching, f"ETag: {file.etag}\r\n".encode()))
    if file.etag in exchange.headers.get("If-None-Match", ""):
        return Answer(304, b"", file.content_type, further)
    return Answer(200, file.body, file.content_type, further)
