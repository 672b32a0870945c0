"""The audit log on disk: numbered, durable before the change, bounded, and mended after a death."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.errors import ConfigurationError, StorageFullError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.core.logs import EventLog
from holdfast_host.storage.data_directory import ensure_data_directory
from holdfast_host.supervisor.audit import audit_log
from holdfast_host.supervisor.audit.audit_log import FILES, AuditLog
from holdfast_host.supervisor.audit.operations import Audit
from holdfast_host.supervisor.verification import verify_directory
from holdfast_host.wire.control.audit import Change, Outcome
from holdfast_host.wire.control.operations import BeginChange, EndChange, ReadAudit

CHANGE = Change("k3fq7wz2ab", "ci", "setSecret", "/v1/secrets/KEY", "192.0.2.1")


def numbers(log: AuditLog, after: int = 0, limit: int = 1_000_000) -> list[int]:
    return [each["number"] for each in log.read(after, limit)]


def test_lines_are_numbered_on_through_restarts_and_read_from_any_of_them(tmp_path: Path) -> None:
    for _ in range(3):
        log = AuditLog.open(tmp_path / "audit", MIB)
        log.append([{"event": "begun"}, {"event": "ended"}])

    assert numbers(log) == [1, 2, 3, 4, 5, 6]
    assert numbers(log, 3) == [4, 5, 6]
    assert numbers(log, 2, 2) == [3, 4]
    assert numbers(log, 6) == []
    [file] = (tmp_path / "audit").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def test_no_file_is_read_for_who_has_seen_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog.open(tmp_path, MIB)
    log.append([{"event": "begun"}])
    monkeypatch.setattr(Path, "open", lambda path, mode: pytest.fail("it was read"))

    assert log.read(1, 100) == []


def test_who_goes_on_page_by_page_reads_no_line_twice(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, 8 * MIB)
    for _ in range(30):
        log.append([{"event": "x" * 1_000} for _ in range(100)])
    kept_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())

    def read_bytes() -> int:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(counts["rchar"])

    before, after, pages = read_bytes(), 0, 0
    while page := log.read(after, 50):
        assert page[0]["number"] == after + 1
        after, pages = page[-1]["number"], pages + 1

    assert (after, pages) == (3_000, 60)
    assert read_bytes() - before < 2 * kept_bytes


@pytest.mark.limit("audit_bytes_max")
def test_so_many_bytes_are_kept_and_the_oldest_lines_go(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, 8_000)
    for _ in range(400):
        log.append([{"event": "x" * 60}])
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8_000
    found = numbers(log)

    assert found == list(range(found[0], 401))
    assert found[0] > 1
    assert len(list(tmp_path.iterdir())) == FILES
    assert numbers(log, 398) == [399, 400]
    assert numbers(AuditLog.open(tmp_path, 8_000)) == found
    assert Limits().audit_bytes_max == 64 * MIB


@pytest.mark.parametrize("torn", [b"{", b'{"number":3,"event":"begun"}', b"\x00" * 40])
def test_what_a_death_left_of_a_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    log = AuditLog.open(tmp_path, MIB)
    log.append([{"event": "begun"}, {"event": "ended"}])
    [file] = tmp_path.iterdir()
    with file.open("ab") as opened:
        opened.write(torn)

    assert numbers(log) == [1, 2]
    again = AuditLog.open(tmp_path, MIB)
    again.append([{"event": "begun"}])
    assert numbers(again) == [1, 2, 3]


def test_a_line_that_somebody_has_damaged_is_said_and_hides_no_other(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, MIB)
    log.append([{"event": "begun"}, {"event": "ended"}, {"event": "begun"}])
    [file] = tmp_path.iterdir()
    first, _, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + b"[]\n" + third)

    assert [each["event"] for each in AuditLog.open(tmp_path, MIB).read(0, 9)] == ["begun", "damaged", "begun"]


def test_a_folder_that_does_not_read_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")

    with pytest.raises(ConfigurationError, match=r"the audit log .* cannot be read"):
        AuditLog.open(tmp_path / "audit", MIB)


class Bench:
    """The operations over a real log."""

    def __init__(self, folder: Path) -> None:
        self.kept = AuditLog.open(folder, MIB)
        self.log = io.StringIO()
        self.audit = Audit(self.kept, EventLog("debug", self.log))

    async def begin(self) -> int:
        return int((await self.audit.perform(BeginChange(CHANGE)))["number"])

    async def read(self, after: int = 0, wait_s: float = 0.0) -> list[Any]:
        return list((await self.audit.perform(ReadAudit(after, 10, wait_s)))["entries"])


def test_who_verifies_the_directory_is_told_of_a_log_that_would_end_the_start(tmp_path: Path) -> None:
    ensure_data_directory(tmp_path, 1)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "0x.ndjson").touch()
    [registry] = [each for each in verify_directory(tmp_path) if each.what == "registry"]

    assert [each for each in registry.faults if each.startswith(f"the audit log {tmp_path / 'audit'} cannot be read")]


def test_a_change_is_on_disk_before_it_begins_and_again_with_its_outcome(tmp_path: Path) -> None:
    async def body() -> None:
        bench = Bench(tmp_path)
        number = await bench.begin()
        assert AuditLog.open(tmp_path, MIB).read(0, 9)[0]["event"] == "begun"
        await bench.audit.perform(EndChange(number, CHANGE, Outcome(404, "UnknownSecretError")))
        begun, ended = await bench.read()

        facts = {
            "token": "k3fq7wz2ab", "name": "ci", "what": "setSecret", "object": "/v1/secrets/KEY", "client": "192.0.2.1"
        }  # fmt: skip
        assert begun == {"number": 1, "at": begun["at"], "event": "begun", **facts}
        assert ended == {
            "number": 2, "at": ended["at"], "event": "ended", "begun": 1, **facts,
            "status": 404, "error": "UnknownSecretError", "details": {},
        }  # fmt: skip

    asyncio.run(body())


def test_changes_of_one_moment_share_a_write_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    append = audit_log.append_durably  # type: ignore[attr-defined]  # looked up where it is used

    def count(path: Path, text: bytes) -> None:
        writes.append(text)
        append(path, text)

    monkeypatch.setattr(audit_log, "append_durably", count)

    async def body() -> None:
        bench = Bench(tmp_path)
        found = await asyncio.gather(*(bench.begin() for _ in range(50)))

        assert found == list(range(1, 51))
        assert len(writes) <= 2

    asyncio.run(body())


def test_a_full_disk_refuses_a_change_before_it_is_made_and_names_what_has_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def body() -> None:
        bench = Bench(tmp_path)
        number = await bench.begin()
        with monkeypatch.context() as full:
            full.setattr(audit_log, "append_durably", refuse)
            with pytest.raises(
                StorageFullError, match=r"the audit log cannot be written: No space.*nothing was changed"
            ):
                await bench.begin()
            await bench.audit.perform(EndChange(number, CHANGE, Outcome(200)))
        again = await bench.begin()

        assert [each["number"] for each in await bench.read()] == [number, again] == [1, 2]
        assert "the audit log cannot be written: it has no outcome of its line 1" in bench.log.getvalue()

    asyncio.run(body())


def test_a_write_that_the_disk_breaks_off_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog.open(tmp_path, MIB)
    log.append([{"event": "begun"}])
    [file] = tmp_path.iterdir()
    before = file.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("holdfast_host.core.durable_files.os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            log.append([{"event": "ended"}])

    assert file.read_bytes() == before
    log.append([{"event": "ended"}])
    assert numbers(log) == [1, 2]


def test_a_reader_waits_for_the_next_line(tmp_path: Path) -> None:
    async def body() -> None:
        bench = Bench(tmp_path)
        reading = asyncio.create_task(bench.read(0, 30.0))
        await asyncio.sleep(0)
        await bench.begin()

        assert len(await asyncio.wait_for(reading, 5)) == 1
        assert await bench.read(1, 0.01) == []

    asyncio.run(body())
