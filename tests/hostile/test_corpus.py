"""The short form of the hostile corpus; `make hostile` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import corpus
from tests.hostile.stage import show

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_every_attack_ends_by_its_name_and_leaves_nothing_behind_while_a_neighbour_is_served(tmp_path: Path) -> None:
    report = corpus.run(tmp_path / "data", quick=True, at_once=10, workers=2)

    assert not report.faults, "\n".join([*report.faults, show(report.rows)])
