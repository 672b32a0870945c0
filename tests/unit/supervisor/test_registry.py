"""The registry on disk."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.supervisor.registry.records import VersionRecord
from holdfast_host.supervisor.registry.registry import Registry, now_us
from holdfast_host.wire.control.catalog import ActorType, Binding, Deployment, Method

ACCOUNT = ActorType("Account", 1, (Method("deposit", "(amount: int) -> dict", "Add."),), "An account.", ("alarm",))


def version(number: int, folder: Path) -> VersionRecord:
    deployment = Deployment(
        function="account",
        func_id="fn_1",
        version=number,
        sha256=f"{number:064x}",
        compiled=str(folder / f"{number}.cwasm"),
        types=(ACCOUNT,),
        bindings=(Binding("ACCOUNT", "Account"),),
        variables={"GREETING": "hello"},
        memory_bytes_max=1 << 25,
        method_timeout_s=2.5,
    )
    return VersionRecord(deployment, "name = ...", {"actors": []}, now_us())


def test_a_version_reads_back_as_it_was_recorded(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "r", tmp_path)
    recorded = version(1, tmp_path)
    registry.commit_version(recorded)
    registry.close()

    registry = Registry.open(tmp_path / "r", tmp_path)

    assert registry.version("fn_1", 1) == recorded
    registry.close()


def test_a_moved_data_directory_finds_its_compiled_files(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "r", tmp_path)
    registry.commit_version(version(1, tmp_path))
    registry.close()

    registry = Registry.open(tmp_path / "r", tmp_path / "elsewhere")

    assert registry.current()[0].compiled == str(tmp_path / "elsewhere" / "1.cwasm")
    registry.close()


def test_the_number_of_the_catalog_grows_with_every_change_and_across_restarts(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "r", tmp_path)
    numbers = [registry.catalog().number]
    registry.commit_version(version(1, tmp_path))
    numbers.append(registry.catalog().number)
    registry.commit_version(version(2, tmp_path))
    registry.close()
    registry = Registry.open(tmp_path / "r", tmp_path)
    numbers.append(registry.catalog().number)
    registry.commit_removal("fn_1")
    numbers.append(registry.catalog().number)
    registry.close()

    assert numbers == sorted(set(numbers))


def test_a_change_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "r", tmp_path)
    registry.commit_version(version(1, tmp_path))
    with pytest.raises(sqlite3.IntegrityError):
        registry.commit_version(version(1, tmp_path))

    record = registry.named("default", "account")
    assert record is not None
    assert (record.current, len(registry.versions("fn_1"))) == (1, 1)
    registry.commit_version(version(2, tmp_path))
    registry.close()


def test_what_is_recorded_survives_a_kill_right_after(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tests.unit.supervisor.test_registry import Registry, version\n"
        "folder = Path(sys.argv[1]); registry = Registry.open(folder / 'r', folder)\n"
        "for number in range(1, 100):\n"
        "    registry.commit_version(version(number, folder)); print(number, flush=True)\n"
        "    if number == 7: os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[3], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL

    registry = Registry.open(tmp_path / "r", tmp_path)
    assert [each.version for each in registry.current()] == [int(done.stdout.split()[-1])]
    registry.close()


def test_a_registry_of_another_format_is_refused(tmp_path: Path) -> None:
    Registry.open(tmp_path / "r", tmp_path).close()
    other = sqlite3.connect(tmp_path / "r")
    other.execute("UPDATE about SET value = 99 WHERE name = 'format'")
    other.commit()
    other.close()

    with pytest.raises(ConfigurationError, match="format 99"):
        Registry.open(tmp_path / "r", tmp_path)


def test_a_damaged_registry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(os.urandom(8192))

    with pytest.raises(ConfigurationError, match="cannot be read"):
        Registry.open(tmp_path / "r", tmp_path)
