"""What fails, and what must come of it: for the caller, for what was acknowledged, for the next start."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.shim import Faults, WallClock
from tests.harness.caller import Answer, NoAnswerError
from tests.harness.host import HOLDFAST, HostProcess

NAMES = [f"name-{number}" for number in range(8)]
END_S = 20.0


class SkippedError(Exception):
    """This machine does not allow the case."""


@dataclass(frozen=True, slots=True)
class Case:
    """`run(data, folder)` gets a data directory with the probe deployed and room for its own; what it saw, briefly.

    It raises AssertionError where what must hold does not.
    """

    name: str
    expected: str
    run: Callable[[Path, Path], str]


def _hosted(data: Path, *options: str, **environment: str) -> HostProcess:
    return HostProcess(data, "--workers", "1", *options, environment=environment)


def _increment_all(host: HostProcess) -> list[Answer | None]:
    """One durable call to each name at the same time; None where there was no answer."""

    def call(name: str) -> Answer | None:
        with host.caller(timeout_s=40.0) as caller:
            try:
                return caller.call("Probe", name, "increment")
            except NoAnswerError:
                return None

    with ThreadPoolExecutor(len(NAMES)) as pool:
        return list(pool.map(call, NAMES))


def _values(host: HostProcess) -> list[int]:
    with host.caller() as caller:
        return [caller.value("Probe", name, "get", "n", 0) for name in NAMES]


def _wait_for_end(host: HostProcess) -> int:
    """The exit code of a host that must end by itself, and leave nothing."""
    code = host.wait(END_S)
    host.assert_nothing_left()
    return code


def _errors(answers: list[Answer | None]) -> str:
    return ", ".join(sorted({"no answer" if each is None else each.error or "200" for each in answers}))


def _disk(what: str, where: str, code: int, *, ends: bool, after: int = 0) -> Callable[[Path, Path], str]:
    """The disk fails under 8 callers. `ends`: the host stops for it; else it goes on, and works again once healed."""

    def run(data: Path, folder: Path) -> str:
        faults = Faults(folder / "rules")
        faults.heal()
        host = _hosted(data, **faults.environment)
        host.start()
        try:
            acknowledged = [0] * len(NAMES)
            for _ in range(3):
                acknowledged = [answer.value for answer in _increment_all(host) if answer is not None]
            faults.fail(what, where, code, after=after)
            answers: list[Answer | None] = []
            for _ in range(after + 1):
                answers = _increment_all(host)
                acknowledged = _acknowledge(acknowledged, answers)
                if not all(answer is not None and answer.status == 200 for answer in answers):
                    break
            told = _errors(answers)
            if ends:
                try:
                    exit_code = _wait_for_end(host)
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"the host goes on after {told}") from None
                assert exit_code == 1, f"the host ended with {exit_code}"
                assert "ActorOutputGateError" in told or "no answer" in told, told
                faults.heal()
                host.start()
            else:
                assert host.is_running
                faults.heal()
            found = _values(host)
            _check_found(found, acknowledged, answers)
            assert all(answer is not None and answer.status == 200 for answer in _increment_all(host))
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
    with _hosted(data, "--limit", "map_bytes=4194304") as host, host.caller() as caller:
        answers = [caller.call("Probe", "hog", "put_big", f"k{number}", 200_000) for number in range(40)]
        assert answers[0].status == 200
        assert answers[-1].error == "StorageFullError", answers[-1]
        written = sum(answer.status == 200 for answer in answers)
        kept = [caller.value("Probe", "hog", "get_big", f"k{number}") for number in range(40)]
        assert kept == [200_000 if answer.status == 200 else 0 for answer in answers], kept
        assert all(caller.call("Probe", "hog", "delete", f"k{number}").status == 200 for number in range(40))
        again = caller.call("Probe", "other", "put_big", "k", 200_000)
        assert again.status == 200, again
    with _hosted(data, "--limit", "map_bytes=4194304") as host, host.caller() as caller:
        assert caller.value("Probe", "other", "get_big", "k") == 200_000
    return f"{written} writes, then StorageFullError; deletes made room"


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
        host = _hosted(moved, "--limit", "disk_reserve_bytes=1048576")
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
        outcome = _start_that_may_fail(moved, "--limit", "disk_reserve_bytes=1048576")
        (disk / "stranger").unlink()
        with _hosted(moved) as healed, healed.caller() as caller:
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


def _start_that_may_fail(data: Path, *options: str) -> str:
    """Start a host where it perhaps cannot; it must be ready or end, soon, with a sentence and no traceback."""
    host = _hosted(data, *options)
    began = time.monotonic()
    try:
        host.start()
    except AssertionError:
        assert not host.is_running
        assert time.monotonic() - began < END_S, "it took too long to give up"
        host.assert_nothing_left()
        code = host.wait()
        assert code in {1, 2}, f"the host ended with {code}"
        assert "Traceback" not in host.log, host.log
        return f"ended with {code}: {_last_sentence(host.log)}"
    host.stop()
    return "came up"


def _last_sentence(log: str) -> str:
    lines = [line for line in log.splitlines() if line.startswith("Error:") or " error " in line or '"error"' in line]
    return (lines or log.splitlines() or [""])[-1][-160:]


def _read_only(data: Path, folder: Path) -> str:
    with small_disk(folder / "disk", f"{(_size_of(data) >> 20) + 8}m") as disk:
        moved = _moved(data, disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        seen = _start_that_must_fail(moved, folder)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with _hosted(moved) as host:
            assert _values(host) == [0] * len(NAMES)
    return seen


def _start_that_must_fail(data: Path, folder: Path) -> str:
    linked = folder / "linked"  # the harness writes its files beside the data directory
    linked.symlink_to(data)
    outcome = _start_that_may_fail(linked)
    assert outcome.startswith("ended"), outcome
    return outcome


def _damaged(damage: Callable[[Path], None], *, survives: bool = False) -> Callable[[Path, Path], str]:
    """A file is not what it was; the host says so and ends, or does not need it."""

    def run(data: Path, folder: Path) -> str:
        damage(data)
        outcome = _start_that_may_fail(data)
        if survives:
            assert outcome == "came up", outcome
        else:
            assert outcome.startswith("ended"), outcome
        return outcome

    return run


def _truncate(name: str, size: int) -> Callable[[Path], None]:
    return lambda data: os.truncate(data / name, size)


def _noise(name: str) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        (data / name).write_bytes(b"\xa5" * 65_536)

    return damage


def _foreign_files(data: Path) -> None:
    for name in ("parts/README", "parts/00/notes.txt", "compiled/x.cwasm", "uploads/front0-left.wasm", "notes.txt"):
        (data / name).write_text("a stranger's")
    (data / "parts" / "00.new").mkdir()


def _damaged_compiled(data: Path, folder: Path) -> str:
    [compiled] = (data / "compiled").glob("*.cwasm")
    content = bytearray(compiled.read_bytes())
    content[len(content) // 2] ^= 0xFF
    compiled.write_bytes(content)
    with _hosted(data) as host:
        assert _values(host) == [0] * len(NAMES)
        assert "compiling again" in host.log, host.log
    return "recompiled, said in the log"


def _compiled_of_another_version(data: Path, folder: Path) -> str:
    """Another wasmtime would look for another name: nothing is there for it."""
    for path in (data / "compiled").iterdir():
        path.unlink()
    with _hosted(data) as host:
        assert _values(host) == [0] * len(NAMES)
        assert "compiling again" in host.log, host.log
    return "recompiled, said in the log"


def _out_of_descriptors(data: Path, folder: Path) -> str:
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        raise SkippedError("prlimit is not installed (package util-linux)")
    host = HostProcess(data, "--workers", "1", command=(prlimit, "--nofile=96", HOLDFAST))
    host.start()
    try:
        with ExitStack() as opened:
            callers = [opened.enter_context(host.caller(timeout_s=1.0)) for _ in range(200)]
            answered = 0
            for caller in callers:
                try:
                    answered += caller.call("Probe", "alice", "nothing").status == 200
                except NoAnswerError:
                    continue
        assert answered > 0
        deadline = time.monotonic() + END_S
        while True:
            try:
                with host.caller(timeout_s=5.0) as caller:
                    assert caller.call("Probe", "alice", "increment").status == 200
                break
            except NoAnswerError:
                assert time.monotonic() < deadline, "it never recovered"
        host.stop()
    finally:
        host.kill_all()
    return f"{answered} of 200 connections answered; all well once they were closed"


def _clock(jump_s: float) -> Callable[[Path, Path], str]:
    """The wall clock jumps under load: budgets, queues and eviction go by the other one."""

    def run(data: Path, folder: Path) -> str:
        clock = WallClock(folder / "clock")
        with _hosted(data, "--limit", "idle_eviction_s=30", **clock.environment) as host, host.caller() as caller:
            first = caller.value("Probe", "alice", "activation_id")
            assert caller.value("Probe", "alice", "increment") == 1
            clock.jump(jump_s)
            time.sleep(0.6)  # two rounds of housekeeping
            assert caller.value("Probe", "alice", "increment") == 2
            assert caller.value("Probe", "alice", "activation_id") == first, "it was evicted by the wall clock"
            assert caller.call("Probe", "alice", "spin", 0.3).status == 200, "a budget went by the wall clock"
            clock.jump(-jump_s)
            assert caller.value("Probe", "alice", "increment") == 3
        return "nothing noticed"

    return run


def cases() -> list[Case]:
    """All of them, the quick ones first."""
    gate, full = "ActorOutputGateError, the host ends with 1", "StorageFullError, goes on"
    ended = "ends with a sentence, does not loop"
    return [
        Case("EIO at the data sync", gate, _disk("sync", "data", errno.EIO, ends=True)),
        Case("EIO at a data write", gate, _disk("write", "data", errno.EIO, ends=True)),
        Case("EIO at the meta page", gate, _disk("write", "meta", errno.EIO, ends=True)),
        Case("ENOSPC at a data write", full, _disk("write", "data", errno.ENOSPC, ends=False)),
        Case("ENOSPC at the meta page", gate, _disk("write", "meta", errno.ENOSPC, ends=True)),
        Case("ENOSPC at the data sync", full, _disk("sync", "data", errno.ENOSPC, ends=False)),
        Case("short data writes", gate, _disk("write", "data", 0, ends=True)),
        Case("EIO at the 3rd data sync", gate, _disk("sync", "data", errno.EIO, ends=True, after=2)),
        Case("EIO at the 3rd meta page", gate, _disk("write", "meta", errno.EIO, ends=True, after=2)),
        Case("map full", full, _map_full),
        Case("disk full", full, _disk_full),
        Case("disk read-only", ended, _read_only),
        Case("data.mdb cut to half a page", ended, _damaged(_truncate("parts/00/data.mdb", 2048))),
        Case("data.mdb cut to nothing", ended, _damaged(_truncate("parts/00/data.mdb", 0))),
        Case("data.mdb of noise", ended, _damaged(_noise("parts/00/data.mdb"))),
        Case("data.mdb gone", ended, _damaged(lambda data: (data / "parts/00/data.mdb").unlink())),
        Case("lock.mdb of noise", "comes up", _damaged(_noise("parts/00/lock.mdb"), survives=True)),
        Case("a partition is a file", ended, _damaged(_partition_is_a_file)),
        Case("format.json torn", ended, _damaged(_truncate("format.json", 5))),
        Case("format.json of another format", ended, _damaged(_another_format)),
        Case("registry cut", ended, _damaged(_truncate("registry/registry.sqlite3", 1000))),
        Case("registry of noise", ended, _damaged(_noise("registry/registry.sqlite3"))),
        Case("strangers' files", "comes up", _damaged(_foreign_files, survives=True)),
        Case("component gone", "comes up", _damaged(_component_gone, survives=True)),
        Case("damaged compiled entry", "recompiled, said in the log", _damaged_compiled),
        Case("compiled entry of another version", "recompiled, said in the log", _compiled_of_another_version),
        Case("out of descriptors", "recovers", _out_of_descriptors),
        Case("clock jumps a year ahead", "nothing noticed", _clock(365 * 86_400.0)),
        Case("clock jumps an hour back", "nothing noticed", _clock(-3_600.0)),
    ]


def _partition_is_a_file(data: Path) -> None:
    shutil.rmtree(data / "parts" / "00")
    (data / "parts" / "00").write_text("a file")


def _another_format(data: Path) -> None:
    (data / "format.json").write_text('{"format": 999, "partitions": 1}')


def _component_gone(data: Path) -> None:
    for path in [*(data / "components").iterdir(), *(data / "compiled").iterdir()]:
        path.unlink()


QUICK = ("EIO at the data sync", "EIO at the meta page", "ENOSPC at a data write", "map full", "damaged compiled entry")
