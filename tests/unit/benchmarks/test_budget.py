"""The budget of a call: what is metered counts as metered, the rest as sampled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks import budget, metered
from tests.benchmarks.servers import holdfast
from tests.benchmarks.stages import GUEST, METERED, stages_of
from tests.harness.components import ACCOUNT


def test_samples_of_a_waiting_commit_do_not_count() -> None:
    counted = Counter({GUEST: 30, "storage imports": 10, "commit": 500, "mailbox": 6, "gate and reply": 2})
    shares = budget._shares(counted, {"commit": 0.1, "sandbox": 0.5})

    assert shares["commit"] == pytest.approx(0.1)
    assert shares[GUEST] == pytest.approx(0.375)
    assert shares["mailbox"] == pytest.approx(0.3)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_process_without_meters_is_shared_as_it_was_sampled() -> None:
    assert budget._shares(Counter({"a": 3, "b": 1}), {}) == {"a": 0.75, "b": 0.25}


def test_every_metered_stage_is_one_of_the_workers() -> None:
    assert METERED.keys() <= set(stages_of("worker"))
    assert set(METERED.values()) == set(metered.METERS)


@pytest.mark.slow
def test_a_metered_worker_serves_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "meters"
    with holdfast("--workers", "1", command=metered.command(file), project=ACCOUNT) as server:
        assert server.host is not None
        [_] = server.host.pids()["worker"]
        before = metered.read(file)
        with server.host.caller() as caller:
            for number in range(20):
                caller.value("Account", f"a{number}", "deposit", 5)
        after = metered.read(file)

    assert all(after[meter] > before[meter] for meter in metered.METERS)
