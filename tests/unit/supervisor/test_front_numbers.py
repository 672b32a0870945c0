"""Which number a front process has."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.supervisor.processes import front_numbers
from holdfast_host.supervisor.processes.front_numbers import FrontNumbers


def test_no_number_is_given_twice_however_often_the_host_starts(tmp_path: Path) -> None:
    given = []
    for _ in range(3):
        numbers = FrontNumbers.open(tmp_path / "fronts.json")
        given += [numbers.take(), numbers.take()]

    assert given == [1, 2, 3, 4, 5, 6]


def test_fronts_that_start_at_the_same_time_have_different_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    def write_slowly(path: Path, content: bytes) -> None:
        never.wait(0.1)  # long enough for the other to read the same number, where nothing holds it back
        write_durably(path, content)

    monkeypatch.setattr(front_numbers, "write_durably", write_slowly)
    numbers = FrontNumbers.open(tmp_path / "fronts.json")
    with ThreadPoolExecutor(2) as threads:
        taken = list(threads.map(lambda _: numbers.take(), range(2)))

    assert sorted(taken) == [1, 2]
    assert FrontNumbers.open(tmp_path / "fronts.json").take() == 3


def test_those_live_that_were_given_and_have_not_ended(tmp_path: Path) -> None:
    numbers = FrontNumbers.open(tmp_path / "fronts.json")
    first, second = numbers.take(), numbers.take()
    numbers.forget(first)

    assert numbers.live == [second]


def test_a_number_that_could_not_be_written_down_is_not_given(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    numbers = FrontNumbers.open(folder / "fronts.json")
    os.rename(folder, tmp_path / "away")

    with pytest.raises(OSError, match="No such file"):
        numbers.take()
    os.rename(tmp_path / "away", folder)
    assert numbers.take() == FrontNumbers.open(folder / "fronts.json").take() - 1 == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"next":0}', b'{"next":"7"}', b'{"next":4294967296}', b"[]"])
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fronts.json"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"fronts\.json"):
        FrontNumbers.open(path)
