"""What a worker has counted, with what its tables say now: what `/metrics` is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast_host.core.child_process import private_bytes
from holdfast_host.worker.commits.confirming_gate import ConfirmingGate
from holdfast_host.worker.threads.leaders import leaders

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.worker.alarms.deliveries import Alarms
    from holdfast_host.worker.commits.committer import Committer
    from holdfast_host.worker.commits.gate import Gate
    from holdfast_host.worker.deliveries.deliveries import Deliveries
    from holdfast_host.worker.health import Health
    from holdfast_host.worker.logs.output import Output
    from holdfast_host.worker.measures import Measures
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.mailboxes import Mailboxes


@leaders
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Reads the counters and the tables of one worker."""

    measures: Measures
    health: Health
    mailboxes: Mailboxes
    deployments: Deployments
    directory: Directory
    leadership: Leadership
    committer: Committer
    gate: Gate
    alarms: Alarms
    jobs: tuple[Deliveries, ...]  # a pool each
    output: Output

    def read(self) -> JsonObject:
        """Everything; about a millisecond with many types."""
        now = time.monotonic()
        deepest, oldest_at = self.mailboxes.depth()
        room, measures = self.health.room, self.measures
        return {
            **self._of_server(),
            "types": [
                {
                    "type": self.deployments.name_of(type_id),
                    "outcomes": kind.outcomes,
                    "activations": kind.activations,
                    "latency": kind.latency.report(),
                    "queued": kind.queued.report(),
                }
                for type_id, kind in measures.types.items()
            ],
            "alarms": {**measures.alarms, "abandoned": self.alarms.abandoned, "parked": self.alarms.parked},
            "jobs": {
                **measures.jobs,
                "abandoned": sum(each.abandoned for each in self.jobs),
                "parked": sum(each.parked for each in self.jobs),
            },
            "jobs_under_way": sum(each.occupancy()["under_way"] for each in self.jobs),
            "traps": dict(self.output.traps),  # any thread counts one
            "log_lines_dropped": self.output.dropped_total,
            "commit_seconds": measures.commit_seconds.report(),
            "group_turns": measures.group_turns.report(),
            "disk_free_bytes": room.disk_free_bytes,
            "short_of_room": room.shortage is not None,
            "commit_in_flight_s": self.committer.in_flight_s(now),
            "waiting_turns": self.mailboxes.waiting_turns,
            "deepest_mailbox": deepest,
            "oldest_wait_s": 0.0 if oldest_at is None else now - oldest_at,
            "instances": len(self.directory),
            "evictions": self.directory.evictions,
            "detached": self.leadership.detached,
            "promotions": self.leadership.promotions,
            "private_bytes": private_bytes(),
        }

    def _of_server(self) -> JsonObject:
        """What only a store that is asked from afar has."""
        gate = self.gate
        if not isinstance(gate, ConfirmingGate):
            return {}
        return {
            "store": {
                "confirms": gate.confirms,
                "refused_groups": gate.refusals,
                "silent_s": self.health.room.silent_s,
                "load_seconds": self.measures.load_seconds.report(),
            }
        }
