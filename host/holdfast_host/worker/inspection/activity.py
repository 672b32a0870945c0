"""What a worker does now, for an operator who asks because something hangs.

The leader answers, who is in no turn and in no commit then: one that is in either has lost the lead by the time that
somebody asks, for the question is something that waits, and the monitor gives the lead away for that. So the answer
comes while every turn computes and while the disk hangs, and every turn that it shows runs without the lead.

It is bounded: the longest queues, the oldest turns, and how many there are of each.
"""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast_host.core.json_text import JsonObject
from holdfast_host.sandbox.stops.python_frames import place_of
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.turn import ThreadState

if TYPE_CHECKING:
    from collections.abc import Collection

    from holdfast_host.worker.alarms.deliveries import Alarms
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.commits.sweeper import Sweeper
    from holdfast_host.worker.deliveries.deliveries import Deliveries
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.threads.compute_slots import ComputeSlots
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.function_pool import Functions
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn

PLACED_MAX: Final = 4  # turns of which one answer says where their code stands: looking holds up everybody
PLACED_AFTER_S: Final = 0.1  # a younger one is gone before anybody reads it


@leaders
@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Reads the tables of one worker."""

    running: Collection[Turn]
    mailboxes: Mailboxes
    directory: Directory
    functions: Functions
    gate: Gate
    measures: Measures
    sweeper: Sweeper
    leadership: Leadership
    compute: ComputeSlots
    alarms: Alarms
    jobs: tuple[Deliveries, ...]  # runs, calls, requests

    def report(self, limit: int) -> tuple[JsonObject, list[tuple[JsonObject, Turn]]]:
        """All there is to say, at most `limit` of each kind, and the rows whose places are worth a look."""
        now = time.monotonic()
        turns = heapq.nsmallest(limit, self.running, key=lambda turn: turn.begun_at)
        rows = [describe_turn(turn, now) for turn in turns]
        queues = self._queues()
        longest = heapq.nlargest(limit, queues, key=lambda entry: len(entry.mail))
        pools = self.functions.occupancy()
        fullest = heapq.nlargest(limit, pools, key=lambda pool: (pool["waiting"], pool["busy"]))
        facts = {
            "turns": rows,
            "turns_total": len(self.running),
            "queues": [_describe_queue(entry, now) for entry in longest],
            "queues_total": len(queues),
            "waiting_turns": self.mailboxes.waiting_turns,
            "groups": self._groups(now),
            "detached": self.leadership.detached,
            "compute": self.compute.occupancy(),
            "activations": len(self.directory),
            "functions": fullest,
            "functions_total": len(pools),
            "alarms": self.alarms.occupancy(),
            "jobs": {name: sum(each.occupancy()[name] for each in self.jobs) for name in self.alarms.occupancy()},
        }
        return facts, [(row, turn) for row, turn in zip(rows, turns, strict=True) if row["age_s"] > PLACED_AFTER_S]

    def _queues(self) -> Collection[Entry]:
        """Where turns wait: at instances, behind alarms that are not written down as begun yet, before functions."""
        under_way = (each for kind in (self.alarms, *self.jobs) for each in kind.under_way)
        marked = (self.directory.find(each.type_id, each.name) for each in under_way)
        places = (*self.mailboxes.queues(), *marked, *self.functions.lobbies())
        return {id(entry): entry for entry in places if entry is not None and entry.mail}.values()

    def _groups(self, now: float) -> list[JsonObject]:
        """What waits for the disk: the group or the sweep in flight with its age, and the group that gathers."""
        in_flight_s = now - self.measures.commit_began_at
        found = [
            {
                "group": group.number,
                "turns": len(group.batches),
                "bytes": group.bytes,
                "held": len(group.held),
                "age_s": round(in_flight_s, 3) if group is self.gate.flight else None,
            }
            for group in (self.gate.flight, self.gate.current)
            if group is not None and (group.batches or group.held)
        ]
        if self.sweeper.running:
            sweep = {"group": None, "turns": 0, "bytes": 0, "held": 0, "age_s": round(in_flight_s, 3)}
            found.insert(0, sweep)
        return found


def add_places(rows: list[tuple[JsonObject, Turn]]) -> None:
    """Say of some turns where their code stands; any thread, while their guests run."""
    for row, turn in rows[:PLACED_MAX]:
        row["stands"] = stands(turn)


def stands(turn: Turn) -> str | None:
    """Where its Python code has just stood; None where nobody can tell. Any thread."""
    sandbox = turn.entry.sandbox
    return None if sandbox is None else place_of(sandbox.frames())


def describe_turn(turn: Turn, now: float) -> JsonObject:
    """A running turn; seconds since it began, and for how long it waited before."""
    calls = turn.waiting
    waited_s = turn.begun_at - turn.arrived_at
    return {
        "turn": turn.log_name,
        **_whose(turn.entry, turn.function),
        "method": turn.request.method.decode(errors="replace"),
        "state": (ThreadState.CALLING if calls else turn.state).value,
        "age_s": round(now - turn.begun_at, 3),
        "waited_s": round(waited_s, 3) if math.isfinite(waited_s) else None,  # of an alarm nobody knows
        "called_by": turn.path[-1] if turn.path else None,
        "waits_for": _waits_for(turn) if calls else None,
        "stands": None,
    }


def _waits_for(turn: Turn) -> str:
    first, *others = turn.waiting
    further = f" and {len(others)} more" if others else ""
    return f"{first.label}.{first.method.decode(errors='replace')}{further}"


def _describe_queue(entry: Entry, now: float) -> JsonObject:
    first_at = next((turn.arrived_at for turn in entry.mail if turn.is_call), None)
    return {
        **_whose(entry, entry.label.removeprefix("fn ")),
        "turns": len(entry.mail),
        "oldest_s": None if first_at is None else round(now - first_at, 3),
    }


def _whose(entry: Entry, function: str) -> JsonObject:
    """Type and name of an instance; of a function's request, which has neither, the function."""
    if entry.is_function:
        return {"type": None, "name": None, "function": function}
    actor_type, _, name = entry.label.partition("/")
    return {"type": actor_type, "name": name, "function": None}
