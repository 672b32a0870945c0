"""What changes of settings while a host runs; the test plays the children."""

from __future__ import annotations

import asyncio
import errno
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdfast_host.core.config import HostConfig
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor import live_settings
from holdfast_host.supervisor.live_settings import LiveSettings
from holdfast_host.wire.control.edge import NewEdge
from holdfast_host.wire.control.protocol import NewLimits
from tests.harness.certificates import Authority, write_pair
from tests.unit.front.stage import until

OURS = Authority()
FIRST, SECOND, THIRD = (OURS.issue("localhost", common_name=each) for each in ("first", "second", "third"))


@dataclass
class Front:
    """A front, and the child that it is."""

    told: list[Any] = field(default_factory=list)

    @property
    def child(self) -> Front:
        return self

    def send(self, message: Any) -> None:
        self.told.append(message)


def test_whatever_happens_to_the_files_they_are_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A key that is gone as soon as it is read, and a process that has no descriptor left, as they come."""
    cert, key = write_pair(FIRST, tmp_path)
    config = HostConfig.make(data=tmp_path / "data", tls_cert=cert, tls_key=key)
    monkeypatch.setattr(live_settings, "LOOK_S", 0.02)
    read, once = live_settings._read_certificate, ["gone", "full"]

    def read_in_bad_times(config: HostConfig) -> Any:
        found = read(config)
        match once.pop(0) if once else "well":
            case "gone":
                key.unlink()
            case "full":
                raise OSError(errno.EMFILE, "Too many open files")
        return found

    async def play() -> None:
        settings, front = LiveSettings(config, EventLog("info")), Front()
        monkeypatch.setattr(live_settings, "_read_certificate", read_in_bad_times)
        watching = asyncio.create_task(settings.watch([front]))  # type: ignore[list-item] # it has what is asked of it
        write_pair(SECOND, tmp_path)
        await until(lambda: len(front.told) == 1)
        write_pair(THIRD, tmp_path)
        await until(lambda: once == [])
        write_pair(FIRST, tmp_path)
        await until(lambda: len(front.told) == 2)

        assert [each.edge.certificate for each in front.told] == [SECOND, FIRST]
        assert not watching.done()
        watching.cancel()

    asyncio.run(play())
    assert "the TLS certificate stays as it was" in capfd.readouterr().err


def test_limits_that_can_change_go_to_every_child_and_the_others_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also who starts later begins with them: the host's own limits are those."""
    config = HostConfig.make(data=tmp_path)
    wanted = HostConfig.make(data=tmp_path, limits=["queue_timeout_s=5", "nesting_max=50"])

    async def play() -> None:
        settings, front, worker = LiveSettings(config, EventLog("info"), lambda: wanted), Front(), Front()
        watching = asyncio.create_task(settings.watch([front], [worker]))  # type: ignore[list-item]
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGHUP)
        await until(lambda: len(worker.told) == 1)
        assert [type(each) for each in front.told] == [NewEdge, NewLimits]
        assert worker.told == [NewLimits(config.limits)]
        watching.cancel()

    asyncio.run(play())
    said = capfd.readouterr().err
    assert (config.limits.queue_timeout_s, config.limits.nesting_max) == (5.0, 100)
    assert 'a changed setting holds only after a restart setting="limit nesting_max"' in said
    assert "queue_timeout_s" in said


def test_sighup_does_not_end_a_host_that_is_still_starting_and_is_seen_to_once_it_runs(tmp_path: Path) -> None:
    config = HostConfig.make(data=tmp_path)
    wanted = HostConfig.make(data=tmp_path, limits=["queue_timeout_s=5"])
    before = signal.getsignal(signal.SIGHUP)

    async def play(settings: LiveSettings) -> None:
        worker = Front()
        watching = asyncio.create_task(settings.watch([], [worker]))  # type: ignore[list-item]
        await until(lambda: len(worker.told) == 1)
        watching.cancel()
        assert worker.told == [NewLimits(config.limits)]

    settings = LiveSettings(config, EventLog("info"), lambda: wanted)
    with settings.keeping_asks():
        signal.raise_signal(signal.SIGHUP)
        asyncio.run(play(settings))

    assert config.limits.queue_timeout_s == 5.0
    assert signal.getsignal(signal.SIGHUP) == before


def test_without_settings_to_read_anew_sighup_is_what_it_was(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGHUP)
    settings = LiveSettings(HostConfig.make(data=tmp_path), EventLog("info"))
    with settings.keeping_asks():
        assert signal.getsignal(signal.SIGHUP) == before
    assert not settings.can_reread
