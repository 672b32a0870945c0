"""Calls and rings over two workers, each with its own leader, linked by Unix sockets."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.wire.control.routing import Routing
from holdfast_host.worker.turns.turn import Turn
from tests.unit.worker.stage import TYPE, Stage
from tests.unit.worker.test_calls import call_out, chain, error_of
from tests.unit.worker.test_gather import gather

WORKERS = 2


class Pair:
    """Two workers; a call goes to the one that owns the name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, limits: Limits | None = None) -> None:
        self.routing = Routing.over(WORKERS, [str(directory / f"w{n}") for n in range(WORKERS)])
        self.stages = [Stage(monkeypatch, limits, routing=self.routing, number=n) for n in range(WORKERS)]
        guests = self.stages[-1].guests
        guests[b"call_out"] = call_out
        guests[b"chain"] = chain
        for stage in self.stages:
            stage.guests = guests
        self.deploy()

    def deploy(self) -> None:
        for stage in self.stages:
            stage.deploy()

    @property
    def guests(self) -> dict[bytes, Any]:
        return self.stages[0].guests

    def owner(self, name: str) -> Stage:
        return self.stages[self.routing.place(TYPE, name.encode())[0]]

    def names(self, worker: int) -> Iterator[str]:
        """Names that this worker owns."""
        return (name for name in (f"n{n}" for n in range(10_000)) if self.owner(name) is self.stages[worker])

    def call(self, name: str, method: str, argument: Any = None) -> tuple[int, Any]:
        return self.owner(name).call(name, method, argument)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(monkeypatch, tmp_path_factory.mktemp("w"))


def test_a_call_reaches_the_worker_that_owns_the_name(pair: Pair) -> None:
    here, there = next(pair.names(0)), next(pair.names(1))

    assert pair.call(here, "call_out", [there, "add", 5]) == (200, 5)
    assert pair.call(there, "read") == (200, 5)
    assert error_of(pair.call(here, "call_out", [there, "nothing", None]))[1] == "ActorUnknownMethodError"


def test_a_path_that_comes_back_over_two_workers_is_refused_at_once(pair: Pair) -> None:
    here, there = next(pair.names(0)), next(pair.names(1))
    reply = pair.call(here, "chain", [there, here])

    assert error_of(reply) == (409, "ActorReentrancyError")
    assert f"T/{here} -> T/{there} -> T/{here}" in reply[1]["error"]["message"]


def test_a_ring_over_two_workers_is_found_and_only_one_call_ends(pair: Pair) -> None:
    here, there = next(pair.names(0)), next(pair.names(1))
    both = threading.Barrier(2)

    def meet_and_call(turn: Turn, other: str) -> Any:
        both.wait(10)
        return call_out(turn, [other, "read", None])

    pair.guests[b"meet_and_call"] = meet_and_call
    pair.deploy()
    for _ in range(20):
        started = time.monotonic()
        slots = [
            (pair.owner(name), pair.owner(name).client.send(name, "meet_and_call", other))
            for name, other in ((here, there), (there, here))
        ]
        replies = sorted(stage.client.wait(slot) for stage, slot in slots)

        assert replies[0] == (200, 0)
        assert error_of(replies[1]) == (409, "ActorDeadlockError")
        assert time.monotonic() - started < 5


def test_a_ring_over_two_workers_through_one_of_several_calls_ends_that_one_alone(pair: Pair) -> None:
    heres, theres = pair.names(0), pair.names(1)
    here, there, others = next(heres), next(theres), [next(heres), next(theres)]
    both = threading.Barrier(2)

    def meet_and_gather(turn: Turn, other: str) -> Any:
        both.wait(10)
        return gather(turn, [[name, "read", None] for name in (others[0], other, others[1])])

    pair.guests[b"meet_and_gather"] = meet_and_gather
    pair.deploy()
    for _ in range(20):
        started = time.monotonic()
        slots = [
            (pair.owner(name), pair.owner(name).client.send(name, "meet_and_gather", other))
            for name, other in ((here, there), (there, here))
        ]
        replies = sorted((stage.client.wait(slot)[1] for stage, slot in slots), key=str)

        assert replies == [[0, "ActorDeadlockError", 0], [0, 0, 0]]
        assert time.monotonic() - started < 5


def test_random_chains_over_two_workers_all_end(pair: Pair) -> None:
    randomness = random.Random(11)
    names = [f"n{n}" for n in range(10)]
    slots = []
    for _ in range(300):
        path = randomness.sample(names, 5)
        slots.append((pair.owner(path[0]), pair.owner(path[0]).client.send(path[0], "chain", path[1:])))
    replies = [stage.client.wait(slot, 60) for stage, slot in slots]
    outcomes = {reply[0] if reply[0] == 200 else error_of(reply)[1] for reply in replies}

    assert outcomes <= {200, "ActorDeadlockError"}
    assert pair.call(names[0], "chain", names[1:5])[0] == 200
    for stage in pair.stages:
        assert stage.worker.calls.waiting == {}
        assert stage.failures.empty()
