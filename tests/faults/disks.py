"""Disks that fail, are full, or may only be read."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.case import (
    END_S,
    NAMES,
    Case,
    SkippedError,
    errors,
    hosted,
    increment_all,
    start_that_may_fail,
    values,
    wait_for_end,
)
from tests.faults.shim import Faults
from tests.harness import components, processes
from tests.harness.caller import Answer
from tests.harness.deploying import deploy, next_version, try_to_deploy
from tests.harness.host import HostProcess
from tests.harness.partitions import rows_in


def _disk(what: str, where: str, code: int, *, ends: bool, after: int = 0) -> Callable[[Path, Path], str]:
    """The disk fails under 8 callers. `ends`: the host stops for it; else it goes on, and works again once healed."""

    def run(data: Path, folder: Path) -> str:
        faults = Faults(folder / "rules")
        faults.heal()
        host = hosted(data, **faults.environment)
        host.start()
        try:
            acknowledged = [0] * len(NAMES)
            for _ in range(3):
                acknowledged = [answer.value for answer in increment_all(host) if answer is not None]
            faults.fail(what, where, code, after=after)
            answers: list[Answer | None] = []
            for _ in range(after + 1):
                answers = increment_all(host)
                acknowledged = _acknowledge(acknowledged, answers)
                if not all(answer is not None and answer.status == 200 for answer in answers):
                    break
            told = errors(answers)
            if ends:
                try:
                    exit_code = wait_for_end(host)
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"the host goes on after {told}") from None
                assert exit_code == 1, f"the host ended with {exit_code}"
                assert "ActorOutputGateError" in told or "no answer" in told, told
                faults.heal()
                host.start()
            else:
                assert host.is_running
                faults.heal()
            found = values(host)
            _check_found(found, acknowledged, answers)
            assert all(answer is not None and answer.status == 200 for answer in increment_all(host))
            host.stop()
        finally:
            host.kill_all()
        return f"{told}; {'host ended with 1, ' if ends else ''}then {found[0]} of {acknowledged[0]}"

    return run


def _acknowledge(before: list[int], answers: list[Answer | None]) -> list[int]:
    return [
        answer.value if answer is not None and answer.status == 200 else kept
        for kept, answer in zip(before, answers, strict=True)
    ]


def _check_found(found: list[int], acknowledged: list[int], answers: list[Answer | None]) -> None:
    """Everything acknowledged is there; of what was not, at most the one call that was under way."""
    for name, now, told, answer in zip(NAMES, found, acknowledged, answers, strict=True):
        assert now in {told, told + 1}, f"{name}: {told} were acknowledged, {now} found"
        committed_nothing = answer is not None and answer.error in {"StorageFullError", "HostUnavailableError"}
        assert not (committed_nothing and now > told), f"{name}: refused with {answer}, and there all the same"


def _map_full(data: Path, folder: Path) -> str:
    with hosted(data, "--limit", "map_bytes=4194304") as host, host.caller() as caller:
        answers = [caller.call("Probe", "hog", "put_big", f"k{number}", 200_000) for number in range(40)]
        assert answers[0].status == 200
        assert answers[-1].error == "StorageFullError", answers[-1]
        written = sum(answer.status == 200 for answer in answers)
        kept = [caller.value("Probe", "hog", "get_big", f"k{number}") for number in range(40)]
        assert kept == [200_000 if answer.status == 200 else 0 for answer in answers], kept
        assert all(caller.call("Probe", "hog", "delete", f"k{number}").status == 200 for number in range(40))
        again = caller.call("Probe", "other", "put_big", "k", 200_000)
        assert again.status == 200, again
    with hosted(data, "--limit", "map_bytes=4194304") as host, host.caller() as caller:
        assert caller.value("Probe", "other", "get_big", "k") == 200_000
    return f"{written} writes, then StorageFullError; deletes made room"


def _full_while_sweeping(what: str, where: str, *, ends: bool) -> Callable[[Path, Path], str]:
    """No room while the rows of a large `delete_all` are swept. `ends`: the host stops for it; else it sweeps later."""

    def run(data: Path, folder: Path) -> str:
        faults = Faults(folder / "rules")
        faults.heal()
        host = hosted(data, "--limit", "delete_rows_max=5", **faults.environment)
        host.start()
        try:
            with host.caller() as caller:
                for first in range(0, 20_000, 2_000):
                    rows = {f"k{number:06}": 1 for number in range(first, first + 2_000)}
                    caller.value("Probe", "hog", "put_many", rows)
                caller.value("Probe", "hog", "delete_all")
                faults.fail(what, where, errno.ENOSPC)
                if ends:
                    assert wait_for_end(host) == 1
                    faults.heal()
                    host.start()
                else:
                    left = _settled_rows(data)
                    [worker] = host.pids()["worker"]
                    before_s, began_s = processes.cpu_s(worker), time.monotonic()
                    time.sleep(2.0)
                    busy = (processes.cpu_s(worker) - before_s) / (time.monotonic() - began_s)
                    assert busy < 0.3, f"the worker tries again all the time: {busy:.0%} of a core"
                    assert caller.call("Probe", "hog", "everything").value == {}
                    assert caller.call("Probe", "hog", "increment").error == "StorageFullError"
                    assert rows_in(data) == left > 0
                    faults.heal()
            with host.caller() as caller:
                assert caller.value("Probe", "hog", "increment") == 1
            deadline = time.monotonic() + END_S
            while rows_in(data) > 2:
                assert time.monotonic() < deadline, "it sweeps no more"
                time.sleep(0.1)
            host.stop()
        finally:
            host.kill_all()
        return "the host ended with 1, the next one swept" if ends else f"stopped at {left} rows, went on once healed"

    return run


def _settled_rows(data: Path) -> int:
    """How many rows there are once they get no fewer."""
    left = rows_in(data)
    while True:
        time.sleep(0.1)
        left, before = rows_in(data), left
        if left == before:
            return left


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[Path]:
    """A file system of its own."""
    at.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SkippedError(f"no file system may be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False)


def _moved(data: Path, disk: Path) -> Path:
    shutil.copytree(data, disk / "data")
    return disk / "data"


def _size_of(data: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in data.rglob("*"))


def _disk_full(data: Path, folder: Path) -> str:
    """Fill a small disk through the API, then with a stranger's file; a host must come up or say why, and not loop."""
    with small_disk(folder / "disk", f"{(_size_of(data) >> 20) + 24}m") as disk:
        moved = _moved(data, disk)
        host = hosted(moved, "--limit", "disk_reserve_bytes=1048576")
        host.start()
        try:
            with host.caller() as caller:
                written, answer = 0, caller.call("Probe", "hog", "put_big", "k0", 900_000)
                while answer.status == 200 and written < 60:
                    written += 1
                    answer = caller.call("Probe", "hog", "put_big", f"k{written}", 900_000)
                assert answer.error == "StorageFullError", answer
                assert caller.call("Probe", "hog", "delete", "k0").status == 200
                _fill(disk / "stranger")
                full = caller.call("Probe", "other", "increment")
                assert full.error in {"StorageFullError", "ActorOutputGateError"}, full
                assert caller.call("Probe", "hog", "get_big", "k1").value == 900_000
            if host.is_running:
                host.stop()
        finally:
            host.kill_all()
        outcome = start_that_may_fail(moved, "--limit", "disk_reserve_bytes=1048576")
        (disk / "stranger").unlink()
        with hosted(moved) as healed, healed.caller() as caller:
            assert caller.value("Probe", "hog", "get_big", "k1") == 900_000
    return f"{written} writes, then StorageFullError; started again on the full disk: {outcome}"


def _fill(path: Path) -> None:
    size = 1 << 20
    with path.open("wb", buffering=0) as file:
        while size >= 512:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def _read_only(data: Path, folder: Path) -> str:
    with small_disk(folder / "disk", f"{(_size_of(data) >> 20) + 8}m") as disk:
        moved = _moved(data, disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        seen = _start_that_must_fail(moved, folder)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with hosted(moved) as host:
            assert values(host) == [0] * len(NAMES)
    return seen


def _start_that_must_fail(data: Path, folder: Path) -> str:
    linked = folder / "linked"  # the harness writes its files beside the data directory
    linked.symlink_to(data)
    outcome = start_that_may_fail(linked, sentence="not writable")
    assert outcome.startswith("ended"), outcome
    return outcome


def _deploy(what: str, where: str, code: int, expected: str) -> Callable[[Path, Path], str]:
    """The disk fails while a new version is deployed: the old one goes on, and the new one comes once it is healed."""

    def run(data: Path, folder: Path) -> str:
        faults = Faults(folder / "rules")
        faults.heal()
        component = next_version(components.built(components.PROBE), folder)
        with hosted(data, **faults.environment) as host:
            faults.fail(what, where, code)
            told = try_to_deploy(host, component)
            assert told.error == expected, told
            assert _errors_of_all(host) == "200"
            assert _version(host) == 1
            faults.heal()
            deploy(host, component)
        with hosted(data) as host:
            assert _version(host) == 2
            assert values(host) == [1] * len(NAMES)
        return f"{told.error}; version 1 until it was healed"

    return run


def _errors_of_all(host: HostProcess) -> str:
    return errors(increment_all(host))


def _version(host: HostProcess) -> int:
    with host.caller() as caller:
        version: int = caller.request("GET", "/v1/functions/probe").value["version"]
        return version


GATE, FULL, AWAY = "ActorOutputGateError, the host ends with 1", "StorageFullError, goes on", "HostUnavailableError"
RETRIED = f"{AWAY}, goes on"

CASES = [
    Case("EIO at the data sync", GATE, _disk("sync", "data", errno.EIO, ends=True)),
    Case("EIO at a data write", GATE, _disk("write", "data", errno.EIO, ends=True)),
    Case("EIO at the meta page", GATE, _disk("write", "meta", errno.EIO, ends=True)),
    Case("ENOSPC at a data write", FULL, _disk("write", "data", errno.ENOSPC, ends=False)),
    Case("ENOSPC at the meta page", GATE, _disk("write", "meta", errno.ENOSPC, ends=True)),
    Case("ENOSPC at the data sync", FULL, _disk("sync", "data", errno.ENOSPC, ends=False)),
    Case("short data writes", GATE, _disk("write", "data", 0, ends=True)),
    Case("EIO at the 3rd data sync", GATE, _disk("sync", "data", errno.EIO, ends=True, after=2)),
    Case("EIO at the 3rd meta page", GATE, _disk("write", "meta", errno.EIO, ends=True, after=2)),
    Case("ENOSPC while a delete_all is swept", "sweeps later", _full_while_sweeping("write", "data", ends=False)),
    Case("ENOSPC at the sync of a sweep", "sweeps later", _full_while_sweeping("sync", "data", ends=False)),
    Case(
        "ENOSPC at the meta page of a sweep", "the host ends with 1", _full_while_sweeping("write", "meta", ends=True)
    ),
    Case("map full", FULL, _map_full),
    Case("disk full", FULL, _disk_full),
    Case("disk read-only", "ends with a sentence, does not loop", _read_only),
    Case("ENOSPC at an upload", FULL, _deploy("write", "uploads/", errno.ENOSPC, "StorageFullError")),
    Case("EIO at an upload", RETRIED, _deploy("write", "uploads/", errno.EIO, AWAY)),
    Case("EIO at the sync of an upload", RETRIED, _deploy("sync", "uploads/", errno.EIO, AWAY)),
    Case("EIO at the sync of components", RETRIED, _deploy("sync", "components", errno.EIO, AWAY)),
    Case("EIO at a write of the registry", RETRIED, _deploy("write", "registry/", errno.EIO, AWAY)),
    Case("EIO at the sync of the registry", RETRIED, _deploy("sync", "registry/", errno.EIO, AWAY)),
    Case("ENOSPC at a write of the registry", FULL, _deploy("write", "registry/", errno.ENOSPC, "StorageFullError")),
]
