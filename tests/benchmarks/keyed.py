"""What an idempotency key costs: the same calls with a key of their own each, and without, in turns."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.load import Load, Measured, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast

LOADS = {"deposit": Load.deposit(200, 32), "read": Load("balance", 200, 32)}
_COLUMNS = ["call", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "CPU of the plain call", "errors"]


def run(section: Section, scale: Scale) -> None:
    """Deposits, which keep a receipt, and reads, which only look for one."""
    with holdfast() as server:
        measure(server, LOADS["deposit"], scale.seconds)
        contenders = [
            (f"{name}, {how}", server, replace(load, keyed=how == "keyed"))
            for name, load in LOADS.items()
            for how in ("plain", "keyed")
        ]
        seen = measure_in_turns(contenders, scale.rounds, scale.seconds)
    section.table("idempotency keys, 200 names, 32 clients", _COLUMNS, [_row(section, name, seen) for name in seen])


def _row(section: Section, name: str, seen: dict[str, list[Measured]]) -> list[object]:
    runs, plain = seen[name], seen[f"{name.partition(',')[0]}, plain"]
    place = f"keys/{name.replace(', ', '/')}"
    ratios = [each.cpu_us_per_call / base.cpu_us_per_call for each, base in zip(runs, plain, strict=True)]
    return [
        name,
        section.figure(f"{place}/calls_per_s", [each.calls_per_s for each in runs]),
        section.figure(f"{place}/p50_ms", [each.p50_ms for each in runs]),
        section.figure(f"{place}/p99_ms", [each.p99_ms for each in runs]),
        section.figure(f"{place}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
        f"{section.figure(f'{place}/cpu_ratio', ratios)}x",
        sum(each.errors for each in runs),
    ]
