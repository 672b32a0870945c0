"""Files of a data directory that are not what the host wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from holdfast_host.worker.logs.ring import LANES
from tests.faults.case import NAMES, Case, hosted, start_that_may_fail, values


def _damaged(name: str, damage: Callable[[Path], None]) -> Callable[[Path, Path], str]:
    """A file is not what it was: the host names it and ends."""

    def run(data: Path, folder: Path) -> str:
        damage(data)
        outcome = start_that_may_fail(data, sentence=name)
        assert outcome.startswith("ended"), outcome
        return outcome

    return run


def _needless(damage: Callable[[Path], None]) -> Callable[[Path, Path], str]:
    """The host does not need what was damaged."""

    def run(data: Path, folder: Path) -> str:
        damage(data)
        outcome = start_that_may_fail(data)
        assert outcome == "came up", outcome
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
    logs = data / "logs" / "w0"
    logs.mkdir(parents=True, exist_ok=True)
    for lane in range(LANES):
        (logs / f"{lane}-notes.log").write_text("a stranger's")
        (logs / f"{lane}-000000009999.log").mkdir()


def _foreign_logs(data: Path, folder: Path) -> str:
    """Lines are kept and shown beside what is none of ours."""
    _foreign_files(data)
    with hosted(data) as host, host.caller() as caller:
        for number in range(20):
            caller.value("Probe", f"n{number}", "say", 1, f"line {number}")
        shown = caller.request("GET", "/v1/logs").text
        assert all(f"line {number}" in shown for number in range(20)), shown
        assert "died" not in host.log, host.log
    return COMES_UP


def _lock_is_a_folder(data: Path) -> None:
    (data / "lock").unlink()
    (data / "lock").mkdir()


def _quarantine_torn(data: Path) -> None:
    (data / "registry" / "quarantine.json").write_text("[[1, ")


def _damaged_compiled(data: Path, folder: Path) -> str:
    [compiled] = (data / "compiled").glob("*.cwasm")
    content = bytearray(compiled.read_bytes())
    content[len(content) // 2] ^= 0xFF
    compiled.write_bytes(content)
    with hosted(data) as host:
        assert values(host) == [0] * len(NAMES)
        assert "compiling again" in host.log, host.log
    return "recompiled, said in the log"


def _compiled_of_another_version(data: Path, folder: Path) -> str:
    """Another wasmtime would look for another name: nothing is there for it."""
    for path in (data / "compiled").iterdir():
        path.unlink()
    with hosted(data) as host:
        assert values(host) == [0] * len(NAMES)
        assert "compiling again" in host.log, host.log
    return "recompiled, said in the log"


def _partition_is_a_file(data: Path) -> None:
    shutil.rmtree(data / "parts" / "00")
    (data / "parts" / "00").write_text("a file")


def _another_format(data: Path) -> None:
    (data / "format.json").write_text('{"format": 999, "partitions": 1}')


def _component_gone(data: Path) -> None:
    for path in [*(data / "components").iterdir(), *(data / "compiled").iterdir()]:
        path.unlink()


ENDS, COMES_UP, RECOMPILED = "ends, names it, does not loop", "comes up", "recompiled, said in the log"
_MDB, _REGISTRY = "parts/00/data.mdb", "registry/registry.sqlite3"

CASES = [
    Case("data.mdb cut to half a page", ENDS, _damaged("parts/00", _truncate(_MDB, 2048))),
    Case("data.mdb cut to nothing", ENDS, _damaged("parts/00", _truncate(_MDB, 0))),
    Case("data.mdb of noise", ENDS, _damaged("parts/00", _noise(_MDB))),
    Case("data.mdb gone", ENDS, _damaged("parts/00", lambda data: (data / _MDB).unlink())),
    Case("a partition's folder gone", ENDS, _damaged("parts/00", lambda data: shutil.rmtree(data / "parts" / "00"))),
    Case("a partition is a file", ENDS, _damaged("parts/00", _partition_is_a_file)),
    Case("lock.mdb of noise", COMES_UP, _needless(_noise("parts/00/lock.mdb"))),
    Case("format.json torn", ENDS, _damaged("format.json", _truncate("format.json", 5))),
    Case("format.json of another format", ENDS, _damaged("format 999", _another_format)),
    Case("registry cut", ENDS, _damaged(_REGISTRY, _truncate(_REGISTRY, 1000))),
    Case("registry of noise", ENDS, _damaged(_REGISTRY, _noise(_REGISTRY))),
    Case("the lock is a folder", ENDS, _damaged("/lock", _lock_is_a_folder)),
    Case("quarantine torn", ENDS, _damaged("quarantine.json", _quarantine_torn)),
    Case("strangers' files", COMES_UP, _needless(_foreign_files)),
    Case("strangers' files among the logs", COMES_UP, _foreign_logs),
    Case("component gone", COMES_UP, _needless(_component_gone)),
    Case("damaged compiled entry", RECOMPILED, _damaged_compiled),
    Case("compiled entry of another version", RECOMPILED, _compiled_of_another_version),
]
