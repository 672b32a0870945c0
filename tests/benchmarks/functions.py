"""What a function in front of the actor costs: the same calls to the actor itself and through `fetch`, in turns."""

from __future__ import annotations

from tests.benchmarks.load import ACTORS, FUNCTION, Load, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast

_NAMES = 200


def run(section: Section, scale: Scale) -> None:
    """Deposits and empty calls of 1 and 32 clients; and a function that asks no actor."""
    with holdfast() as server:
        for prefix in (ACTORS, FUNCTION):
            measure(server, Load.deposit(_NAMES, 32, prefix), scale.seconds)
        for clients in (1, 32):
            contenders = [
                ("deposit, the actor itself", server, Load.deposit(_NAMES, clients)),
                ("deposit, through the function", server, Load.deposit(_NAMES, clients, FUNCTION)),
                ("empty, the actor itself", server, Load.empty(_NAMES, clients)),
                ("empty, through the function", server, Load.empty(_NAMES, clients, FUNCTION)),
                ("the function alone", server, Load("nothing", _NAMES, clients, prefix=FUNCTION)),
            ]
            seen = measure_in_turns(contenders, scale.rounds, scale.seconds)
            rows = []
            for name, runs in seen.items():
                key = f"function/{clients}/{name.replace(', ', '/').replace(' ', '_')}"
                method = "deposit" if name.startswith("deposit") else "empty"
                ratios = [
                    each.calls_per_s / direct.calls_per_s
                    for each, direct in zip(runs, seen[f"{method}, the actor itself"], strict=True)
                ]
                rows.append(
                    [
                        name,
                        section.figure(f"{key}/calls_per_s", [each.calls_per_s for each in runs]),
                        f"{section.figure(f'{key}/ratio', ratios)}x",
                        section.figure(f"{key}/p50_ms", [each.p50_ms for each in runs]),
                        section.figure(f"{key}/p99_ms", [each.p99_ms for each in runs]),
                        section.figure(f"{key}/cpu_us_per_call", [each.cpu_us_per_call for each in runs]),
                        sum(each.errors for each in runs),
                    ]
                )
            section.table(
                f"a function in front of the actor: {contenders[0][2]}",
                ["call", "calls/s", "of the actor itself", "p50 ms", "p99 ms", "CPU us/call", "errors"],
                rows,
            )
