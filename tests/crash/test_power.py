"""The short form of the power cuts; `make crash` is the long one. And that they find a sync that is missing."""

from __future__ import annotations

import faulthandler
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.cuts import Run, cut_often, cut_run, record_run
from tests.crash.power import Record
from tests.crash.setting_up import Setup, cut_setup, record_setup
from tests.harness.components import TestComponent
from tests.harness.projects import write_project
from tests.hostile import wat


@pytest.mark.slow
def test_whatever_a_power_cut_leaves_of_the_writes_between_syncs_opens_and_holds_what_was_acknowledged(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    for seed in (2, 3, 4):  # whether a cut falls into a sweep is chance
        folder = tmp_path / str(seed)
        shutil.copytree(probe_data(1), folder / "data")
        done = cut_often(folder / "data", folder, calls=150, cuts=60, seed=seed)

        assert done.faults == []
        assert done.cuts == 60
        if done.littered:
            break
    else:
        pytest.fail("no cut fell into a sweep")


def test_without_the_sync_of_its_data_a_cut_loses_what_was_acknowledged(
    probe_data: Callable[[int], Path], tmp_path: Path
) -> None:
    shutil.copytree(probe_data(1), tmp_path / "data")
    run = record_run(tmp_path / "data", tmp_path, calls=150, seed=2)
    careless = [record for record in run.records if not (record.kind == "S" and record.path.endswith("data.mdb"))]

    # In a process of its own: LMDB aborts on some of what it then finds.
    look = multiprocessing.get_context("fork").Process(target=_look, args=(run, careless, tmp_path))
    look.start()
    look.join()

    assert look.exitcode != 0


def _look(run: Run, records: list[Record], folder: Path) -> None:
    faulthandler.disable()
    faults, _ = cut_run(replace(run, records=records), folder, cuts=60, seed=2)
    assert not faults


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """A host that was set up on a recorded disk, with a hand-made component of a few kilobytes."""
    folder = tmp_path_factory.mktemp("setup")
    probe = '{"type":"Probe","methods":[{"name":"nothing"}],"private":[]}'
    text = wat.described_as(f'{{"contract":"1.0.0","codec":1,"actors":[{probe}],"fetch":false}}')
    (folder / "probe.wasm").write_bytes(wat.assemble(text))
    project = write_project(folder / "probe", "probe", "", ("PROBE", "Probe"), further='\n[vars]\nGREETING = "hello"\n')
    return record_setup(folder, TestComponent("probe", project, project / "holdfast.toml", folder / "probe.wasm"))


@pytest.mark.slow
def test_a_power_cut_while_a_host_is_set_up_leaves_each_of_its_files_old_or_new(setup: Setup, tmp_path: Path) -> None:
    assert cut_setup(setup, tmp_path / "left", cuts=150, seed=1) == []


def is_of_folder(record: Record) -> bool:
    return "." not in Path(record.path).name


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_missing", [is_of_folder, lambda record: not is_of_folder(record)], ids=["of its folders", "of its files"]
)
def test_without_the_syncs_a_power_cut_leaves_neither(
    setup: Setup, is_missing: Callable[[Record], bool], tmp_path: Path
) -> None:
    careless = [record for record in setup.records if not (record.kind == "S" and is_missing(record))]

    assert cut_setup(replace(setup, records=careless), tmp_path / "left", cuts=60, seed=1)
