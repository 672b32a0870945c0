"""The connections of each function, which no other one uses: one could leave there what another reads as its answer.

Every socket is made here, and judged here by the address that it will be connected to (`addresses`).
"""

from __future__ import annotations

import asyncio
import socket
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from holdfast_host.core.limits import KIB
from holdfast_host.core.outbound import Target
from holdfast_host.courier.addresses import AddressRefusedError, PrivateAccess, judge
from holdfast_host.courier.lookups import Lookups
from holdfast_host.courier.protocol import AnswerConnector

IDLE_SOCKETS_MAX: Final = 64  # of one function; past it a connection serves one request
_KEEP_ALIVE_S: Final = 15.0
_HEADERS_MAX: Final = 1_000
_READ_BYTES: Final = 64 * KIB


@dataclass(slots=True)
class Dial:
    """What the current task connects for, and which addresses it was refused."""

    target: Target
    refused: list[str] = field(default_factory=list)


DIAL: ContextVar[Dial | None] = ContextVar("DIAL", default=None)


class CountedSocket(socket.socket):
    """A socket that tells its pool when it is closed."""

    pool: Pool | None = None

    def close(self) -> None:
        """Close it; counted once."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.open_sockets -= 1
        super().close()


class Pool:
    """The connections of one function; made when it first asks."""

    def __init__(self, lookups: Lookups, private: PrivateAccess, headers_bytes_max: int) -> None:
        self.open_sockets = 0
        self._private = private
        self._headers_bytes_max = headers_bytes_max
        self._resolver = lookups.resolver()
        self._keeping = self._make_session(keeping=True)
        self._passing = self._make_session(keeping=False)

    def session(self, under_way: int) -> aiohttp.ClientSession:
        """For the next request: its connection is kept after the answer, unless enough of them are idle already.

        Args:
            under_way: how many of the function's requests are, with this one.
        """
        return self._keeping if self.open_sockets - under_way < IDLE_SOCKETS_MAX else self._passing

    async def aclose(self) -> None:
        """Close its connections."""
        await self._keeping.close()
        await self._passing.close()

    def _make_session(self, *, keeping: bool) -> aiohttp.ClientSession:
        connector = AnswerConnector(
            self._headers_bytes_max,
            limit=0,  # `in_flight` counts
            force_close=not keeping,
            keepalive_timeout=_KEEP_ALIVE_S if keeping else None,
            resolver=self._resolver,
            socket_factory=self._make_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=_READ_BYTES,
            max_line_size=self._headers_bytes_max,
            max_field_size=self._headers_bytes_max,
            max_headers=_HEADERS_MAX,
        )

    def _make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The one place where a socket of the courier to the outside is made; AddressRefusedError where none may be."""
        family, kind, protocol, _, address = info
        dial = DIAL.get()
        try:
            judge(str(address[0]), int(address[1]), self._private, None if dial is None else dial.target)
        except AddressRefusedError as error:
            if dial is not None:
                dial.refused.append(str(error))
            raise
        made = CountedSocket(family, kind, protocol)
        made.pool = self
        self.open_sockets += 1
        return made


class Connections:
    """The pools of all functions; one per courier, for its loop."""

    def __init__(self, private: PrivateAccess, lookups: Lookups, headers_bytes_max: int) -> None:
        self._private = private
        self._lookups = lookups
        self._headers_bytes_max = headers_bytes_max
        self._pools: dict[str, Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, function: str) -> Pool:
        """The function's own pool."""
        pool = self._pools.get(function)
        if pool is None:
            pool = self._pools[function] = Pool(self._lookups, self._private, self._headers_bytes_max)
        return pool

    def forget(self, function: str) -> None:
        """It is not deployed any more: its connections are closed."""
        pool = self._pools.pop(function, None)
        if pool is not None:
            task = asyncio.get_running_loop().create_task(pool.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @property
    def functions(self) -> list[str]:
        """Those that have a pool."""
        return list(self._pools)

    @property
    def open_sockets(self) -> int:
        """Of all functions."""
        return sum(pool.open_sockets for pool in self._pools.values())

    async def aclose(self) -> None:
        """Close everything."""
        for function in self.functions:
            self.forget(function)
        await asyncio.gather(*self._closing)
        self._lookups.close()
