"""One request of a function, from its guest's text to the answer's: judged, sent, redirected, read within limits."""

from __future__ import annotations

import asyncio
import binascii
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from holdfast_host.core.authorities import TrustedAuthorities
from holdfast_host.core.errors import (
    HoldfastError,
    LimitError,
    OutboundBusyError,
    OutboundDeniedError,
    OutboundTimeoutError,
    OutboundUnreachableError,
)
from holdfast_host.courier.bodies import AHEAD_BYTES, AnswerBody
from holdfast_host.courier.connections import DIAL, Dial
from holdfast_host.courier.requests import USER_AGENT, GuestRequest, pack_head, pack_response, read_request
from holdfast_host.courier.targets import read_url
from holdfast_host.wire.calls.trace_context import NO_CONTEXT

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.core.outbound import Target
    from holdfast_host.courier.connections import Connections
    from holdfast_host.courier.grants import Grants
    from holdfast_host.courier.in_flight import Admitted, InFlight
    from holdfast_host.wire.calls.outbound import Ask, Read

REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LEFT_AT_HOME: Final = frozenset({"authorization", "cookie"})  # do not go along to another origin
_ABOUT_THE_BODY: Final = ("content-encoding", "content-language", "content-location", "content-type")

Deliver = Callable[[Callable[[], bytes]], Awaitable[None]]
Sending = AbstractAsyncContextManager[aiohttp.ClientResponse]


class Exchanges:
    """What sends requests; one per courier, for its loop."""

    def __init__(self, grants: Grants, connections: Connections, in_flight: InFlight, limits: Limits) -> None:
        self._grants = grants
        self._connections = connections
        self._in_flight = in_flight
        self._limits = limits
        self._authorities = TrustedAuthorities()

    async def request(
        self, function: str, text: bytes, budget_s: float, deliver: Deliver, trace: bytes = NO_CONTEXT
    ) -> None:
        """Send what a guest of this function wrote, follow redirects, deliver the answer.

        Args:
            function: who asks.
            text: the request, as `wit/http.wit` has it.
            budget_s: what is left of the turn that waits.
            deliver: takes what makes the answer's text, which counts as under way until it returns.
            trace: the context that the request carries.

        Raises:
            OutboundDeniedError, OutboundBusyError: nothing was sent, or a redirect was not followed.
            OutboundUnreachableError, OutboundTimeoutError: there is no whole answer; the outcome may be unknown.
            BadRequestError, LimitError: it is no request; one of the bodies is too long.
        """
        asked = read_request(text, self._limits, trace)
        timeout_s = min(asked.timeout_s, budget_s)
        with self._in_flight.admit(function, len(asked.body)) as admitted:
            exchange = _Exchange(self, function, asked, admitted)
            async with exchange.in_time(timeout_s, "no whole answer"), exchange.answer() as response:
                whole = AnswerBody(response)
                body = await whole.read_whole(self._limits.fetch_body_bytes_max, admitted)
                answer = partial(
                    pack_response, response.status, list(response.raw_headers), body, inflated=whole.inflated
                )
            await deliver(answer)

    async def stream(self, ask: Ask, reads: asyncio.Queue[Read], deliver: Deliver) -> None:
        """The same, but deliver the answer's head, and then of its body what `reads` asks for; return after its end.

        The head, and each piece, may take as long as the request's timeout says. What is held of the body is counted
        from the beginning, whatever comes.

        Raises:
            HoldfastError: as for `request`.
        """
        async with self.opened(ask) as answer:
            await deliver(partial(pack_head, ask.serial, *answer.head, inflated=answer.body.inflated))
            piece = memoryview(b"?")
            while piece:
                wanted = await reads.get()
                piece = await answer.read(wanted.bytes_max, wanted.budget_ms / 1000)
                await deliver(partial(binascii.b2a_base64, piece, newline=False))

    @asynccontextmanager
    async def opened(self, ask: Ask) -> AsyncIterator[OpenAnswer]:
        """Send a request; its answer, of which the head is there, until the block ends. What is raised: as `stream`."""
        asked = read_request(ask.request, self._limits, ask.trace)
        with self._in_flight.admit(ask.function, len(asked.body) + AHEAD_BYTES) as admitted:
            exchange = _Exchange(self, ask.function, asked, admitted)
            async with AsyncExitStack() as opened:
                async with exchange.in_time(min(asked.timeout_s, ask.budget_ms / 1000), "no answer"):
                    response = await opened.enter_async_context(exchange.answer())
                yield OpenAnswer(exchange, response, asked.timeout_s, admitted)

    def judge(self, function: str, target: Target) -> None:
        """Whether the function may ask that; OutboundDeniedError where not."""
        self._grants.check(function, target)

    def filled_headers(self, function: str, target: Target) -> list[tuple[str, str]]:
        """See `Grants.filled_headers`."""
        return self._grants.filled_headers(function, target)

    async def verifying(self, target: Target) -> ssl.SSLContext | None:
        """What verifies the server of a hop; None where it is not asked over TLS."""
        return await self._authorities.context() if target.scheme == "https" else None

    def send(
        self,
        function: str,
        method: str,
        url: URL,
        headers: list[tuple[str, str]],
        body: bytes,
        verifying: ssl.SSLContext | None,
    ) -> Sending:
        """Send one hop; the answer's head, in a context that ends it."""
        session = self._connections.of(function).session(self._in_flight.of_function(function))
        all_headers = CIMultiDict(headers)
        all_headers["Accept-Encoding"] = "gzip"
        all_headers.setdefault("User-Agent", USER_AGENT)
        verified = True if verifying is None else verifying
        return session.request(method, url, headers=all_headers, data=body or None, allow_redirects=False, ssl=verified)

    def check_head(self, response: aiohttp.ClientResponse) -> None:
        """Refuse an answer that no guest can be given."""
        limit = self._limits.fetch_headers_bytes_max
        size = sum(len(name) + len(value) for name, value in response.raw_headers)
        if size > limit:
            raise LimitError(f"{size} bytes of headers of the answer exceed the limit of {limit} bytes")
        if not 200 <= response.status <= 599:
            raise OutboundUnreachableError(f"the answer has the status {response.status}, which HTTP does not know")


class OpenAnswer:
    """An answer whose body is read piece by piece. Lives as long as the block of `Exchanges.opened`."""

    def __init__(
        self, exchange: _Exchange, response: aiohttp.ClientResponse, timeout_s: float, admitted: Admitted
    ) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s
        self.status = response.status
        self.headers = response.headers
        self.body = AnswerBody(response)
        self.head = (response.status, list(response.raw_headers))
        self.admitted = admitted

    async def read(self, bytes_max: int, budget_s: float = math.inf) -> memoryview:
        """The next of its body; empty at its end. OutboundTimeoutError where nothing comes in time."""
        async with self._exchange.in_time(min(self._timeout_s, budget_s), "no more of its answer"):
            return await self.body.read(bytes_max)

    async def read_whole(self, bytes_max: int) -> bytearray:
        """All of its body; LimitError where it is longer."""
        async with self._exchange.in_time(self._timeout_s, "no whole answer"):
            return await self.body.read_whole(bytes_max, self.admitted)


class _Exchange:
    """One request under way, over its redirects."""

    def __init__(self, exchanges: Exchanges, function: str, asked: GuestRequest, admitted: Admitted) -> None:
        self._exchanges = exchanges
        self._function = function
        self._method = asked.method
        self._headers = asked.headers
        self._body = asked.body
        self._follows = asked.follows
        self._url, self._target = read_url(asked.url)
        self._at_home = True  # no redirect has led to another origin yet
        self._admitted = admitted
        self._dial: Dial | None = None

    @property
    def where(self) -> str:
        """The present hop, for errors: without its query, which may hold what nobody should read in a log."""
        return f"{self._method} {self._target.origin}{self._target.path}"[:300]

    @asynccontextmanager
    async def in_time(self, timeout_s: float, what: str) -> AsyncIterator[None]:
        """A block that may take so long, and whose errors are those of a guest; late, there was `what`."""
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError:
            raise OutboundTimeoutError(
                f"{self.where} gave {what} within {timeout_s:g} s: the outcome may be unknown"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._translate(error) from None

    @asynccontextmanager
    async def answer(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """All hops; the last one's answer, whose body can be read until the block ends."""
        for _ in range(REDIRECTS_MAX + 1):
            self._exchanges.judge(self._function, self._target)
            self._go_to(self._target)
            self._dial = Dial(self._target)
            DIAL.set(self._dial)
            verifying = await self._exchanges.verifying(self._target)
            async with self._exchanges.send(
                self._function, self._method, self._url, self._headers_now(), self._body, verifying
            ) as response:
                self._exchanges.check_head(response)
                location = response.headers.get("Location")
                if not self._follows or response.status not in _REDIRECTS or location is None:
                    yield response
                    return
                self._redirect(response.status, location)
                response.close()
        raise OutboundDeniedError(f"{self.where}: more than {REDIRECTS_MAX} redirects, the last one was not followed")

    def _go_to(self, target: Target) -> None:
        """Count this hop; OutboundBusyError, which says that nothing was sent, for the first hop alone."""
        try:
            self._admitted.go_to(target)
        except OutboundBusyError as error:
            if self._dial is None:
                raise
            raise OutboundUnreachableError(f"{self.where}: the redirect to it was not followed: {error}") from None

    def _translate(self, error: aiohttp.ClientError | OSError | ValueError) -> HoldfastError:
        """What the library's error is to a guest; a refused address is the courier's own word."""
        dial = self._dial
        if dial is not None and dial.refused and isinstance(error, aiohttp.ClientConnectorError):
            return OutboundDeniedError(f"{self.where} was not sent: {dial.refused[0]}")
        if isinstance(error, aiohttp.InvalidURL):
            return OutboundDeniedError(f"{self.where} was not sent: {error}")
        reason: BaseException = error
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = error.certificate_error
        elif isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error
        # The library's own text of an answer that it could not read has the whole URL in it.
        text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(reason)
        return OutboundUnreachableError(f"{self.where}: {text or type(reason).__name__:.500}")

    def _headers_now(self) -> list[tuple[str, str]]:
        """The guest's headers, with those that are filled in at the origin that it named itself."""
        if not self._at_home:
            return self._headers
        filled = self._exchanges.filled_headers(self._function, self._target)
        if not filled:
            return self._headers
        replaced = {name.lower() for name, _ in filled}
        return [*(pair for pair in self._headers if pair[0].lower() not in replaced), *filled]

    def _redirect(self, status: int, location: str) -> None:
        """Turn to where an answer leads; OutboundDeniedError where nobody may be led."""
        url, target = read_url(location, self._url)
        if self._target.scheme == "https" and target.scheme == "http":
            raise OutboundDeniedError(f"{self.where} redirects to {target.origin}: from https to http nothing follows")
        if target.origin != self._target.origin:
            self._at_home = False
            self._headers = [pair for pair in self._headers if pair[0].lower() not in _LEFT_AT_HOME]
        if (status == 303 and self._method != "HEAD") or (status in {301, 302} and self._method == "POST"):
            self._method, self._body = "GET", b""
            self._headers = [pair for pair in self._headers if pair[0].lower() not in _ABOUT_THE_BODY]
        self._url, self._target = url, target
