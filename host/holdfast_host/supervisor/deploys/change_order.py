"""One change of the registry at a time, and of a function one that is under way.

A second change of the same function is refused rather than queued, since its author should look first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from holdfast_host.core.errors import DeployConflictError
from holdfast_host.core.tenants import name_of


class ChangeOrder:
    """One per host, used by the event loop's thread. Functions are named by their keys."""

    def __init__(self) -> None:
        self.one_at_a_time = asyncio.Lock()
        self._under_way: set[str] = set()

    @asynccontextmanager
    async def alone(self, function: str) -> AsyncIterator[None]:
        """The one change of this function, and of the registry.

        Raises:
            DeployConflictError: another change of the function is under way.
        """
        with self.only_of(function):
            async with self.one_at_a_time:
                yield

    @contextmanager
    def only_of(self, function: str) -> Iterator[None]:
        """The one change of this function that is under way.

        Raises:
            DeployConflictError: another one is.
        """
        if function in self._under_way:
            raise DeployConflictError(
                f"another change of the function {name_of(function)!r} is under way: try again after it"
            )
        self._under_way.add(function)
        try:
            yield
        finally:
            self._under_way.discard(function)
