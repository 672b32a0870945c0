"""Backups one after the other: when the next one may begin."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from holdfast_host.core.errors import HostUnavailableError
from holdfast_host.supervisor import backups as backups_module
from holdfast_host.supervisor.backups import Backups
from holdfast_host.supervisor.directory.component_files import ComponentFiles
from holdfast_host.wire.control.backup_orders import HoldCommits, ReleaseCommits


def test_a_backup_is_under_way_until_the_workers_have_let_go_of_it(tmp_path: Path) -> None:
    """What it still tells them would else end the next one: they know of one backup alone."""

    async def play() -> None:
        told: list[Any] = []
        lets_go, released = asyncio.Event(), asyncio.Event()

        async def ask(question: Any, kind: Any) -> None:
            told.append(question)
            if isinstance(question, HoldCommits):
                raise HostUnavailableError("it does not hold")
            if len(told) > 2:  # the last word, after that of the cut
                lets_go.set()
                await released.wait()

        worker = SimpleNamespace(up=True, label="worker 0", child=SimpleNamespace(ask=ask))
        resources = SimpleNamespace(central_store=None, directory=SimpleNamespace(backup=tmp_path, partitions=1))
        backups = Backups(cast("Any", resources), cast("Any", [worker]), Mock())

        async def take() -> None:
            await backups.take(with_key=False, on_file=lambda _: None, gone=asyncio.Event())

        first = asyncio.create_task(take())
        await asyncio.wait_for(lets_go.wait(), 10)
        second = asyncio.create_task(take())
        refused, _ = await asyncio.wait({second}, timeout=5)
        released.set()
        assert refused, "it waits for nothing"
        with pytest.raises(HostUnavailableError, match="another backup is under way"):
            await second
        with pytest.raises(HostUnavailableError, match="it does not hold"):
            await first
        assert told == [HoldCommits(), *2 * [ReleaseCommits(keep=False)]]
        told.clear()
        with pytest.raises(HostUnavailableError, match="it does not hold"):
            await take()

    asyncio.run(play())


def test_a_client_that_takes_too_little_ends_its_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that waits to be copied keeps its old pages, and its file grows by all that is written meanwhile."""
    monkeypatch.setattr(backups_module, "TAKE_S", 0.1)
    files = backups_module._Files(tmp_path, lambda _: None, asyncio.Event())
    for name in ("a", "b"):
        files.path(name).write_bytes(b"x")
        files.tell(name)

    async def play() -> None:
        files.path("a").unlink()
        await files.until_taken(1)
        with pytest.raises(HostUnavailableError, match="taken too slowly: 0 s were not enough for one of its files"):
            await asyncio.wait_for(files.until_taken(0), 10)

    asyncio.run(play())


@pytest.mark.parametrize("packed", [False, True])
def test_a_backup_has_a_component_as_it_was_deployed_even_if_it_goes_meanwhile(tmp_path: Path, packed: bool) -> None:
    content = b"component" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    for name in ("components", "backup"):
        (tmp_path / name).mkdir()
    (tmp_path / "upload").write_bytes(content)
    components = ComponentFiles(tmp_path / "components")
    components.take(tmp_path / "upload", sha256)
    if packed:
        components.pack(sha256)
    told: list[str] = []
    files = backups_module._Files(tmp_path / "backup", told.append, asyncio.Event())
    for each in (sha256, "0" * 64):
        files.add_component(each, components.folder)
    for path in components.folder.iterdir():
        path.unlink()
    for name in list(files.packed):
        files.unpack(name)
    [name] = files.small
    files.tell(name)

    assert name == f"components/{sha256}.wasm"
    facts = json.loads(told[0])
    assert (facts["size"], Path(facts["path"]).read_bytes()) == (len(content), content)
    assert len(list((tmp_path / "backup").iterdir())) == 1
