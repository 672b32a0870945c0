"""Outbound HTTP in tests: nothing leaves the machine, each request gets the answer that the test has given for it."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from holdfast._http import Request, Response, body_bytes
from holdfast._outbound import HttpError
from holdfast.testing._failures import RefusedError
from holdfast.testing._limits import Limits
from holdfast.testing._sandbox import served
from holdfast.testing._turn import Turn

REDIRECTS_MAX: Final = 5
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LEFT_AT_HOME: Final = ("authorization", "cookie")

Respond = Callable[[Request], Response]


class UnansweredRequestError(AssertionError):
    """An actor has sent a request for which the test gave no answer."""


class Outbound:
    """What actors and functions ask outside, and what they are answered. Get it as `host.outbound`.

    Example:
        host.outbound.answer("https://api.example.com/v1/*", Response.json({"id": 7}, status=201))
        host.env.SHOP.id_from_name("a").buy(5)
        assert host.outbound.requests[0].json() == {"amount": 5}

    A request that nothing answers fails the test by its name, whatever the actor makes of the error.

    Attributes:
        requests: What was sent, oldest first; each redirect is one more.
    """

    def __init__(self, allow: Iterable[str] | None) -> None:
        self.requests: list[Request] = []
        self._allow = None if allow is None else tuple(allow)
        self._answers: list[tuple[str, str | None, Response | Respond | HttpError]] = []
        self._unanswered: list[str] = []

    def answer(self, url: str, response: Response | Respond | HttpError, *, method: str | None = None) -> None:
        """Answer requests to this URL from now on; of two that fit, the later one does.

        Args:
            url: The whole URL; with `*` at its end, every URL that begins so.
            response: The answer; or a function that makes it of each Request; or the error that it ends with. One whose
                body is an iterator is read as it comes, by `http.stream`; an HttpError that it raises breaks it off.
            method: Only for this method.

        Raises:
            TypeError: `response` is none of these.
        """
        if not isinstance(response, (Response, HttpError)) and not callable(response):
            raise TypeError(f"an answer is a Response, a function or an HttpError, not {type(response).__name__}")
        self._answers.append((url, None if method is None else method.upper(), response))

    def _send(self, label: str, request: Request, *, follows: bool) -> Response:
        """The answer to a request of a turn, over its redirects; RefusedError where there is none."""
        for _ in range(REDIRECTS_MAX + 1):
            self._check(label, request.url)
            self.requests.append(request)
            response = self._respond(label, request)
            location = response.headers.get("location")
            if not follows or response.status not in _REDIRECTS or location is None:
                return response
            request = _redirected(label, request, response.status, location)
        raise RefusedError("OutboundDeniedError", f"{label}: more than {REDIRECTS_MAX} redirects from {request.url}")

    def _respond(self, label: str, request: Request) -> Response:
        for url, method, given in reversed(self._answers):
            fits = request.url == url or (url.endswith("*") and request.url.startswith(url[:-1]))
            if fits and method in {None, request.method}:
                return _made(given, request)
        self._unanswered.append(f"{request.method} {request.url}, of {label}")
        raise RefusedError("OutboundUnreachableError", f"{request.method} {request.url}: the test gives no answer")

    def _check(self, label: str, url: str) -> None:
        """Whether the manifest lists it, where there is one."""
        try:
            parts = urlsplit(url)
            good = parts.scheme in _PORTS and parts.hostname and "\\" not in url and "@" not in parts.netloc
            good = good and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise RefusedError("OutboundDeniedError", f"{label}: {url!r} is no URL like https://api.example.com/path")
        if self._allow is not None and not any(_matches(urlsplit(each), parts) for each in self._allow):
            listed = ", ".join(self._allow) or "nothing"
            raise RefusedError(
                "OutboundDeniedError", f"{label}: {url} is not in [outbound] allow, which lists: {listed}"
            )

    def _raise_unanswered(self) -> None:
        """Fail the test that let a request go unanswered."""
        if self._unanswered:
            unanswered, self._unanswered = self._unanswered, []
            first = unanswered[0].split(" ")[1].rstrip(",")
            raise UnansweredRequestError(
                f"no answer was given for {'; '.join(unanswered)}: host.outbound.answer({first!r}, Response(...))"
            )

    def __repr__(self) -> str:
        return f"<holdfast outbound, {len(self.requests)} requests>"


class OutgoingHttp:
    """`holdfast:actor/http`, for the turns of one host."""

    def __init__(self, outbound: Outbound, running: Callable[[], Turn], limits: Limits) -> None:
        self._outbound = outbound
        self._running = running
        self._limits = limits
        self._opened = 0

    @served
    def request(self, request: str) -> str:
        """Answer one."""
        answer = self._answer(request)
        if answer.pieces is not None:
            answer = Response(b"".join(pieces_of(answer)), answer.status, answer.headers)
        text = answer.to_wire()
        self._check_body(f"{self._running().label}: the answer to an outbound request", text)
        return text

    @served
    def open(self, request: str) -> str:
        """Answer one, whose body is read afterwards."""
        answer, streams = self._answer(request), self._running().streams
        self._opened += 1
        streams[str(self._opened)] = AnswerReader(answer)
        return json.dumps({"stream": str(self._opened), "status": answer.status, "headers": answer.headers.items()})

    @served
    def read(self, stream: str, bytes_max: int) -> str:
        """The next piece of such a body."""
        turn = self._running()
        turn.host_call()
        reader = turn.streams.pop(stream, None)
        if reader is None:
            text = f"{turn.label}: no answer {stream[:16]!r} is open: it has ended, or was closed"
            raise RefusedError("BadRequestError", text)
        piece = reader.read(bytes_max)
        if piece:
            turn.streams[stream] = reader
        return binascii.b2a_base64(piece, newline=False).decode()

    def _answer(self, request: str) -> Response:
        turn = self._running()
        turn.host_call()
        self._check_body(f"{turn.label}: an outbound request", request)
        turn.left = True
        follows = json.loads(request).get("redirects", True)
        return self._outbound._send(turn.label, Request.from_wire(request), follows=follows)  # noqa: SLF001

    def _check_body(self, what: str, message: str) -> None:
        limit, size = self._limits.fetch_body_bytes_max, body_bytes(message)
        if size > limit:
            raise RefusedError("LimitError", f"{what} with a body of {size} bytes, the limit is {limit} bytes")


class AnswerReader:
    """The body of one answer that streams."""

    def __init__(self, answer: Response) -> None:
        self._pieces = pieces_of(answer)
        self._rest = b""

    def read(self, bytes_max: int) -> bytes:
        """The next of it; empty at the end, and for 0 bytes, which close it."""
        if not bytes_max:
            self._pieces.close()
            return b""
        try:
            self._rest = self._rest or next((piece for piece in self._pieces if piece), b"")
        except HttpError as error:
            raise RefusedError(type(error).__name__, error.message) from None
        piece, self._rest = self._rest[:bytes_max], self._rest[bytes_max:]
        return piece


def pieces_of(answer: Response) -> Generator[bytes]:
    """The body of an answer, as it comes."""
    pieces = iter((answer.body,)) if answer.pieces is None else answer.pieces
    if not isinstance(pieces, Iterator):
        raise TypeError("the body of an answer is an iterator, not an async one")
    try:
        for piece in pieces:
            yield piece.encode() if isinstance(piece, str) else piece
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def _made(given: Response | Respond | HttpError, request: Request) -> Response:
    try:
        made = given if isinstance(given, (Response, HttpError)) else given(request)
        if isinstance(made, HttpError):
            raise made
    except HttpError as error:
        raise RefusedError(type(error).__name__, error.message) from None
    if not isinstance(made, Response):
        raise TypeError(f"the answer to {request.url} is a Response, not {type(made).__name__}")
    return made


def _redirected(label: str, request: Request, status: int, location: str) -> Request:
    """The request to where an answer leads, as the host makes it."""
    url = urljoin(request.url, location)
    before, after = urlsplit(request.url), urlsplit(url)
    if before.scheme == "https" and after.scheme == "http":
        raise RefusedError("OutboundDeniedError", f"{label}: {request.url} redirects from https to http")
    method, body = request.method, request.body
    dropped: tuple[str, ...] = ()
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        dropped = _LEFT_AT_HOME
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method, body, dropped = "GET", b"", (*dropped, "content-type")
    return Request(url, method, [pair for pair in request.headers.items() if pair[0].lower() not in dropped], body)


def _matches(pattern: SplitResult, url: SplitResult) -> bool:
    """Whether a URL is what a pattern of holdfast.toml lists."""
    allowed, host = pattern.hostname or "", url.hostname or ""
    fits_host = host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:]) and host != allowed[1:])
    port, default = pattern.port, _PORTS[url.scheme]
    fits_port = (url.port or default) == (port or default)
    if allowed == "*":
        fits_host, fits_port = True, port is None or fits_port
    path = pattern.path.rstrip("/") if pattern.path == "/" else pattern.path
    if path:
        lowered = url.path.lower().replace("%2e", ".")
        escaped = any(each in lowered for each in ("%25", "%2f", "%5c"))
        plain = not escaped and not {".", ".."} & set(lowered.split("/"))
        below = url.path == path or url.path.startswith(path if path.endswith("/") else f"{path}/")
        if not (plain and below):
            return False
    return pattern.scheme == url.scheme and fits_host and fits_port
