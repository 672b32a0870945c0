"""The two clients: one for threads, one for an event loop. Each keeps its connections until it is closed."""

from __future__ import annotations

import asyncio
import importlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload
from urllib.parse import urlsplit

import httpx

from holdfast.client._actors import AsyncRemoteActor, RemoteActor
from holdfast.client._event_stream import Event, Follower
from holdfast.client._request import Attempts, CallRequest, path_of
from holdfast.client._tracing import current_traceparent

if TYPE_CHECKING:
    from websockets.asyncio.client import connect as AsyncSocket  # noqa: N812 it is a class
    from websockets.sync.client import ClientConnection as SyncSocket

DEFAULT_URL: Final = "http://127.0.0.1:8787"
TIMEOUT_S: Final = 120.0  # a call may wait 30 s in a mailbox, and run for its budget
RETRIES: Final = 2
CONNECTIONS_MAX: Final = 100

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_Typed = TypeVar("_Typed", bound=RemoteActor)
_AsyncTyped = TypeVar("_AsyncTyped", bound=AsyncRemoteActor)


def websockets_of(kind: str) -> Any:
    """The client of `websockets` for threads or for a loop; it is there for those who open sockets."""
    try:
        return importlib.import_module(f"websockets.{kind}.client")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("sockets of a client need websockets: pip install 'holdfast[sockets]'") from error


class _Settings:
    """What both clients are told."""

    def __init__(
        self,
        url: str | None,
        token: str | None,
        *,
        timeout_s: float,
        retries: int,
        connections_max: int,
        ca: str | os.PathLike[str] | None,
    ) -> None:
        url = url or os.environ.get("HOLDFAST_HOST") or DEFAULT_URL
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"the URL of a host is like http://127.0.0.1:8787, not {url!r:.200}")
        if retries < 0 or timeout_s <= 0 or connections_max < 1:
            raise ValueError(
                "retries are 0 or more, timeout_s is more than 0 and connections_max at least 1, not "
                f"{retries}, {timeout_s} and {connections_max}"
            )
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.retries = retries
        at_home = parts.hostname in _LOOPBACK
        token = os.environ.get("HOLDFAST_TOKEN", "").strip() if token is None else token  # as the commands read it
        if token and not all("!" <= each <= "~" for each in token):
            raise ValueError("the token of a host is visible ASCII characters, without spaces and line ends")
        self.http: dict[str, Any] = {
            "base_url": self.url,
            "headers": {"authorization": f"Bearer {token}"} if token else {},
            "trust_env": not at_home,  # no proxy stands between us and this machine
            # To read the certificates takes 25 ms.
            "verify": False if at_home and parts.scheme == "http" else _trusted(ca),
            "limits": httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max),
            "follow_redirects": False,
        }

    def attempts(self, request: CallRequest) -> Attempts:
        """Those of one call."""
        return Attempts(request, retries=self.retries, timeout_s=self.timeout_s, url=self.url)

    def socket(self, actor_type: str, name: str, path: str) -> dict[str, Any]:
        """What `websockets` is to connect with."""
        headers = dict(self.http["headers"])
        if parent := current_traceparent():
            headers["traceparent"] = parent
        uri = f"ws{self.url.removeprefix('http')}{path_of(actor_type, name)}/{path.removeprefix('/')}"
        further: dict[str, Any] = {} if self.http["trust_env"] else {"proxy": None}
        if uri.startswith("wss:"):
            further["ssl"] = self.http["verify"]  # whom calls trust
        return {"uri": uri, "additional_headers": headers, "compression": None, **further}


def _trusted(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    path = ca or os.environ.get("SSL_CERT_FILE") or None
    try:
        return httpx.create_ssl_context() if path is None else ssl.create_default_context(cafile=path)
    except OSError as error:  # which the errors of TLS are too
        source = "SSL_CERT_FILE" if ca is None else "ca"
        raise ValueError(f"{source} names {path!s:.200}, which holds no certificates in PEM: {error}") from error


class Client:
    """Calls actors of one host. A context manager; threads may share it.

    A call that failed is made again only where that cannot do its work twice. So that it can be, each call gets an
    idempotency key of its own; `once` gives it yours.

    Example:
        with Client("http://127.0.0.1:8787") as client:
            balance = client.actor("Account", "alice").deposit(5)

    Args:
        url: The host's; without it HOLDFAST_HOST counts, then http://127.0.0.1:8787.
        token: The host's token; without it HOLDFAST_TOKEN counts.
        timeout_s: For one call with all its attempts, in seconds.
        retries: How often a call is made again at most; 0: never, and no call gets a key by itself.
        connections_max: How many connections are kept, and calls made at once; further ones wait.
        ca: For an `https://` host: a file with the authority that signed the host's certificate (PEM); without it
            SSL_CERT_FILE counts, then the authorities that everybody trusts.
        transport: Another way to the host, as httpx has them.

    Raises:
        ValueError: An argument breaks its rule.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        connections_max: int = CONNECTIONS_MAX,
        ca: str | os.PathLike[str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = _Settings(
            url, token, timeout_s=timeout_s, retries=retries, connections_max=connections_max, ca=ca
        )
        self._http = httpx.Client(**self._settings.http, transport=transport)

    @overload
    def actor(self, actor_type: str, name: str, *, timeout_s: float | None = None) -> RemoteActor: ...
    @overload
    def actor(self, actor_type: type[_Typed], name: str, *, timeout_s: float | None = None) -> _Typed: ...
    def actor(self, actor_type: str | type[RemoteActor], name: str, *, timeout_s: float | None = None) -> RemoteActor:
        """The instance of that type and name; it need not exist yet. Nothing is sent.

        Args:
            actor_type: The type's name, or its class as `holdfast types --client` writes it.
            name: The instance's name, 1 to 256 bytes of UTF-8.
            timeout_s: For each of its calls, instead of the client's.
        """
        if isinstance(actor_type, str):
            return RemoteActor(self._send, actor_type, name, timeout_s)
        return actor_type(self._send, actor_type.TYPE, name, timeout_s)

    def events(
        self, actor_type: str, name: str, path: str = "/", *, last_event_id: str | None = None
    ) -> Iterator[Event]:
        """Follow the events that the instance's `fetch` sends, over as many connections as it takes; it ends never.

        Example:
            for event in client.events("Order", "17", last_event_id="0"):
                print(event.id, event.data)

        Args:
            actor_type: The type's name.
            name: The instance's name.
            path: What its `fetch` sees, with a query where it takes one.
            last_event_id: Go on after this event; without it only what comes is sent, as a topic has it.

        Raises:
            ActorCallError: It was refused for good.
        """
        follower = Follower(actor_type, name, path, last_event_id)
        while True:
            try:
                with self._http.stream(
                    "GET", follower.path, headers=follower.headers(), timeout=follower.timeout
                ) as response:
                    if follower.is_stream(response):
                        for piece in response.iter_bytes():
                            yield from follower.feed(piece)
                        pause_s = follower.ended()
                    else:
                        response.read()
                        pause_s = follower.refused(response)
            except httpx.HTTPError:
                pause_s = follower.ended()
            time.sleep(pause_s)

    def socket(self, actor_type: str, name: str, path: str = "/") -> SyncSocket:
        """Open a WebSocket to the instance's `fetch`: a connection of the package `websockets`, a context manager.

        Raises:
            ModuleNotFoundError: `websockets` is not installed.
            websockets.exceptions.InvalidStatus: It was refused.
        """
        opened: SyncSocket = websockets_of("sync").connect(**self._settings.socket(actor_type, name, path))
        return opened

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        self.close()

    def _send(self, request: CallRequest) -> Any:
        attempts = self._settings.attempts(request)
        headers = request.headers()
        while True:
            try:
                with self._http.stream(
                    "POST", request.path, content=request.body, headers=headers, extensions=attempts.extensions()
                ) as response:
                    body = b"".join(attempts.in_time(piece) for piece in response.iter_bytes())
            except httpx.HTTPError as failure:
                pause_s: float | None = attempts.failed(failure)
            else:
                pause_s = attempts.answered(response.status_code, body)
            if pause_s is None:
                return attempts.result
            time.sleep(pause_s)


class AsyncClient:
    """Calls actors of one host from an event loop: `await client.actor("Account", "alice").deposit(5)`.

    Else as `Client`, whose arguments it takes. An async context manager, for one event loop.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        connections_max: int = CONNECTIONS_MAX,
        ca: str | os.PathLike[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = _Settings(
            url, token, timeout_s=timeout_s, retries=retries, connections_max=connections_max, ca=ca
        )
        self._http = httpx.AsyncClient(**self._settings.http, transport=transport)

    @overload
    def actor(self, actor_type: str, name: str, *, timeout_s: float | None = None) -> AsyncRemoteActor: ...
    @overload
    def actor(self, actor_type: type[_AsyncTyped], name: str, *, timeout_s: float | None = None) -> _AsyncTyped: ...
    def actor(
        self, actor_type: str | type[AsyncRemoteActor], name: str, *, timeout_s: float | None = None
    ) -> AsyncRemoteActor:
        """The instance of that type and name; see `Client.actor`."""
        if isinstance(actor_type, str):
            return AsyncRemoteActor(self._send, actor_type, name, timeout_s)
        return actor_type(self._send, actor_type.TYPE, name, timeout_s)

    async def events(
        self, actor_type: str, name: str, path: str = "/", *, last_event_id: str | None = None
    ) -> AsyncIterator[Event]:
        """Follow the events that the instance's `fetch` sends; see `Client.events`."""
        follower = Follower(actor_type, name, path, last_event_id)
        while True:
            try:
                async with self._http.stream(
                    "GET", follower.path, headers=follower.headers(), timeout=follower.timeout
                ) as response:
                    if follower.is_stream(response):
                        async for piece in response.aiter_bytes():
                            for event in follower.feed(piece):
                                yield event
                        pause_s = follower.ended()
                    else:
                        await response.aread()
                        pause_s = follower.refused(response)
            except httpx.HTTPError:
                pause_s = follower.ended()
            await asyncio.sleep(pause_s)

    def socket(self, actor_type: str, name: str, path: str = "/") -> AsyncSocket:
        """Open a WebSocket: to be awaited, or an async context manager; see `Client.socket`."""
        opening: AsyncSocket = websockets_of("asyncio").connect(**self._settings.socket(actor_type, name, path))
        return opening

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.close()

    async def _send(self, request: CallRequest) -> Any:
        attempts = self._settings.attempts(request)
        headers = request.headers()
        while True:
            try:
                async with self._http.stream(
                    "POST", request.path, content=request.body, headers=headers, extensions=attempts.extensions()
                ) as response:
                    body = b"".join([attempts.in_time(piece) async for piece in response.aiter_bytes()])
            except httpx.HTTPError as failure:
                pause_s: float | None = attempts.failed(failure)
            else:
                pause_s = attempts.answered(response.status_code, body)
            if pause_s is None:
                return attempts.result
            await asyncio.sleep(pause_s)
