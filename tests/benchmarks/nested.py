"""What a call from an actor to an idle one costs: the same calls to the actor itself, and through another actor."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks.load import ACTORS, Load, measure
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS, Server
from tests.benchmarks.through import NAMES, compare
from tests.harness.components import built
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

_TELLERS: Final = "/v1/actors/Teller/"
_AMOUNT: Final = '{"amount":5}'


def run(section: Section, scale: Scale) -> None:
    """Deposits and reads of 1 and 32 clients."""
    with tempfile.TemporaryDirectory() as scratch, HostProcess(Path(scratch) / "data") as host:
        deploy(host, built(PEERS / "nested"))
        server = Server("holdfast", host.url, host.pids()["supervisor"][0], host)
        for prefix in (ACTORS, _TELLERS):
            measure(server, Load("deposit", NAMES, 32, _AMOUNT, prefix), scale.seconds)
        for clients in (1, 32):
            compare(
                section,
                scale,
                key="nested",
                title="calls between actors",
                contenders=[
                    ("deposit, the actor itself", server, Load("deposit", NAMES, clients, _AMOUNT)),
                    ("deposit, through another", server, Load("deposit", NAMES, clients, _AMOUNT, _TELLERS)),
                    ("deposit, through another that writes", server, Load("record", NAMES, clients, _AMOUNT, _TELLERS)),
                    ("balance, the actor itself", server, Load("balance", NAMES, clients)),
                    ("balance, through another", server, Load("balance", NAMES, clients, prefix=_TELLERS)),
                ],
                direct=lambda name: f"{name.partition(',')[0]}, the actor itself",
            )
