"""The record of those that kill workers: what the disk refuses does not change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.supervisor.quarantine import DEATHS_MAX, Quarantine

DEADLY = (1, b"deadly")


def version_of(_instance: object) -> int | None:
    return 1


def test_a_release_that_cannot_be_recorded_releases_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = Quarantine.open(tmp_path / "quarantine.json")
    for _ in range(int(DEATHS_MAX)):
        quarantine.blame([DEADLY], version_of)

    def refuse(directory: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("holdfast_host.supervisor.quarantine.sync_directory", refuse)
        with pytest.raises(OSError, match="No space left"):
            quarantine.release(DEADLY)

    assert quarantine.listed(version_of) == [DEADLY]
    assert quarantine.release(DEADLY)
    assert quarantine.listed(version_of) == []
