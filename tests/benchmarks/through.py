"""The same calls to an actor itself and through something in front of it: one table for each number of clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.benchmarks.load import Load, Measured, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import Server

NAMES: Final = 200
_COLUMNS: Final = ["call", "calls/s", "of the actor itself", "p50 ms", "p99 ms", "CPU us/call", "errors"]

Contender = tuple[str, Server, Load]


def compare(
    section: Section, scale: Scale, *, key: str, title: str, contenders: list[Contender], direct: Callable[[str], str]
) -> None:
    """Measure them in turns; `direct` says which contender another one is a share of."""
    seen: dict[str, list[Measured]] = measure_in_turns(contenders, scale.rounds, scale.seconds)
    load = contenders[0][2]
    rows = []
    for name, runs in seen.items():
        place = f"{key}/{load.clients}/{name.replace(', ', '/').replace(' ', '_')}"
        ratios = [each.calls_per_s / base.calls_per_s for each, base in zip(runs, seen[direct(name)], strict=True)]
        rows.append(
            [
                name,
                section.figure(f"{place}/calls_per_s", [each.calls_per_s for each in runs]),
                f"{section.figure(f'{place}/ratio', ratios)}x",
                section.figure(f"{place}/p50_ms", [each.p50_ms for each in runs]),
                section.figure(f"{place}/p99_ms", [each.p99_ms for each in runs]),
                section.figure(f"{place}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
                sum(each.errors for each in runs),
            ]
        )
    section.table(f"{title}: {load}", _COLUMNS, rows)
