"""Ends what a test has begun: a stage's monitor alone wakes up a hundred times a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.unit.worker.stage import Client, Stage


@pytest.fixture(autouse=True)
def ended_stages() -> Iterator[None]:
    """No thread of a stage outlives its test, but where a guest of the test holds it."""
    yield
    while Client.begun:
        with suppress(OSError):
            Client.begun.pop().close()
    while Stage.begun:
        Stage.begun.pop().end()
