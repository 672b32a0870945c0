"""What the workers do now, asked of each when an operator wants to know why something hangs.

A worker that does not answer in time is shown with what is known of it from outside: its process, when it last gave a
sign of life, and whose turns it has noted on its running page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.protocol import ShowActivity, ShownActivity

ANSWER_S: Final = 2.0

Running = Callable[[int], list[JsonObject]]  # the instances and functions whose turns a worker has noted


async def collect_activity(workers: Sequence[SupervisedProcess], running: Running, limit: int) -> JsonObject:
    """All workers, each with at most `limit` rows of a kind.

    Args:
        workers: all of them, in order.
        running: the instances and functions whose turns a worker, by its number, has noted.
        limit: how many rows.
    """
    found = await asyncio.gather(
        *(_activity_of(number, process, running, limit) for number, process in enumerate(workers))
    )
    return {"workers": found}


async def _activity_of(number: int, process: SupervisedProcess, running: Running, limit: int) -> JsonObject:
    child, now = process.child, asyncio.get_running_loop().time()
    facts: JsonObject = {
        "worker": number,
        "pid": None if child is None else child.pid,
        "state": process.phase.name.lower(),
        "age_s": None if child is None else round(now - child.started_at, 3),
        "heartbeat_s": None if child is None else round(now - child.heard_at, 3),
        "deaths": process.deaths,
        "commit_stalled": process.stalled,
        "shortage": process.shortage,
        "answers": False,
        "activity": None,
        "noted": [],
        "noted_total": 0,
    }
    if child is not None and process.up:
        try:
            async with asyncio.timeout(ANSWER_S):
                facts["activity"] = (await child.ask(ShowActivity(limit), ShownActivity)).activity
            facts["answers"] = True
        except (HoldfastError, TimeoutError):
            noted = running(number)
            facts |= {"noted": noted[:limit], "noted_total": len(noted)}
    return facts
