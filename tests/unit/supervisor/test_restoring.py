"""What a restored directory needs to be there after a power cut."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from holdfast_host.core import durable_files
from holdfast_host.supervisor.directory import restoring
from holdfast_host.supervisor.directory.restoring import restore_backup


def backup(file: Path) -> None:
    """A whole one that holds next to nothing."""
    head = json.dumps({"format": 1, "holdfast": "1", "created_us": 1, "partitions": 1, "with_key": False}).encode()
    files = {"holdfast-backup.json": head, "format.json": b"{}", "registry/fronts.json": b"{}"}
    checksums = {name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in files.items()}
    with tarfile.open(file, "w") as archive:
        for name, content in (*files.items(), ("checksums.json", json.dumps(checksums).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_all_directories_that_are_made_on_the_way_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    for module in (restoring, durable_files):
        monkeypatch.setattr(module, "sync_directory", synced.append)
    backup(tmp_path / "file.tar")
    monkeypatch.chdir(tmp_path)

    restore_backup(tmp_path / "file.tar", Path("a/b/data"))

    data = tmp_path / "a" / "b" / "data"
    assert (data / "registry" / "fronts.json").read_bytes() == b"{}"
    assert {each.absolute() for each in synced} == {tmp_path, *data.parents[:2], data, data / "registry"}
