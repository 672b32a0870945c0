"""Lines about refused requests: so few that nobody fills the audit log, or pushes changes out of it, from outside.

A line is one group: a token or none, an address, an error; with how many requests there were. The first LINES_MAX come
as they are. From there on one comes each LINE_EVERY_S, of the largest group since the last one, with how many requests
of others it stands for. So a flood without end writes some 500 kB a day, and no request is left uncounted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import asdict

from holdfast_host.core.json_text import JsonObject
from holdfast_host.wire.control.audit import Refusal, RequestsRefused

LINES_MAX: Final = 60
LINE_EVERY_S: Final = 60.0
GROUPS_MAX: Final = 64  # that are kept apart until their line may be written


class RefusalLines:
    """One per host, used by the event loop's thread."""

    def __init__(self, add: Callable[[JsonObject], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`add(facts)` writes a line, soon."""
        self._add = add
        self._clock = clock
        self._groups: dict[tuple[str, str, str], tuple[Refusal, int]] = {}
        self._further = 0
        self._lines_left = float(LINES_MAX)
        self._counted_at = clock()
        self._waiting: asyncio.TimerHandle | None = None

    def note(self, refused: RequestsRefused) -> None:
        """A front has refused some."""
        for refusal, count in refused.groups:
            key = (refusal.error, refusal.token, refusal.client)
            first, before = self._groups.get(key, (refusal, 0))
            if before or len(self._groups) < GROUPS_MAX:
                self._groups[key] = (first, before + count)
            else:
                self._further += count
        self._further += refused.further
        self.write()

    def write(self) -> None:
        """Write the lines that may be written now; for the others it is called again."""
        now = self._clock()
        self._lines_left = min(LINES_MAX, self._lines_left + (now - self._counted_at) / LINE_EVERY_S)
        self._counted_at = now
        while self._groups and self._lines_left >= 1.0:
            self._lines_left -= 1.0
            key = max(self._groups, key=lambda each: self._groups[each][1])
            refusal, count = self._groups.pop(key)
            if self._lines_left < 1.0:  # the last one stands for all
                self._further += sum(each for _, each in self._groups.values())
                self._groups = {}
            self._add(_line(refusal, count, 0 if self._groups else self._take_further()))
        if self._groups and self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(LINE_EVERY_S, self._wake)

    def close(self) -> None:
        """Wait for nothing more."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _wake(self) -> None:
        self._waiting = None
        self.write()

    def _take_further(self) -> int:
        further, self._further = self._further, 0
        return further


def _line(refusal: Refusal, count: int, further: int) -> JsonObject:
    """Its line; of a token that is no tenant's, it names none."""
    facts: JsonObject = {"event": "refused", "what": "refuse", **asdict(refusal), "count": count}
    if refusal.tenant is None:
        del facts["tenant"]
    return {**facts, "further": further} if further else facts
