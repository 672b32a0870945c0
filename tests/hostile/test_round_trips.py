"""The short form of the fuzzer of values; `make hostile` is the long one."""

from __future__ import annotations

import pytest

from tests.harness.fixtures import StartHost
from tests.hostile import round_trips
from tests.hostile.stage import show

pytestmark = pytest.mark.slow


def test_guest_and_host_agree_on_every_value_and_on_every_text_that_is_none(probe_host: StartHost) -> None:
    rows = round_trips.run_here(100, seeded=1)
    with probe_host().caller() as caller:
        rows.append(round_trips.run_through(caller, 15, seeded=1))

    assert all(row.fits for row in rows), show(rows)
