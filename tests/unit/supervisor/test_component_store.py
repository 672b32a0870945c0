"""Compiled files at a start: what looks unchanged is taken as it is, what does not is looked at."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError, InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.compile_client import CompiledComponent
from holdfast_host.sandbox.components.compiled_store import KeptComponent
from holdfast_host.supervisor.deploys.component_store import ComponentStore
from tests.unit.supervisor.deploying import DeployBench
from tests.unit.supervisor.fake_compile import component_text

SHA256 = hashlib.sha256(b"component").hexdigest()


class Stage:
    """A deployed function whose compiled file was kept as the real compiler keeps it, and a compiler that counts."""

    def __init__(self, bench: DeployBench) -> None:
        bench.deploy("account", component_text("Account"))
        self.bench = bench
        self.compiled = 0
        self.kept = KeptComponent.at(bench.directory.compiled, SHA256)
        self.keep()
        (bench.directory.components / f"{SHA256}.wasm").write_bytes(b"component")
        self.shelf = ComponentStore(bench.directory, bench.registry, self.compile, Limits(), bench.deploys._log)
        self.deployment = replace(bench.rollout.runs["account"], sha256=SHA256, compiled=str(self.kept.compiled))

    def keep(self) -> None:
        draft = self.bench.directory.compiled / "new-1.cwasm"
        draft.write_bytes(b"compiled")
        self.kept.keep(draft, hashlib.sha256(b"compiled").hexdigest(), {})

    async def compile(
        self, component: Path, cache: Path, limits: Limits, on_stage: Callable[[str], None]
    ) -> CompiledComponent:
        self.compiled += 1
        self.keep()
        return CompiledComponent(SHA256, self.kept.compiled, {})

    def ready(self, **options: Any) -> int:
        """How often it was compiled to have it ready."""
        before = self.compiled
        asyncio.run(self.shelf.ready(self.deployment, **options))
        return self.compiled - before


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(DeployBench(tmp_path))


def test_a_file_of_the_size_and_time_that_were_noted_is_not_read(stage: Stage) -> None:
    assert stage.ready() == 0

    stage.kept.compiled.chmod(0)
    assert stage.ready() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.compiled.write_bytes(b"damaged!"),
        lambda kept: kept.compiled.unlink(),
        lambda kept: kept.record.write_text("{"),
        lambda kept: kept.record.unlink(),
        lambda kept: os.utime(kept.compiled),
    ],
    ids=["written", "gone", "record damaged", "record gone", "touched"],
)
def test_anything_else_is_looked_at_again(stage: Stage, change: Callable[[KeptComponent], None]) -> None:
    change(stage.kept)

    assert stage.ready() == 1
    assert stage.ready() == 0


def test_a_doubt_looks_at_it_all_the_same(stage: Stage) -> None:
    assert stage.ready(doubt=True) == 1


def test_a_component_that_is_gone_is_named(stage: Stage) -> None:
    stage.kept.compiled.unlink()
    (stage.bench.directory.components / f"{SHA256}.wasm").unlink()
    with pytest.raises(InvalidComponentError, match="is gone; deploy 'account' again"):
        stage.ready()


def test_a_damaged_file_that_cannot_be_made_again_is_not_left_to_be_loaded(stage: Stage) -> None:
    compiled = Path(stage.bench.rollout.runs["account"].compiled)

    async def fail(*_: object) -> CompiledComponent:
        raise HoldfastError("the compiler is gone")

    bench = stage.bench
    shelf = ComponentStore(bench.directory, bench.registry, fail, Limits(), bench.deploys._log)
    asyncio.run(shelf.restore(doubt=True))

    assert not compiled.exists()
    assert bench.registry.catalog().deployments == ()
    assert bench.show("account")["status"] == "failed"
