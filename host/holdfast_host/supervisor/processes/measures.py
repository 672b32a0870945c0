"""What the host's processes have counted, collected over their control channels when a front is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tenants import name_of, tenant_of
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.protocol import Measure, Measured

UNDEPLOYED: Final = "#"  # how the label begins of what a worker does not know any more
_ANSWER_S: Final = 1.0  # a process that does not answer in time is left out: what it counts is not lost


async def collect_measures(**kinds: Sequence[SupervisedProcess]) -> JsonObject:
    """By kind, of each process whether it is up, how often it died, and its measures; None where it does not answer."""
    found = await asyncio.gather(*(_measures_of(process) for processes in kinds.values() for process in processes))
    rest = iter(found)
    return {kind: list(islice(rest, len(processes))) for kind, processes in kinds.items()}


async def collect_types(workers: Sequence[SupervisedProcess], tenant: str) -> list[JsonObject]:
    """Of each worker, as `types`, what it has counted of a tenant's types and functions, by their own names.

    Of those that are not deployed any more it does not know whose they were.
    """
    collected = (await collect_measures(workers=workers))["workers"]
    found = (each["measures"]["types"] if each["measures"] else [] for each in collected)
    return [
        {"types": [{**each, "type": name_of(each["type"])} for each in types if _is_of(tenant, each["type"])]}
        for types in found
    ]


def _is_of(tenant: str, label: str) -> bool:
    return not label.startswith(UNDEPLOYED) and tenant_of(label) == tenant


async def _measures_of(process: SupervisedProcess) -> JsonObject:
    measures: JsonObject | None = None
    if process.child is not None and process.up:
        try:
            async with asyncio.timeout(_ANSWER_S):
                measures = (await process.child.ask(Measure(), Measured)).measures
        except (HoldfastError, TimeoutError):
            measures = None
    return {"up": process.up, "deaths": process.deaths, "stalled": process.stalled, "measures": measures}
