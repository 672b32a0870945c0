"""How the host does, as far as its processes show it: what fronts are told, and answer with."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.protocol import HostHealth


def health_of(workers: Sequence[SupervisedProcess], *, stopping: bool, archive: str) -> HostHealth:
    """Which workers are up, which commit too slowly, which have no room; `archive` is what is wrong with that."""
    return HostHealth(
        [each.up for each in workers],
        stalled=[number for number, each in enumerate(workers) if each.stalled],
        short=[number for number, each in enumerate(workers) if each.shortage is not None],
        stopping=stopping,
        archive=archive,
    )
