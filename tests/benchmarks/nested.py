"""What a call from an actor to an idle one costs: the same calls to the actor itself, and through another actor."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.load import ACTORS, Load, measure, measure_in_turns
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS, Server
from tests.harness.components import built
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

_NAMES: Final = 200
_TELLERS: Final = "/v1/actors/Teller/"
_AMOUNT: Final = '{"amount":5}'


def run(section: Section, scale: Scale) -> None:
    """Deposits and reads of 1 and 32 clients."""
    with tempfile.TemporaryDirectory() as scratch, HostProcess(Path(scratch) / "data") as host:
        deploy(host, built(PEERS / "nested"))
        server = Server("holdfast", host.url, host.pids()["supervisor"][0], host)
        for prefix in (ACTORS, _TELLERS):
            measure(server, Load("deposit", _NAMES, 32, _AMOUNT, prefix), scale.seconds)
        for clients in (1, 32):
            contenders = [
                ("deposit, the actor itself", server, Load("deposit", _NAMES, clients, _AMOUNT)),
                ("deposit, through another", server, Load("deposit", _NAMES, clients, _AMOUNT, _TELLERS)),
                ("deposit, through another that writes", server, Load("record", _NAMES, clients, _AMOUNT, _TELLERS)),
                ("balance, the actor itself", server, Load("balance", _NAMES, clients)),
                ("balance, through another", server, Load("balance", _NAMES, clients, prefix=_TELLERS)),
            ]
            seen = measure_in_turns(contenders, scale.rounds, scale.seconds)
            rows = []
            for name, runs in seen.items():
                key = f"nested/{clients}/{name.replace(', ', '/').replace(' ', '_')}"
                direct = seen[f"{name.partition(',')[0]}, the actor itself"]
                ratios = [each.calls_per_s / base.calls_per_s for each, base in zip(runs, direct, strict=True)]
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
                f"calls between actors: {contenders[0][2]}",
                ["call", "calls/s", "of the actor itself", "p50 ms", "p99 ms", "CPU us/call", "errors"],
                rows,
            )
