"""Requests for functions that need no parser: a head that has passed all checks passes them again, byte for byte.

As `front.known.direct` has it for calls: a head is known by its method and its lines after the first, and a request is
recognised only as a whole, by a plain first line, such lines, and exactly as many bytes as they announce. With a head
is kept what the function is told of it, so that only address and body are put in. What may change between two requests
is asked each time: what is deployed, who may read the answer, where the request comes from.

What does not live here: the connection (front.known.connection), and what is asked and answered
(functions.dispatch, functions.messages).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from holdfast_host.core.errors import UnknownFunctionError
from holdfast_host.wire.calls.http_messages import close_message, headers_text

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.http import RawRequestMessage

    from holdfast_host.front.calls.actor_calls import Calls
    from holdfast_host.front.http.answers import Answer
    from holdfast_host.front.http.server import Exchange
    from holdfast_host.front.worker_link import WorkerLink
    from holdfast_host.wire.calls.window import PendingCall, Reply
    from holdfast_host.wire.control.catalog import Deployment

HEADS_MAX: Final = 512
HEAD_BYTES_MAX: Final = 2048
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
# Of a target only what stands for itself in a URL and in JSON: no fragment, no quote, no authority.
_LINE: Final = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,1024}) HTTP/1\.1\r\n")
_UNDER_PREFIX: Final = re.compile(rb"/fn/([^/?]+)/?(.*)")
_BLANK: Final = b"\r\n\r\n"
# No other request has such a line: its head would take the place of one that comes again.
_ONCE: Final = re.compile(rb"(?:\A|\r\n)(?:traceparent|idempotency-key):", re.IGNORECASE)
_HEALTH: Final = "/health/"  # whose host is not checked


class KnownHead(NamedTuple):
    """What follows from the lines of a head after the first."""

    message: RawRequestMessage  # of a request that had it; its target was another one's
    function: str  # that its host names; empty where the path does
    origin: bytes  # of its function's URLs, without the scheme, as JSON has it; empty as `function`
    headers: bytes  # for the function, as JSON
    body_bytes: int


class AskedFunction(NamedTuple):
    """A request that was recognised."""

    head: KnownHead
    deployed: Deployment
    target: bytes
    url: bytes  # without the scheme, as JSON has it
    body: bytes

    @property
    def message(self) -> RawRequestMessage:
        """Of a request with the same head."""
        return self.head.message

    def text(self, scheme: str, client: str) -> bytes:
        """What the function is told: as `messages.pack_request` has it."""
        head = self.head
        return close_message(
            b'{"method":"%b","url":"%b%b","client":%b,"headers":%b'
            % (
                head.message.method.encode(),
                scheme.encode(),
                self.url,
                encode_basestring_ascii(client).encode(),
                head.headers,
            ),
            self.body,
        )


class Client(Protocol):
    """The connection that a request came from."""

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer."""

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Send an error, which is counted."""

    def stream(self, exchange: Exchange, run: Callable[[], Awaitable[web.StreamResponse]]) -> None:
        """Have the answer written by `run`, as it comes."""


class Asking(Protocol):
    """How a function is asked, and its reply read (`FunctionHosts`)."""

    def ask_at_once(self, ask: FunctionAsk) -> tuple[WorkerLink, PendingCall]:
        """Send it to a worker."""

    def read_at_once(self, ask: FunctionAsk, reply: Reply) -> Answer | None:
        """The answer; None where it comes in pieces."""

    async def relay_at_once(self, ask: FunctionAsk, reply: Reply) -> web.StreamResponse:
        """Write an answer that comes in pieces."""

    def let_go(self, ask: FunctionAsk) -> None:
        """It is answered, or nobody waits any more."""


class FunctionAsk:
    """One request on its way to a function and back; it takes the place of a future. Its connection owns it."""

    __slots__ = ("_client", "_hosts", "_link", "_pending", "asked", "exchange", "worker")

    def __init__(self, hosts: Asking, client: Client, exchange: Exchange, asked: AskedFunction) -> None:
        self._hosts = hosts
        self._client: Client | None = client
        self._link: WorkerLink | None = None
        self._pending: PendingCall | None = None
        self.exchange = exchange
        self.asked = asked
        self.worker = 0

    def sent(self, link: WorkerLink, pending: PendingCall) -> None:
        """It has its slot."""
        self._link, self._pending = link, pending

    def abandon(self) -> None:
        """Nobody waits any more: cancel the turn if it has not begun."""
        if self._end() is not None and self._link is not None and self._pending is not None:
            self._link.cancel(self._pending)

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._client is None

    def set_result(self, reply: Reply) -> None:
        """The worker's answer is here."""
        client = self._end()
        if client is None:
            return
        try:
            answer = self._hosts.read_at_once(self, reply)
        except Exception as error:  # the last door before the caller, as HttpServer's own
            client.fail(self.exchange, error)
            return
        if answer is None:
            client.stream(self.exchange, lambda: self._hosts.relay_at_once(self, reply))
        else:
            client.finish(self.exchange, answer)

    def set_exception(self, error: Exception) -> None:
        """There will be no answer."""
        client = self._end()
        if client is not None:
            client.fail(self.exchange, error)

    def _end(self) -> Client | None:
        client, self._client = self._client, None
        if client is not None:
            self._hosts.let_go(self)
        return client


class KnownFunctionHeads:
    """The heads of requests for functions that one front knows. For its loop."""

    def __init__(self, hosts: Asking, calls: Calls, own_suffix: str, heads_max: int = HEADS_MAX) -> None:
        """`own_suffix` is what the host name of a function ends in, in the URLs of requests that come by path."""
        self._hosts = hosts
        self._calls = calls
        self._own_suffix = _as_json(own_suffix)
        self._heads_max = heads_max
        self._heads: dict[tuple[bytes, bytes], KnownHead] = {}
        self.count = 0  # of requests that were begun here

    def learn(
        self, block: bytes, body_bytes: int, exchange: Exchange, function: str, url: str, headers: list[tuple[str, str]]
    ) -> None:
        """A head with these lines has passed, which announce that length; the one known longest may go for it.

        Args:
            block: its lines after the first.
            body_bytes: what they announce.
            exchange: the request that had it.
            function: that its host names; empty where the path does.
            url: the request's, as the function sees it.
            headers: those that the function sees.
        """
        key = exchange.method.encode(), block
        if exchange.method not in _METHODS or key in self._heads or _ONCE.search(block) is not None:
            return
        if exchange.target.startswith(_HEALTH) or not exchange.target.startswith("/"):
            return  # of the one no host was checked, the other names one that is not its head's
        if len(self._heads) >= self._heads_max:
            del self._heads[next(iter(self._heads))]
        origin = b""
        if function:
            host, _, _ = url.removeprefix("http://").partition("/")
            origin = _as_json(f"://{host}")
        self._heads[key] = KnownHead(exchange.message, function, origin, headers_text(headers), body_bytes)

    def forget(self) -> None:
        """Know none any more."""
        self._heads.clear()

    def recognise(self, data: bytes) -> AskedFunction | None:
        """The request that these bytes are, no more and no less; None where that is for the parser to say."""
        line = _LINE.match(data)
        if line is None:
            return None
        line_end = line.end()
        end = data.find(_BLANK, line_end - 2, line_end + HEAD_BYTES_MAX) + len(_BLANK)
        method, target = line.groups()
        head = self._heads.get((method, data[line_end:end]))
        if head is None or len(data) != end + head.body_bytes:
            return None
        function, url = head.function, head.origin + target
        if not function:
            under = _UNDER_PREFIX.fullmatch(target)
            if under is None:
                return None
            function = under[1].decode()
            url = b"://%b%b/%b" % (under[1], self._own_suffix, under[2])
        try:
            deployed = self._calls.view.function(function)
        except UnknownFunctionError:
            return None  # the host's own rules say which pages may read that
        return AskedFunction(head, deployed, target, url, data[end:])

    def begin(self, asked: AskedFunction, exchange: Exchange, client: Client) -> FunctionAsk:
        """Send the request to a worker; its client is answered later.

        Raises:
            HoldfastError: what the client is to be answered at once.
        """
        self.count += 1
        ask = FunctionAsk(self._hosts, client, exchange, asked)
        ask.sent(*self._hosts.ask_at_once(ask))
        return ask


def _as_json(text: str) -> bytes:
    return encode_basestring_ascii(text)[1:-1].encode()
