"""Looking names up: the system's resolver, on threads of its own, a few at a time for each function.

A resolver that hangs holds its thread for many seconds; who asks for many such names waits behind themselves alone. A
function may have the fewer threads the fewer are free, so that some are left for one that has none.
What a look-up says is no judgement: that falls where a socket is made.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from holdfast_host.core.errors import OutboundBusyError

THREADS_MAX: Final = 64
_FUNCTION_THREADS_MAX: Final = 8
_FUNCTION_LOOKUPS_MAX: Final = 256  # with those that nobody waits for any more: a look-up cannot be taken back

LookUp = Callable[[str, int, int], list[tuple[int, str, int]]]  # host, port, family -> family, address, protocol


class Lookups:
    """The threads of one courier."""

    def __init__(self, look_up: LookUp | None = None) -> None:
        """`look_up` asks a resolver; None for the system's. It blocks, and raises OSError."""
        self._look_up = look_up or system_look_up
        self._threads = ThreadPoolExecutor(THREADS_MAX, "holdfast-names")
        self._busy = 0
        self._waiting: deque[tuple[FunctionResolver, asyncio.Future[None]]] = deque()

    def resolver(self) -> FunctionResolver:
        """The look-ups of one function."""
        return FunctionResolver(self)

    async def enter(self, function: FunctionResolver) -> None:
        """Wait for a thread."""
        if self._may_enter(function):
            self._take(function)
            return
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((function, entered))
        await entered

    def leave(self, function: FunctionResolver) -> None:
        """It has its answer: those who wait longest take its thread, where they may have one more."""
        self._busy -= 1
        function.threads -= 1
        waiting, self._waiting = self._waiting, deque()
        for each, entered in waiting:
            if entered.done():
                continue
            if self._may_enter(each):
                self._take(each)
                entered.set_result(None)
            else:
                self._waiting.append((each, entered))

    def _may_enter(self, function: FunctionResolver) -> bool:
        return self._busy < THREADS_MAX and function.threads < share(THREADS_MAX - self._busy)

    def _take(self, function: FunctionResolver) -> None:
        self._busy += 1
        function.threads += 1

    async def ask(self, host: str, port: int, family: int) -> list[tuple[int, str, int]]:
        """One look-up; OSError where there is no such name."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port, family)

    def close(self) -> None:
        """Wait for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class FunctionResolver(AbstractResolver):
    """What a function's connector asks for names."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self.threads = 0
        self._under_way = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name; OutboundBusyError where too many are looked up."""
        if self._under_way >= _FUNCTION_LOOKUPS_MAX:
            raise OutboundBusyError(
                f"{self._under_way} names of this function are being looked up, the limit is {_FUNCTION_LOOKUPS_MAX}"
            )
        self._under_way += 1
        try:
            await self._lookups.enter(self)
            try:
                found = await self._lookups.ask(host, port, family)
            finally:
                self._lookups.leave(self)
        finally:
            self._under_way -= 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=0)
            for kind, address, protocol in found
        ]

    async def close(self) -> None:
        """The threads are the courier's."""


def share(free: int) -> int:
    """How many threads one function may have while so many are free."""
    return max(1, min(_FUNCTION_THREADS_MAX, free // _FUNCTION_THREADS_MAX))


def system_look_up(host: str, port: int, family: int) -> list[tuple[int, str, int]]:
    """What getaddrinfo says; scoped addresses keep their scope."""
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [(int(kind), str(address[0]), protocol) for kind, _, protocol, _, address in found]
