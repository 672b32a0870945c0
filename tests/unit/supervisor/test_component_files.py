"""What versions keep on disk: components packed once they run, and the compiled files that are worth their room."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.compiled_store import KeptComponent, MemoryImagePlace
from holdfast_host.supervisor.archive.base_maker import store_component
from holdfast_host.supervisor.deploys.component_store import ComponentStore
from holdfast_host.supervisor.directory import component_files
from holdfast_host.supervisor.directory.component_files import (
    ComponentFiles,
    DamagedComponentError,
    component_of,
    digest_of,
)
from holdfast_host.wire.control.catalog import Deployment
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import FakeCompiled, component_text, manifest_text

CONTENT = b"\0asm component" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BOUND = manifest_text("account", ("ACCOUNT", "Account"))


@pytest.fixture
def files(tmp_path: Path) -> ComponentFiles:
    (tmp_path / "components").mkdir()
    upload = tmp_path / "upload"
    upload.write_bytes(CONTENT)
    files = ComponentFiles(tmp_path / "components")
    files.take(upload, SHA256)
    return files


def test_a_packed_component_takes_less_room_and_is_what_was_deployed(files: ComponentFiles, tmp_path: Path) -> None:
    assert files.pack(SHA256)

    [packed] = files.folder.iterdir()
    assert packed.stat().st_size < len(CONTENT) / 3
    assert digest_of(packed) == SHA256
    files.unpack(SHA256, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == CONTENT
    assert component_of(packed) == SHA256


def test_it_is_packed_once(files: ComponentFiles) -> None:
    assert files.pack(SHA256)
    assert not files.pack(SHA256)
    assert not files.pack("0" * 64)


def test_a_component_that_is_not_what_was_deployed_is_not_packed_over_what_is(files: ComponentFiles) -> None:
    plain = files.find(SHA256)
    assert plain is not None
    plain.write_bytes(b"damaged")

    assert not files.pack(SHA256)
    assert files.find(SHA256) == plain


@pytest.mark.parametrize("damage", [lambda it: it[:-9], lambda it: b"x" + it[1:], lambda it: it[:40] + b"x" + it[41:]])
def test_a_damaged_packed_component_is_never_taken_for_what_was_deployed(
    files: ComponentFiles, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    files.pack(SHA256)
    [packed] = files.folder.iterdir()
    packed.write_bytes(damage(packed.read_bytes()))

    with pytest.raises(DamagedComponentError):
        files.unpack(SHA256, tmp_path / "again")


def test_a_component_that_is_not_there_is_not_unpacked(files: ComponentFiles, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.unpack("0" * 64, tmp_path / "again")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_brought_elsewhere_is_read_as_it_was_deployed_and_leaves_no_draft(
    files: ComponentFiles, tmp_path: Path, packed: bool
) -> None:
    if packed:
        files.pack(SHA256)
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    with files.as_deployed(SHA256, drafts) as component:
        assert component is not None
        assert component.read_bytes() == CONTENT
    with files.as_deployed("0" * 64, drafts) as component:
        assert component is None

    assert not list(drafts.iterdir())
    assert files.find(SHA256) is not None


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_has_a_component_as_it_was_deployed(files: ComponentFiles, tmp_path: Path, packed: bool) -> None:
    if packed:
        files.pack(SHA256)
    (tmp_path / "archive" / "components").mkdir(parents=True)
    source = files.find(SHA256)
    assert source is not None
    store_component(source, SHA256, tmp_path / "archive")

    [kept] = (tmp_path / "archive" / "components").iterdir()
    assert kept.name == f"{SHA256}.wasm.zst"
    with kept.open("rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file).read() == CONTENT


class Stage:
    """Deploys of one function, whose compiled files say of which code they are, as the real compiler's do."""

    def __init__(self, folder: Path) -> None:
        self.bench = DeployBench(folder)
        self.compiled: list[bytes] = []
        self.store = ComponentStore(
            self.bench.directory, self.bench.registry, self.compile, Limits(), self.bench.deploys._log
        )
        self.bench.deploys._components = self.store

    async def compile(
        self, component: Path, cache: Path, limits: Limits, on_stage: Callable[[str], None]
    ) -> FakeCompiled:
        content = component.read_bytes()  # noqa: ASYNC240 a test's
        self.compiled.append(content)
        description = json.loads(content)
        kept = KeptComponent.at(cache, component.stem)
        draft = cache / "new-1.cwasm"
        draft.write_bytes(b"compiled")
        code = description["remark"].partition(" ")[0]
        kept.keep(draft, hashlib.sha256(b"compiled").hexdigest(), {}, MemoryImagePlace(code, 0) if code else None)
        return FakeCompiled(kept.compiled, description)

    def deploy(self, remark: str) -> None:
        async def play() -> None:
            request = self.bench.request("account", component_text("Account", remark=remark), BOUND)
            await self.bench.deploys.deploy(request, self.bench.stages.append)
            assert self.store._packer is not None
            await self.store._packer

        asyncio.run(play())

    def compiled_files(self) -> int:
        return len(list(self.bench.directory.compiled.glob("*.cwasm")))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_versions_of_one_code_keep_one_compiled_file_that_of_what_runs(stage: Stage) -> None:
    for remark in ("one a", "one b", "one c"):
        stage.deploy(remark)

    assert stage.compiled_files() == 1
    assert Path(stage.bench.rollout.runs["account"].compiled).exists()
    assert sorted(path.suffix for path in stage.bench.directory.components.iterdir()) == [".zst"] * 3


def test_a_code_that_nothing_running_has_keeps_one_file_so_that_a_rollback_compiles_nothing(stage: Stage) -> None:
    for remark in ("old a", "old b", "new a", "new b"):
        stage.deploy(remark)

    assert stage.compiled_files() == 2


def test_a_compiled_file_that_no_other_can_be_made_of_is_kept(stage: Stage) -> None:
    for remark in ("", " b", " c"):
        stage.deploy(remark)

    assert stage.compiled_files() == 3


def test_a_rollback_makes_the_file_again_of_the_bytes_that_were_deployed(stage: Stage) -> None:
    for remark in ("one a", "one b"):
        stage.deploy(remark)
    before = len(stage.compiled)
    asyncio.run(stage.bench.deploys.rollback("account", None))

    assert stage.compiled[before:] == [component_text("Account", remark="one a").encode()]
    assert Path(stage.bench.rollout.runs["account"].compiled).exists()
    assert not list(stage.bench.directory.uploads.iterdir())


def test_what_a_rollback_has_made_again_is_not_swept_before_it_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another function's deploy may end at any moment, and sweeps then."""
    for remark in ("one a", "one b"):
        stage.deploy(remark)
    prepare = stage.bench.rollout.prepare

    async def sweep_and_prepare(deployment: Deployment) -> None:
        stage.store.sweep()
        await prepare(deployment)

    monkeypatch.setattr(stage.bench.rollout, "prepare", sweep_and_prepare)
    asyncio.run(stage.bench.deploys.rollback("account", None))

    assert Path(stage.bench.rollout.runs["account"].compiled).exists()


def test_a_rollback_to_a_damaged_component_says_so_and_leaves_what_runs(stage: Stage) -> None:
    for remark in ("one a", "one b"):
        stage.deploy(remark)
    first = hashlib.sha256(component_text("Account", remark="one a").encode()).hexdigest()
    (stage.bench.directory.components / f"{first}.wasm.zst").write_bytes(b"damaged")

    with pytest.raises(InvalidComponentError, match="deploy it again"):
        asyncio.run(stage.bench.deploys.rollback("account", None))
    assert stage.bench.rollout.runs["account"].version == 2
    assert not list(stage.bench.directory.uploads.iterdir())


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"damaged"), Path.unlink], ids=["damaged", "gone"])
def test_what_runs_is_deployed_again_to_mend_its_component(stage: Stage, damage: Callable[[Path], object]) -> None:
    """As `holdfast verify` says, which finds it; nothing is switched, so it was as it was."""
    stage.deploy("one a")
    files = ComponentFiles(stage.bench.directory.components)
    sha256 = hashlib.sha256(component_text("Account", remark="one a").encode()).hexdigest()
    packed = files.find(sha256)
    assert packed is not None
    damage(packed)
    was_whole = files.is_whole(sha256)
    stage.deploy("one a")

    assert not was_whole
    assert files.is_whole(sha256)
    assert stage.bench.rollout.runs["account"].version == 1


def test_a_component_that_somebody_brings_is_not_packed_under_its_compiler(stage: Stage) -> None:
    stage.deploy("one a")
    sha256 = hashlib.sha256(component_text("Account", remark="one a").encode()).hexdigest()
    plain = stage.bench.directory.components / f"{sha256}.wasm"
    plain.write_text(component_text("Account", remark="one a"))

    async def play() -> None:
        with stage.store.bringing(sha256):
            await stage.store._pack()
            assert plain.exists()
        await stage.store._pack()
        assert not plain.exists()

    asyncio.run(play())


def test_a_component_that_is_deployed_again_while_it_is_packed_is_still_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two functions, or two versions, of the same bytes: the one removed what the other had just written."""
    content = component_text("Account", remark="one a")
    written, go_on = threading.Event(), threading.Event()

    def write(path: Path, packed: bytes) -> None:
        write_durably(path, packed)
        written.set()
        assert go_on.wait(10)

    async def play() -> None:
        (upload := stage.bench.directory.uploads / "again").write_text(content)
        packing = asyncio.create_task(stage.store._pack())
        assert await asyncio.to_thread(written.wait, 10)
        taking = asyncio.create_task(stage.store.take(upload, sha256))
        await asyncio.wait([taking], timeout=0.2)
        go_on.set()
        await asyncio.gather(packing, taking)

    stage.deploy("one a")
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    files = ComponentFiles(stage.bench.directory.components)
    files.unpack(sha256, stage.bench.directory.components / f"{sha256}.wasm")
    monkeypatch.setattr(component_files, "write_durably", write)
    asyncio.run(play())

    assert files.find(sha256) is not None
