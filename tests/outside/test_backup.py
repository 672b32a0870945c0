"""A backup of a running host: one moment of all workers, whole or refused, and a host that starts from it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import Limits
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from tests.harness.caller import Caller
from tests.harness.fixtures import StartHost
from tests.harness.host import HOLDFAST, HostProcess
from tests.harness.meanwhile import Meanwhile
from tests.harness.mutants import host as mutants

PAIRS = 6


def holdfast(*words: object) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    return subprocess.run([HOLDFAST, *map(str, words)], capture_output=True, text=True, check=False)


def backup(host: HostProcess, file: Path, *options: str) -> None:
    done = holdfast("backup", file, "--host", host.url, *options)
    assert done.returncode == 0, done.stderr


def restore(file: Path, directory: Path, *options: str) -> None:
    done = holdfast("restore", file, directory, *options)
    assert done.returncode == 0, done.stderr


class Pairs(Meanwhile[tuple[str, ...]]):
    """Clients that count at an instance of one worker, then at one of the other: the second never passes the first."""

    def __init__(self, host: HostProcess, type_id: int = 1) -> None:
        self._type_id = type_id
        names = [f"n{number}" for number in range(400)]
        self.names = [
            tuple([name for name in names if partition_of(type_id, name.encode(), 2) == partition][:PAIRS])
            for partition in (0, 1)
        ]
        self.counted = 0
        super().__init__(host, list(zip(*self.names, strict=True)))

    def step(self, caller: Caller, pair: tuple[str, ...]) -> None:
        for name in pair:
            assert caller.call("Probe", name, "increment").status == 200
        self.counted += 1

    def differences_in(self, data: Path) -> list[int]:
        """By how much the first of each pair is ahead of the second, in a restored directory."""
        store = LmdbStore.open(data, range(2), Limits(map_bytes=1 << 30), make=False)
        found = [
            [int(store.get(store.locate(self._type_id, name.encode()), b"n") or b"0") for name in names]
            for names in self.names
        ]
        store.close()
        assert sum(map(sum, found)) > 0
        return [ahead - behind for ahead, behind in zip(*found, strict=True)]


@pytest.mark.slow
def test_a_backup_under_load_is_of_one_moment_in_all_workers(start_probe_host: StartHost, tmp_path: Path) -> None:
    host = start_probe_host(workers=2)
    with Pairs(host) as pairs:
        for number in range(3):
            before = pairs.counted
            backup(host, tmp_path / f"{number}.tar")
            assert pairs.counted > before, "calls go on meanwhile"
    for number in range(3):
        restore(tmp_path / f"{number}.tar", tmp_path / f"data{number}")
        assert set(pairs.differences_in(tmp_path / f"data{number}")) <= {0, 1}


@pytest.mark.slow
def test_without_the_moment_a_backup_has_what_follows_from_what_it_lacks(
    start_probe_host: StartHost, tmp_path: Path
) -> None:
    host = start_probe_host(workers=2, command=mutants.command("snapshot_without_holding"))
    differences: set[int] = set()
    with Pairs(host) as pairs:
        for number in range(2):
            backup(host, tmp_path / f"{number}.tar")
    for number in range(2):
        restore(tmp_path / f"{number}.tar", tmp_path / f"data{number}")
        differences |= set(pairs.differences_in(tmp_path / f"data{number}"))
    assert not differences <= {0, 1}


@pytest.fixture(scope="module")
def taken(
    probe_data: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HostProcess, Path]]:
    """A host that runs, and a backup of it without the key."""
    folder = tmp_path_factory.mktemp("backup")
    shutil.copytree(probe_data(1), folder / "data")
    with HostProcess(folder / "data", "--workers", "1") as host:
        with host.caller() as caller:
            caller.call("Probe", "alice", "put", "k", "x")
            caller.call("Probe", "alice", "arm", 1, 3600)
            assert caller.request("PUT", "/v1/secrets/WORD", b'{"value":"open"}').status == 201
        backup(host, folder / "whole.tar")
        yield host, folder / "whole.tar"


@pytest.mark.slow
def test_a_host_starts_from_a_backup_with_all_that_it_had(taken: tuple[HostProcess, Path], tmp_path: Path) -> None:
    host, file = taken
    assert file.stat().st_mode & 0o777 == 0o600
    restore(file, tmp_path / "data", "--key-file", str(host.data / "secrets" / "key"))
    shutil.copytree(host.data / "compiled", tmp_path / "data" / "compiled")  # it would be made anew
    with HostProcess(tmp_path / "data") as restored, restored.caller() as caller:
        assert caller.call("Probe", "alice", "get", "k").value == "x"
        assert caller.request("GET", "/v1/instances/Probe/alice").value["alarm"]["state"] == "armed"
        assert [each["name"] for each in caller.request("GET", "/v1/secrets").value["secrets"]] == ["WORD"]
        assert caller.request("GET", "/v1/functions").value["functions"][0]["version"] == 1


@pytest.mark.slow
def test_the_key_of_the_secrets_goes_along_only_where_it_is_asked_for(
    taken: tuple[HostProcess, Path], tmp_path: Path
) -> None:
    host, file = taken
    key = (host.data / "secrets" / "key").read_bytes()
    assert key not in file.read_bytes()
    done = holdfast("restore", file, tmp_path / "without")
    assert done.returncode == 1
    assert "key is missing" in done.stderr
    backup(host, tmp_path / "with.tar", "--with-key")
    restore(tmp_path / "with.tar", tmp_path / "data")
    assert (tmp_path / "data" / "secrets" / "key").read_bytes() == key


def test_nothing_of_a_backup_stays_in_the_data_directory(taken: tuple[HostProcess, Path]) -> None:
    host, _ = taken
    assert list((host.data / "backup").iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(taken: tuple[HostProcess, Path], tmp_path: Path) -> None:
    host, file = taken
    before = file.read_bytes()
    done = holdfast("backup", file, "--host", host.url)
    assert (done.returncode, file.read_bytes()) == (1, before)
    assert "is there already" in done.stderr


def test_a_directory_that_holds_something_is_left_alone(taken: tuple[HostProcess, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("dear")
    done = holdfast("restore", taken[1], tmp_path)
    assert (done.returncode, (tmp_path / "mine").read_text()) == (1, "dear")
    assert f"{tmp_path} is not empty" in done.stderr


def test_a_client_that_goes_away_leaves_nothing_and_keeps_nobody_from_the_next_backup(
    taken: tuple[HostProcess, Path], tmp_path: Path
) -> None:
    host, _ = taken
    with host.caller() as caller:
        caller._http.request("POST", "/v1/backup")
        answer = caller._http.getresponse()
        assert answer.status == 200
        assert answer.read(100)
    deadline = 100
    while holdfast("backup", tmp_path / "next.tar", "--host", host.url).returncode != 0:
        deadline -= 1
        assert deadline > 0
    assert list((host.data / "backup").iterdir()) == []


def _member(name: str, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, io.BytesIO(content)


def _forged(target: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(target, "w") as archive:
        for name, content in members:
            archive.addfile(*_member(name, content))


HEAD = ("holdfast-backup.json", json.dumps({"format": 1, "holdfast": "0.1.0", "created_us": 1}).encode())


def _flip(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes((byte[0] ^ 1,)))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (_flip, "is not what the host had"),
    "cut short": (lambda file: os.truncate(file, file.stat().st_size // 2), "damaged"),
    "its end": (lambda file: os.truncate(file, file.stat().st_size - 1536), "is damaged"),
    "its last file": (lambda file: _forged(file, HEAD, ("format.json", b"{}")), "broke off, or was cut short"),
    "nothing": (lambda file: os.truncate(file, 0), "is no backup, or is damaged: empty file"),
    "no archive": (lambda file: file.write_bytes(b"hello" * 1000), "is no backup, or is damaged"),
    "another archive": (lambda file: _forged(file, ("a", b"")), "does not begin with holdfast-backup.json"),
    "a later format": (
        lambda file: _forged(file, (HEAD[0], b'{"format": 2, "holdfast": "9.0"}')),
        "has backup format 2, this release reads format 1: restore it with release 9.0 or a later one",
    ),
    "a way out": (lambda file: _forged(file, HEAD, ("../evil", b"")), "holds '../evil', which is no file of a backup"),
    "a lock": (lambda file: _forged(file, HEAD, ("lock", b"")), "holds 'lock', which is no file of a backup"),
    "a failure": (
        lambda file: _forged(file, HEAD, ("failed.json", b'{"error":{"name":"StorageFullError","message":"full"}}')),
        "the host could not finish it: StorageFullError: full",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_no_whole_backup_is_refused_and_leaves_nothing(
    taken: tuple[HostProcess, Path], tmp_path: Path, name: str
) -> None:
    damage, says = DAMAGES[name]
    file = tmp_path / "file.tar"
    shutil.copyfile(taken[1], file)
    damage(file)
    done = holdfast("restore", file, tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Nothing was restored: ")
    assert says in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.tar"]
