"""What a host says of its store beside its beats."""

from __future__ import annotations

from holdfast_host.core.logs import EventLog
from holdfast_host.storage.postgres.server_facts import ServerFacts
from holdfast_host.storage.postgres.session import StoreAddress
from holdfast_host.supervisor.cluster.heart import Heart


class Heard(EventLog):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__("error")
        self.warnings: list[str] = []

    def warning(self, event: str, **facts: object) -> None:
        self.warnings.append(event)


def test_each_thing_that_begins_to_go_wrong_is_warned_of_once_whatever_else_is_wrong_already() -> None:
    log = Heard()
    heart = Heart(StoreAddress("postgresql://127.0.0.1:1/none", "single"), "host", 1, 3.0, log)
    for facts in (
        ServerFacts(1_200_000_000, 50, 1.0),
        ServerFacts(1_200_000_001, 1, 1.0),
        ServerFacts(1_200_000_002, 1, 1.0),
        ServerFacts(1_200_000_003, 50, 1.0),
        ServerFacts(1_200_000_004, 2, 1.0),
    ):
        heart._look_at_server(facts)

    assert ["transactions old" in each for each in log.warnings] == [True, False, False]
    assert ["connections left" in each for each in log.warnings] == [False, True, True]
