"""Instances that may not run because they killed workers again and again; kept in a file of the data directory.

Each death that a guest may have caused is shared out among the instances whose turns ran: alone, an instance has the
whole of it; beside nine others a tenth, so that the one which is there every time is found before its neighbours. One
that has a share of DEATHS_MAX within WINDOW_S is quarantined: its calls get ActorQuarantinedError, its alarm is parked,
until it is released or its function has another version. A function's handler is held to the same rule under the
function's name. A restart of the host lifts nothing: what killed a worker yesterday would kill the new one.

A death by SIGKILL counts for nobody: an operator or the kernel, short of memory, sent it, and whose turn it hit says
nothing about who is to blame; what guests may take of memory has limits of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.storage.data_directory import sync_directory

DEATHS_MAX: Final = 3.0
WINDOW_S: Final = 3_600.0
_RECORDS_MAX: Final = 10_000  # suspects that are remembered; the oldest go

Instance = tuple[int, bytes]  # type number and name; for a function FUNCTION and its name, see wire.running_page
VersionOf = Callable[[Instance], int | None]  # the version that is deployed of what it runs; None where none is


@dataclass(slots=True)
class _Record:
    """What is held against an instance, in the version of its function that ran."""

    version: int
    shares: list[tuple[float, float]] = field(default_factory=list)  # wall clock in seconds, share of that death
    quarantined: bool = False


class Quarantine:
    """The quarantine of one data directory; opened by the supervisor under the directory's lock, used by its thread."""

    def __init__(self, path: Path) -> None:
        """Use `open`."""
        self._path = path
        self._records: dict[Instance, _Record] = {}

    @classmethod
    def open(cls, path: Path) -> Quarantine:
        """Read what is there.

        Raises:
            ConfigurationError: it does not read.
        """
        quarantine = cls(path)
        try:
            rows = json.loads(path.read_bytes())
            for type_id, name, version, shares, quarantined in rows:
                record = _Record(version, [(at_s, share) for at_s, share in shares], bool(quarantined))
                quarantine._records[type_id, name.encode()] = record
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{path} is damaged ({error!r}): remove it, which lifts every quarantine"
            ) from error
        return quarantine

    def blame(self, suspects: Sequence[Instance], version_of: VersionOf) -> list[Instance]:
        """A worker died while these ran; those that are quarantined from now on.

        Args:
            suspects: the instances whose turns ran.
            version_of: what is held against one version is not held against another.

        Raises:
            OSError: it cannot be kept; what was decided holds as long as the host lives.
        """
        now_s = time.time()
        caught = []
        for instance in suspects:
            version = version_of(instance) or 0
            record = self._records.pop(instance, None)
            if record is None or record.version != version:
                record = _Record(version)
            self._records[instance] = record  # the newest last
            record.shares = [(at_s, share) for at_s, share in record.shares if abs(now_s - at_s) < WINDOW_S]
            record.shares.append((now_s, 1 / len(suspects)))
            # A little less, for three thirds are no whole in floating point.
            if not record.quarantined and sum(share for _, share in record.shares) > DEATHS_MAX - 0.001:
                record.quarantined = True
                caught.append(instance)
        while len(self._records) > _RECORDS_MAX:
            del self._records[next(iter(self._records))]
        self._write()
        return caught

    def listed(self, version_of: VersionOf) -> dict[Instance, float]:
        """Those that may not run, given the versions that are deployed now, with the wall clock of their last death."""
        return {
            instance: record.shares[-1][0]
            for instance, record in self._records.items()
            if record.quarantined and version_of(instance) == record.version
        }

    def release(self, instance: Instance) -> bool:
        """Forget everything held against it; whether it was quarantined.

        Raises:
            OSError: it cannot be kept; nothing is released.
        """
        record = self._records.pop(instance, None)
        try:
            self._write()
        except OSError:
            if record is not None:
                self._records[instance] = record
            raise
        return record is not None and record.quarantined

    def _write(self) -> None:
        rows = [
            (type_id, name.decode(), record.version, record.shares, record.quarantined)
            for (type_id, name), record in self._records.items()
        ]
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_directory(self._path.parent)
