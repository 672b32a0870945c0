"""Which tokens every front lets in: told, and known before whoever changed one gets an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from holdfast_host.wire.control.protocol import Done
from holdfast_host.wire.control.tokens import KnownTokens, NewTokens

if TYPE_CHECKING:
    from holdfast_host.supervisor.processes.supervision import SupervisedProcess

FRONTS_S: Final = 5.0  # one that hangs longer is ended soon, and its successor knows


class TokenNews:
    """What the fronts are told; one per host, event loop's thread."""

    def __init__(self, fronts: Sequence[SupervisedProcess]) -> None:
        """`fronts`: all there are; one that starts is told by its first message."""
        self._fronts = fronts
        self._asked: set[asyncio.Task[Done]] = set()

    def tell(self, known: KnownTokens) -> None:
        """Tell every front."""
        for front in self._fronts:
            if front.child is not None:
                task = asyncio.create_task(front.child.ask(NewTokens(known), Done))
                self._asked.add(task)
                task.add_done_callback(self._settle)

    async def until_known(self) -> None:
        """Return when all know what was told so far, but for those that end, or hang for some seconds."""
        if self._asked:
            await asyncio.wait(self._asked, timeout=FRONTS_S)

    def _settle(self, task: asyncio.Task[Done]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # it is gone: its successor is told when it starts
