"""What the host's processes have counted, collected over their control channels when a front is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.supervisor.processes.supervision import Keeper
from holdfast_host.wire.control import JsonObject, Measure, Measured

_ANSWER_S: Final = 1.0  # a process that does not answer in time is left out: what it counts is not lost


async def collect_measures(**kinds: Sequence[Keeper]) -> JsonObject:
    """By kind, of each process whether it is up, how often it died, and its measures; None where it does not answer."""
    found = await asyncio.gather(*(_measures_of(keeper) for keepers in kinds.values() for keeper in keepers))
    rest = iter(found)
    return {kind: list(islice(rest, len(keepers))) for kind, keepers in kinds.items()}


async def _measures_of(keeper: Keeper) -> JsonObject:
    measures: JsonObject | None = None
    if keeper.child is not None and keeper.up:
        try:
            async with asyncio.timeout(_ANSWER_S):
                measures = (await keeper.child.ask(Measure(), Measured)).measures
        except (HoldfastError, TimeoutError):
            measures = None
    return {"up": keeper.up, "deaths": keeper.deaths, "stalled": keeper.stalled, "measures": measures}
