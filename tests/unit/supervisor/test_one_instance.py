"""What one instance had stored at a moment, by the archive."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from holdfast_host.storage.archive.frames import ArchiveError
from holdfast_host.supervisor.archive.one_instance import write_keys
from tests.harness.archives import ArchivedStore, now_us


def keys_at(archived: ArchivedStore, scratch: Path, name: bytes, at_us: int) -> dict[bytes, bytes]:
    scratch.mkdir()
    write_keys(archived.root, scratch, 1, name, at_us)
    found: dict[bytes, bytes] = msgspec.msgpack.decode((scratch / "keys").read_bytes(), type=dict[bytes, bytes])
    return found


def test_it_is_what_was_committed_by_then_before_a_base_and_after(tmp_path: Path) -> None:
    archived = ArchivedStore.make(tmp_path)
    archived.base()
    moments = []
    for number in range(6):
        archived.put(b"alice", k=b"%d" % number, **{f"k{number}": b"x" * 300})
        archived.put(b"bob", k=b"other")
        moments.append((now_us(), archived.state[1, b"alice"]))
        if number == 3:
            archived.base()
    archived.put(b"bob", k=b"last")
    archived.ship()

    for number, (at_us, keys) in enumerate(moments):
        assert keys_at(archived, tmp_path / f"{number}", b"alice", at_us) == keys
    assert keys_at(archived, tmp_path / "none", b"nobody", moments[-1][0]) == {}
    with pytest.raises(ArchiveError, match="it reaches until"):
        keys_at(archived, tmp_path / "later", b"alice", now_us() + 10_000_000)


def test_no_copy_is_made_that_would_take_the_space_of_the_hosts_own_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived = ArchivedStore.make(tmp_path)
    archived.put(b"alice", k=b"1")
    archived.base()
    at_us = now_us()
    archived.put(b"alice", k=b"2")
    archived.ship()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=200 << 20))
    with pytest.raises(ArchiveError, match=r"a copy of \d+ bytes .* has 209715200 bytes free, .*: make room"):
        keys_at(archived, tmp_path / "scratch", b"alice", at_us)
