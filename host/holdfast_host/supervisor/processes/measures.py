"""What the host's processes have counted, collected over their control channels when a front is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.protocol import Measure, Measured

_ANSWER_S: Final = 1.0  # a process that does not answer in time is left out: what it counts is not lost


async def collect_measures(**kinds: Sequence[SupervisedProcess]) -> JsonObject:
    """By kind, of each process whether it is up, how often it died, and its measures; None where it does not answer."""
    found = await asyncio.gather(*(_measures_of(process) for processes in kinds.values() for process in processes))
    rest = iter(found)
    return {kind: list(islice(rest, len(processes))) for kind, processes in kinds.items()}


async def _measures_of(process: SupervisedProcess) -> JsonObject:
    measures: JsonObject | None = None
    if process.child is not None and process.up:
        try:
            async with asyncio.timeout(_ANSWER_S):
                measures = (await process.child.ask(Measure(), Measured)).measures
        except (HoldfastError, TimeoutError):
            measures = None
    return {"up": process.up, "deaths": process.deaths, "stalled": process.stalled, "measures": measures}
