"""A file is replaced whole or not at all, whichever step of it fails, and is on disk when the writer goes on."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from holdfast_host.core import durable_files as durable
from holdfast_host.core.durable_files import fill_durably, move_durably, write_durably, written_alone

OLD, NEW = b"the old content", b"the new content, which is longer"
# In their order, each with the content of the file after it has failed.
STEPS = [
    ("open", OLD),
    ("write", OLD),
    ("sync file", OLD),
    ("replace", OLD),
    ("open folder", NEW),
    ("sync folder", NEW),
]


class Disk:
    """Notes the steps as they are taken, and fails at one of them with a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: str = "") -> None:
        self.steps: list[str] = []
        self._fails_at = fails_at
        for owner, name in ((os, "open"), (os, "fsync"), (os, "replace")):
            monkeypatch.setattr(owner, name, self._noted(name, getattr(owner, name)))
        monkeypatch.setattr(durable, "open", self._opened, raising=False)

    def _noted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **further: Any) -> Any:
            step = name
            if name == "open" and arguments[1] & os.O_DIRECTORY:
                step = "open folder"
            elif name == "fsync":
                step = "sync folder" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else "sync file"
            self.take(step)
            return real(*arguments, **further)

        return call

    def _opened(self, path: Path, mode: str, opener: Callable[[str, int], int]) -> BinaryIO:
        return cast("BinaryIO", _Noted(open(path, mode, opener=opener), self))

    def take(self, step: str) -> None:
        """One step."""
        self.steps.append(step)
        if step == self._fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")


class _Noted:
    """A file whose writes are steps; a part of what is written stays when one fails, as on a full disk."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __enter__(self) -> _Noted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        self._file.write(content[: len(content) // 2])
        self._disk.take("write")
        self._file.write(content[len(content) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("before", [OLD, None], ids=["replaced", "made"])
def test_content_is_synced_before_the_file_has_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    path = tmp_path / "file.json"
    if before is not None:
        path.write_bytes(before)
    disk = Disk(monkeypatch)
    write_durably(path, NEW)
    monkeypatch.undo()

    assert disk.steps == [step for step, _ in STEPS]
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.mark.parametrize(("fails_at", "left"), STEPS, ids=[step for step, _ in STEPS])
def test_a_write_that_fails_at_any_step_leaves_one_whole_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, left: bytes
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(OLD)
    disk = Disk(monkeypatch, fails_at)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, NEW)
    monkeypatch.undo()

    assert disk.steps[-1] == fails_at
    assert path.read_bytes() == left
    assert os.listdir(tmp_path) == ["file.json"]

    write_durably(path, NEW)
    assert path.read_bytes() == NEW


def test_what_a_dead_process_left_of_a_draft_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.json.new").write_bytes(b"x" * 1_000)
    write_durably(tmp_path / "file.json", NEW)

    assert (tmp_path / "file.json").read_bytes() == NEW
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_file_is_written_by_one_at_a_time_over_what_a_dead_one_has_left(tmp_path: Path) -> None:
    draft, place = tmp_path / "draft", tmp_path / "place"
    draft.write_bytes(OLD)
    with written_alone(draft) as first:
        fill_durably(first, [NEW])
        with pytest.raises(BlockingIOError), written_alone(draft):
            pass
        assert draft.read_bytes() == NEW
        late = open(draft, "ab")  # noqa: SIM115  (as one that comes just before the first is done)
        move_durably(draft, place)
    late.close()

    with written_alone(draft) as second:
        fill_durably(second, [OLD])
    assert (place.read_bytes(), draft.read_bytes()) == (NEW, OLD)


MOVES = [("open", False), ("sync file", False), ("replace", False), ("open folder", True), ("sync folder", True)]


@pytest.mark.parametrize(("fails_at", "moved"), MOVES, ids=[step for step, _ in MOVES])
def test_a_move_that_fails_at_any_step_loses_neither_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, moved: bool
) -> None:
    written, path = tmp_path / "upload", tmp_path / "component"
    written.write_bytes(NEW)
    disk = Disk(monkeypatch, fails_at)
    with pytest.raises(OSError, match="No space left"):
        move_durably(written, path)
    monkeypatch.undo()

    assert disk.steps == [step for step, _ in MOVES][: disk.steps.index(fails_at) + 1]
    assert (path if moved else written).read_bytes() == NEW
    assert os.listdir(tmp_path) == ["component" if moved else "upload"]


def test_whatever_of_the_host_renames_a_file_for_good_does_it_here() -> None:
    """A partition is a folder that is renamed whole; a compiler syncs what its parent puts in place."""
    package = Path(durable.__file__).parents[1]
    syncing = {str(path.relative_to(package)) for path in package.rglob("*.py") if "os.fsync(" in path.read_text()}

    assert syncing == {"core/durable_files.py", "sandbox/components/machine_code.py"}
