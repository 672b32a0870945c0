"""A client that does not read what it is sent."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from holdfast_host.core.limits import KIB, Limits
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import Client, Stage

_REPLY_BYTES = 512 * KIB  # more than the kernel keeps for a socket


class DeafClient(Client):
    """It sends and does not read, until it is told to."""

    def _read(self) -> None:
        pass

    def listen(self) -> None:
        threading.Thread(target=super()._read, daemon=True).start()


def say_much(turn: Turn, _: Any) -> str:
    return "x" * _REPLY_BYTES


@pytest.mark.limit("client_unsent_bytes_max")
@pytest.mark.parametrize(("unsent_bytes_max", "ran"), [(_REPLY_BYTES + KIB, 1), (KIB, 0)])
def test_a_client_with_so_much_unsent_is_not_read_from_until_it_reads(
    monkeypatch: pytest.MonkeyPatch, unsent_bytes_max: int, ran: int
) -> None:
    limits = Limits(client_unsent_bytes_max=unsent_bytes_max)
    stage = Stage(monkeypatch, limits, guests={b"say_much": say_much})
    deaf = DeafClient(stage.worker)
    much = deaf.send("a", "say_much")
    while not stage.do(lambda: stage.worker.measures.types):
        pass
    stage.call("c", "read")  # by now the reply has been tried to be sent
    one = deaf.send("b", "add", 1)
    for _ in range(20):
        stage.call("c", "read")
    meanwhile = stage.call("b", "read")

    deaf.listen()
    assert deaf.wait(much)[0] == 200
    assert deaf.wait(one) == (200, 1)
    assert meanwhile == (200, ran)
    assert stage.call("b", "read") == (200, 1)
