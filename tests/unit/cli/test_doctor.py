"""`holdfast doctor`: what it says of machines and directories of every kind, and of this one."""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.cli.commands.doctor import clock_of_host_check
from holdfast_host.cli.doctor import disk, machine
from holdfast_host.cli.doctor.checks import Check, State
from holdfast_host.cli.doctor.collector import collector_checks
from holdfast_host.cli.doctor.directory import directory_checks, owner_check
from holdfast_host.core.limits import GIB, MIB
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.supervisor.directory.lock import DirectoryLock
from tests.unit.cli.scripted_host import scripted_host
from tests.unit.cli.test_commands import run

OK, WARNING, FAULT = State.OK, State.WARNING, State.FAULT
MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:27 / /dev/shm rw,nosuid - tmpfs tmpfs rw
31 22 0:28 / /mnt/a\\040b rw - nfs4 server:/x rw
32 22 0:29 / /mnt/ro ro,relatime - xfs /dev/sdb1 ro
33 22 0:30 / /mnt/fast rw - ext4 /dev/sdc1 rw,nobarrier
34 22 0:31 / /mnt/layer rw - overlay overlay rw
35 34 0:32 / /mnt/layer/data rw - xfs /dev/sdd1 rw
36 22 0:33 / /mnt/ssh rw - fuse.sshfs x rw
"""


def of(checks: Iterator[Check]) -> dict[str, Check]:
    found = {}
    for each in checks:
        assert bool(each.todo) == (each.state is not OK), each
        found[each.what] = each
    return found


@pytest.mark.parametrize(
    ("path", "state", "said"),
    [
        ("/var/lib", OK, "ext4 at /"),
        ("/dev/shm/x", FAULT, "tmpfs at /dev/shm: memory"),
        ("/mnt/a b/c", FAULT, "nfs4 at /mnt/a b: of another machine"),
        ("/mnt/ssh", FAULT, "fuse.sshfs"),
        ("/mnt/ro", FAULT, "read only"),
        ("/mnt/fast", FAULT, "mounted nobarrier"),
        ("/mnt/layer/x", WARNING, "a layer of a container"),
        ("/mnt/layer/data", OK, "xfs at /mnt/layer/data"),
        ("/mnt/layered", OK, "ext4 at /"),
    ],
)
def test_file_systems_that_keep_nothing_are_named(path: str, state: State, said: str) -> None:
    check = disk.kind_check(disk.mount_of(Path(path), MOUNTS))

    assert check.state is state
    assert said in check.said


@pytest.mark.parametrize(
    ("median_s", "state"), [(0.3e-6, FAULT), (2e-6, FAULT), (20e-6, OK), (300e-6, OK), (8e-3, OK), (0.2, WARNING)]
)
def test_a_sync_that_is_sooner_than_any_disk_is_a_fault(median_s: float, state: State) -> None:
    assert disk.judge_sync(median_s).state is state


def test_a_sync_that_is_left_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its rate, whoever leaves it out, and by the name of the best known one."""
    monkeypatch.setattr(disk, "sync_data", lambda descriptor: None)
    left_out = disk.sync_check(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libeatmydata.so")

    assert (left_out.state, disk.sync_check(tmp_path).state) == (FAULT, FAULT)
    assert "keeps nothing over a power cut" in left_out.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "files", "state"),
    [(10 * GIB, 10**6, OK), (10 * GIB, None, OK), (GIB, 10**6, WARNING), (100 * MIB, 10**6, FAULT), (GIB, 7, FAULT)],
)
def test_room_is_judged_by_the_reserve(free: int, files: int | None, state: State) -> None:
    assert disk.judge_room(free, files).state is state


@pytest.mark.parametrize(("hard", "state"), [(-1, OK), (1 << 20, OK), (20_000, WARNING), (256, FAULT)])
def test_open_files_are_judged_by_what_a_front_wants(hard: int, state: State) -> None:
    assert machine.files_check(hard).state is state


@pytest.mark.parametrize(("most", "state"), [(None, OK), (65_530, OK), (1_000, WARNING)])
def test_mappings_are_judged(most: int | None, state: State) -> None:
    assert machine.maps_check(most).state is state


def _machine(root: Path, limit: str, quota: str) -> Path:
    for path, text in {
        "proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n",
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": limit,
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/cpu.max": quota,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("limit", "state", "said"),
    [
        ("max\n", OK, "16 GiB"),
        (f"{4 * GIB}\n", OK, "4 GiB, by the limit of its control group"),
        (f"{768 * MIB}\n", WARNING, "768 MiB, by the limit"),
        (f"{256 * MIB}\n", FAULT, "256 MiB, by the limit"),
    ],
)
def test_memory_is_what_the_control_groups_leave(tmp_path: Path, limit: str, state: State, said: str) -> None:
    check = machine.memory_check(_machine(tmp_path, limit, "max 100000\n"))

    assert check.state is state
    assert said in check.said


@pytest.mark.parametrize(
    ("quota", "state"), [("max 100000\n", OK), ("150000 100000\n", OK), ("50000 100000\n", WARNING)]
)
def test_a_share_of_a_processor_is_named(tmp_path: Path, quota: str, state: State) -> None:
    assert machine.processors_check(_machine(tmp_path, "max", quota), 4).state is state


def test_versions_and_clock_are_judged() -> None:
    assert machine.python_check((3, 10, 1)).state is FAULT
    assert machine.wasmtime_check("49.0.0", "50.0.1").state is FAULT
    assert machine.wasmtime_check("50.0.1", "50.0.1").state is OK
    assert machine.clock_check(1_800_000_000.0, 0.0).state is OK
    assert machine.clock_check(1_800_000_000.0, -3.0).state is WARNING
    assert machine.clock_check(86_400.0, 0.0).state is FAULT


@pytest.mark.parametrize(
    ("date", "state"), [(formatdate(1000), OK), (formatdate(1030), WARNING), (None, WARNING), ("now", WARNING)]
)
def test_the_clock_of_a_host_is_compared_with_the_one_here(date: str | None, state: State) -> None:
    assert clock_of_host_check(date, 1001.5).state is state


def test_a_processor_that_others_have_meanwhile_is_no_jump_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were taken away for a second between two looks, wherever that falls, but once."""
    for taken_at in range(6):
        calls = itertools.count()

        def read(calls: Iterator[int] = calls, taken_at: int = taken_at) -> float:
            return 1000.0 + (next(calls) >= taken_at)

        monkeypatch.setattr(time, "time", read)
        monkeypatch.setattr(time, "monotonic", read)
        assert machine.wall_apart() == 0
        monkeypatch.undo()


def test_a_directory_is_looked_at_while_a_host_holds_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    ensure_data_directory(data, 2)
    free = of(directory_checks(data))
    with DirectoryLock.acquire(data):
        held = of(directory_checks(data))

    assert [free[each].said for each in ("format", "lock")] == ["format 2, 2 partitions", "nobody holds it"]
    assert held["lock"].said.startswith("the host with pid")
    assert {each.state for each in (*free.values(), *held.values())} == {OK}


def test_directories_that_no_host_can_use_are_named(tmp_path: Path) -> None:
    foreign, file, newer, open_ = (tmp_path / each for each in ("foreign", "file", "newer", "open"))
    for each in (foreign, newer, open_):
        each.mkdir(mode=0o700)
    (foreign / "x").touch()
    file.touch()
    (newer / "format.json").write_text('{"format": 99, "partitions": 1}')
    open_.chmod(0o755)

    assert of(directory_checks(foreign))["format"].state is FAULT
    assert of(directory_checks(file))["directory"].state is FAULT
    assert "has format 99" in of(directory_checks(newer))["format"].said
    assert of(directory_checks(open_))["owner"].state is WARNING
    assert owner_check(foreign, os.geteuid() + 1).state is FAULT
    assert of(directory_checks(tmp_path / "a" / "b"))["directory"].state is OK
    assert not (tmp_path / "a").exists()


def test_a_directory_that_this_user_may_not_see_is_a_fault_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, stat = tmp_path / "closed", os.stat
    closed.mkdir()

    def look(path: str | Path, **asked: Any) -> os.stat_result:
        if Path(path).is_relative_to(closed) and Path(path) != closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **asked)

    monkeypatch.setattr(os, "stat", look)
    monkeypatch.setattr(os, "access", lambda path, mode, **_: False)

    assert of(directory_checks(closed / "data"))["directory"].state is FAULT
    assert list(of(directory_checks(closed))) == ["owner"]
    assert run("doctor", "--data", str(closed)).exit_code == 1


def test_a_fault_is_the_exit_code_and_json_has_all_checks(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "foreign").touch()
    text = run("doctor", "--data", str(tmp_path / "data"))
    told = run("doctor", "--data", str(tmp_path / "data"), "--json")
    checks = json.loads(told.stdout)

    assert (text.exit_code, told.exit_code) == (1, 1)
    assert "fault    format: " in text.stdout
    assert {"python", "wasmtime", "open files", "memory", "clock", "owner", "lock", "sync", "room"} <= {
        each["what"] for each in checks
    }
    assert all(set(each) == {"what", "state", "said", "todo"} for each in checks)
    assert sorted(each.name for each in (tmp_path / "data").iterdir()) == ["foreign"]


def test_the_authority_of_a_host_is_named_as_for_other_commands(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no PEM")
    done = run("doctor", "--data", str(tmp_path), "--host", "https://127.0.0.1:1", "--ca", str(tmp_path / "ca.pem"))

    assert f"--ca {tmp_path / 'ca.pem'} cannot be used: it is no certificate in PEM" in done.stderr


def test_a_collector_that_the_variables_name_is_looked_for() -> None:
    endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
    with socket.create_server(("127.0.0.1", 0)) as collector:
        url = f"http://127.0.0.1:{collector.getsockname()[1]}"
        there = of(collector_checks({endpoint: url}))["traces"]
    gone = of(collector_checks({"HOLDFAST_TRACES": url}))["traces"]

    assert (there.state, there.said) == (OK, f"something listens at {url}/v1/traces")
    assert (gone.state, gone.said) == (WARNING, f"{url}/v1/traces: Connection refused")
    assert of(collector_checks({"HOLDFAST_TRACES": "collector"}))["traces"].state is FAULT
    assert of(collector_checks({endpoint: url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}))["traces"].state is WARNING
    assert of(collector_checks({endpoint: url, "HOLDFAST_TRACES": "off"})) == {}
    assert of(collector_checks({})) == {}


def test_a_host_that_does_not_answer_is_a_fault(tmp_path: Path) -> None:
    refusal = {"name": "HostUnavailableError", "message": "worker 0 is down", "retryable": True}
    with scripted_host(503, json.dumps({"error": refusal}).encode()) as host:
        checks = json.loads(run("doctor", "--data", str(tmp_path), "--host", host.url, "--json").stdout)
    gone = json.loads(run("doctor", "--data", str(tmp_path), "--host", "http://127.0.0.1:1", "--json").stdout)

    assert {each["what"]: each["state"] for each in checks}["host"] == "fault"
    assert "No host answers" in {each["what"]: each["said"] for each in gone}["host"]
