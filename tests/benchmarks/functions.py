"""What a function in front of the actor costs: the same calls to the actor itself and through `fetch`, in turns."""

from __future__ import annotations

from tests.benchmarks.load import ACTORS, FUNCTION, Load, measure
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast
from tests.benchmarks.through import NAMES, compare


def run(section: Section, scale: Scale) -> None:
    """Deposits and empty calls of 1 and 32 clients; and a function that asks no actor."""
    with holdfast() as server:
        for prefix in (ACTORS, FUNCTION):
            measure(server, Load.deposit(NAMES, 32, prefix), scale.seconds)
        for clients in (1, 32):
            compare(
                section,
                scale,
                key="function",
                title="a function in front of the actor",
                contenders=[
                    ("deposit, the actor itself", server, Load.deposit(NAMES, clients)),
                    ("deposit, through the function", server, Load.deposit(NAMES, clients, FUNCTION)),
                    ("empty, the actor itself", server, Load.empty(NAMES, clients)),
                    ("empty, through the function", server, Load.empty(NAMES, clients, FUNCTION)),
                    ("the function alone", server, Load("nothing", NAMES, clients, prefix=FUNCTION)),
                ],
                direct=lambda name: f"{'deposit' if name.startswith('deposit') else 'empty'}, the actor itself",
            )
