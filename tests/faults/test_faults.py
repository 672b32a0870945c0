"""The short form of the fault table; `make faults` is the long one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.case import Case, SkippedError
from tests.faults.cases import CASES, QUICK

SOONEST = "ENOSPC at a data write"  # one of the kind in `make test`, the others in `make test-long`
SHORT = [
    pytest.param(case, id=case.name, marks=() if case.name == SOONEST else pytest.mark.slow)
    for case in CASES
    if case.name in QUICK
]


@pytest.mark.parametrize("case", SHORT)
def test_a_fault_is_answered_by_its_name_and_loses_nothing_that_was_acknowledged(
    case: Case, probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(probe_data(1), data)
    try:
        case.run(data, tmp_path)
    except SkippedError as skipped:
        pytest.skip(str(skipped))
