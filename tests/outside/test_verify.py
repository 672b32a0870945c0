"""`holdfast verify`: what it says of the directory of a host that was killed, and of one that was damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from holdfast_host.storage.data_directory import partition_path
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess


def verify(data: Path, *options: str) -> tuple[int, str]:
    """Exit code, and what was said."""
    done = subprocess.run([HOLDFAST, "verify", str(data), *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def killed(probe_data: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a host of two partitions left that was killed while it worked."""
    data = tmp_path_factory.mktemp("verify") / "data"
    shutil.copytree(probe_data(2), data)
    host = HostProcess(data, "--workers", "2")
    host.start()
    try:
        with host.caller() as caller:
            for number in range(20):
                caller.call("Probe", f"p{number}", "put", "k", "x" * number)
            caller.call("Probe", "p1", "arm", 1, 3600)
            assert caller.request("PUT", "/v1/secrets/WORD", b'{"value":"open"}').status == 201
    finally:
        host.kill_all()
    return data


@pytest.fixture
def data(killed: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(killed, tmp_path / "data")
    return tmp_path / "data"


def test_what_a_killed_host_leaves_is_well(data: Path) -> None:
    code, said = verify(data)
    assert code == 0, said
    lines = said.splitlines()
    assert lines[:3] == ["registry: 1 function", "components: 1 component", "secrets: 1 secret"]
    assert [line.partition(":")[0] for line in lines[3:6]] == ["tokens", "partition 00", "partition 01"]
    assert lines[-1] == "All is well."
    code, said = verify(data, "--json")
    found = [json.loads(line) for line in said.splitlines()]
    assert (code, sum(each["counts"].get("instances", 0) for each in found)) == (0, 20)
    assert sum(each["counts"].get("alarms", 0) for each in found) == 1


def test_a_directory_with_a_host_in_it_is_refused(start_probe_host: StartHost) -> None:
    host = start_probe_host()
    code, said = verify(host.data)
    assert code == 2
    assert f"is held by the host with pid {host.pids()['supervisor'][0]}" in said


def test_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    assert verify(tmp_path) == (2, f"holdfast: {tmp_path} is no data directory: it has no format.json\n")
    assert verify(tmp_path / "absent")[0] == 2


def _cut_short(data: Path) -> None:
    path = partition_path(data, 0) / "data.mdb"
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(data: Path) -> None:
    path = partition_path(data, 0) / "data.mdb"
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 2 * 4096))


def _change_component(data: Path) -> None:
    [component] = (data / "components").iterdir()
    with component.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\1\2\3")


def _flip(data: Path, pattern: str, at: int) -> None:
    """One byte of the only file of that name is another."""
    [path] = data.glob(pattern)
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 0xFF,)))


def _lose_name(data: Path) -> None:
    """The last name row of a partition is gone, and what is stored under it is not."""
    env = lmdb.open(str(partition_path(data, 0)), map_size=1 << 30)
    with env.begin(write=True) as txn, txn.cursor() as cursor:
        assert cursor.set_range(b"\2")
        assert cursor.prev()
        assert cursor.key()[:1] == b"\1"
        assert cursor.delete()
    env.close()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file cut short": (_cut_short, "was cut short"),
    "pages that are none": (_overwrite, "partition 00: damaged"),
    "a partition that is gone": (lambda data: shutil.rmtree(partition_path(data, 1)), "it is gone, and what it held"),
    "another component": (_change_component, "is not what was deployed; deploy it again"),
    "no component": (lambda data: shutil.rmtree(data / "components"), "cannot be read"),
    "no registry": (lambda data: shutil.rmtree(data / "registry"), "registry.sqlite3 is gone"),
    "a registry that is none": (
        lambda data: (data / "registry" / "registry.sqlite3").write_bytes(b"not a database" * 1000),
        "registry: damaged",
    ),
    "a byte of the registry": (lambda data: _flip(data, "registry/registry.sqlite3", 4096), "registry: damaged"),
    "a byte of a component": (lambda data: _flip(data, "components/*", -1), "is not what was deployed"),
    "a byte of a secret": (lambda data: _flip(data, "secrets/sealed.json", -8), "secrets: damaged"),
    "a byte of a meta page": (lambda data: _flip(data, "parts/00/data.mdb", 16), "partition 00: damaged"),
    "a byte of the front's numbers": (lambda data: _flip(data, "registry/fronts.json", 0), "fronts.json"),
    "a quarantine that is none": (
        lambda data: (data / "registry" / "quarantine.json").write_text("[[1]]"),
        "remove it, which lifts every quarantine",
    ),
    "a name without which nobody finds what is stored": (_lose_name, "are no instance's"),
    "the key of the secrets": (lambda data: (data / "secrets" / "key").unlink(), "secrets: damaged"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_named_and_the_rest_is_looked_at_all_the_same(data: Path, name: str) -> None:
    damage, says = DAMAGES[name]
    damage(data)
    code, said = verify(data)
    assert code == 1, said
    assert says in said, said
    assert "partition 01: " in said
    assert said.splitlines()[-1].startswith(f"{data} is damaged: ")
