"""What several files of the worker's tests begin with, and the end of what a test has begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.unit.worker.socket_stage import SocketStage
from tests.unit.worker.span_stage import Spans
from tests.unit.worker.stage import Client, Stage


@pytest.fixture(autouse=True)
def ended_stages() -> Iterator[None]:
    """No thread of a stage outlives its test, but where a guest holds it: a monitor wakes up 100 times a second."""
    yield
    while Stage.begun:  # first: what a client leaves behind would be turns
        Stage.begun.pop().end()
    while Client.begun:
        with suppress(OSError):
            Client.begun.pop().close()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> SocketStage:
    return SocketStage(monkeypatch)


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.close()
