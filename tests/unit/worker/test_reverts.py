"""An instance gets back the keys of a file: what differs is written, page by page, in one turn."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.archive.keys_file import read_pairs, write_pairs
from holdfast_host.worker.inspection.edits import run_edit
from holdfast_host.worker.turns.turn import Turn
from tests.unit.storage.test_overlay import Instance


def revert(instance: Instance, path: Path) -> dict[str, int]:
    """The turn; committed where it is well."""
    storage = instance.turn()
    request = SimpleNamespace(method=b"revert", body=json.dumps([str(path)]).encode())
    entry = SimpleNamespace(label="Account/alice", deactivate=lambda: None)
    said = json.loads(run_edit(cast("Turn", SimpleNamespace(storage=storage, request=request, entry=entry))))
    if storage.wrote:
        instance.commit(storage)
    return cast("dict[str, int]", said)


def stored(instance: Instance) -> dict[bytes, bytes]:
    return dict(instance.turn().list(b"", None, None, None, False, 1000)[0])


KEYS = [f"k{number:02}" for number in range(12)]
SOME: list[Any] = [
    pytest.param({}, id="all of it goes"),
    pytest.param(dict.fromkeys(KEYS, b"1"), id="nothing differs"),
    pytest.param(dict.fromkeys(KEYS[::2], b"1"), id="every second goes"),
    pytest.param(dict.fromkeys(["a", *KEYS[3:9], "z"], b"2"), id="around it, and another value"),
    pytest.param({f"{key}{more}": b"1" for key in KEYS for more in ("", "+", "-")}, id="between"),
    pytest.param({"k05": b"x" * 70_000, "k06": b"x" * 300}, id="values of every length"),
]


@pytest.mark.parametrize("wanted", SOME)
@pytest.mark.parametrize("page", [1, 5, 1000])
def test_the_keys_are_those_of_the_file_whatever_a_page_holds(
    tmp_path: Path, wanted: dict[str, bytes], page: int
) -> None:
    instance = Instance(Limits(page_entries_max=1000))
    instance.stores(**dict.fromkeys(KEYS, b"1"))
    before, after = stored(instance), {key.encode(): value for key, value in wanted.items()}
    path = tmp_path / "keys"
    write_pairs(path, sorted(after.items()))
    assert [*read_pairs(path)] == sorted(after.items())
    instance.limits = Limits(page_entries_max=page)

    said = revert(instance, path)

    instance.limits = Limits()
    assert stored(instance) == after
    differs = {key for key, value in after.items() if before.get(key) != value}
    assert said == {"put": len(differs), "deleted": len(before.keys() - after.keys()), "keys": len(after)}


def test_a_file_that_is_gone_with_whoever_asked_is_no_bug_and_changes_nothing(tmp_path: Path) -> None:
    instance = Instance()
    instance.stores(k=b"1")
    with pytest.raises(HostUnavailableError, match="Account/alice is not reverted: No such file"):
        revert(instance, tmp_path / "keys")
    assert stored(instance) == {b"k": b"1"}
