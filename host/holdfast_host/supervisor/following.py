"""What another host of the store has changed holds here a moment later: functions, secrets, tokens, the quarantine.

The store is asked for the state of each document; where one is not that which was read here last, whoever keeps it
reads it anew and tells the processes. This also finds a change of our own of which the store did not say what became.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.logs import EventLog

FOLLOW_S: Final = 0.5

Follow = Callable[[], Awaitable[None]]


class Following:
    """One per host that shares a store; event loop's thread."""

    def __init__(self, moved: Callable[[], Collection[str]], follow: Mapping[str, Follow], log: EventLog) -> None:
        """`moved()` asks the store which documents are not as they were read last; `follow` is who reads each anew."""
        self._moved = moved
        self._follow = follow
        self._log = log

    async def run(self) -> None:
        """Follow for ever. What fails is tried again; that the store cannot be reached, others say loudly enough."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self.look()

    async def look(self) -> None:
        """Ask once, and follow."""
        try:
            moved = await asyncio.to_thread(self._moved)
        except HoldfastError as error:
            self._log.debug("the store cannot be asked what other hosts changed", error=error)
            return
        for document in moved:
            try:
                await self._follow[document]()
            except HoldfastError as error:
                self._log.error(f"what another host changed cannot be followed: {document}", error=error)


async def follow_others(
    moved: Callable[[], Collection[str]] | None, follow: Mapping[str, Follow], log: EventLog
) -> None:
    """Follow what other hosts of the store change, as long as this runs; nothing where there is no store."""
    if moved is not None:
        await Following(moved, follow, log).run()
