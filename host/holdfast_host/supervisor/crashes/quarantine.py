"""Instances that may not run because they killed workers again and again; kept in one document, replaced whole.

Each death that a guest may have caused is shared out among the instances whose turns ran: alone, an instance has the
whole of it; beside nine others a tenth, so that the one which is there every time is found before its neighbours. One
that has a share of DEATHS_MAX within WINDOW_S is quarantined: its calls get ActorQuarantinedError, its alarm is parked,
until it is released or its function has another version. A function's handler is held to the same rule under the
function's name. A restart of the host lifts nothing: what killed a worker yesterday would kill the new one.

Code that kills under whatever name it is called would go on for ever like that. So a death also counts for the versions
of functions that ran, in equal shares, once for each of their instances: one instance with bad data does not make its
version bad, many do. A version that has VERSION_DEATHS_MAX is quarantined with all its instances and its handler. One
a death: where two have that much, the next death says whether it was the other one.

A death by SIGKILL counts for nobody: an operator or the kernel, short of memory, sent it, and whose turn it hit says
nothing about who is to blame; what guests may take of memory has limits of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from holdfast_host.core.errors import ConfigurationError, HoldfastError
from holdfast_host.storage.records import Document, MovedError
from holdfast_host.supervisor.registry.file_document import FileDocument

DEATHS_MAX: Final = 3.0
VERSION_DEATHS_MAX: Final = 6.0  # of a function's version, from as many instances where nothing else ran
WINDOW_S: Final = 3_600.0
_RECORDS_MAX: Final = 10_000  # suspects that are remembered; the oldest go

VERSION: Final = -1  # in place of a type's number: the version of a function, all of it

# Type number and name; for a function's handler FUNCTION of running_turns_page and its name, for all of it VERSION.
Instance = tuple[int, bytes]
DeployedOf = Callable[[Instance], tuple[str, int] | None]  # the function that it runs, and which version is deployed
_SLACK: Final = 0.001  # three thirds are no whole in floating point


@dataclass(slots=True)
class _Record:
    """What is held against an instance, in the version of its function that ran."""

    version: int
    shares: list[tuple[float, float]] = field(default_factory=list)  # wall clock in seconds, share of that death
    quarantined: bool = False

    @property
    def total(self) -> float:
        return sum(share for _, share in self.shares)


class Quarantine:
    """The quarantine of one data directory, or of a store; opened by the supervisor, used by its thread."""

    def __init__(self, kept: Document) -> None:
        """Use `open`."""
        self._kept = kept
        self._records: dict[Instance, _Record] = {}

    @classmethod
    def open(cls, kept: Path | Document) -> Quarantine:
        """Read what is there, in a file or another home.

        Raises:
            ConfigurationError: it does not read.
        """
        quarantine = cls(FileDocument(kept) if isinstance(kept, Path) else kept)
        quarantine.reload()
        return quarantine

    def reload(self) -> None:
        """Read anew what is there: another host may have changed it.

        Raises:
            ConfigurationError: it does not read.
            HostUnavailableError: it cannot be read now; what was read last stays.
        """
        records = {}
        try:
            text = self._kept.read()
            for type_id, name, version, shares, quarantined in [] if text is None else json.loads(text):
                record = _Record(version, [(at_s, share) for at_s, share in shares], bool(quarantined))
                records[type_id, name.encode()] = record
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._kept.place} is damaged ({error!r}): remove it, which lifts every quarantine"
            ) from error
        self._records = records

    def blame(self, suspects: Sequence[Instance], deployed_of: DeployedOf) -> list[Instance]:
        """A worker died while these ran; those that are quarantined from now on, versions among them.

        Args:
            suspects: the instances whose turns ran.
            deployed_of: what is held against one version is not held against another.

        Raises:
            OSError, HostUnavailableError: it cannot be kept; what was decided holds as long as the host lives.
            MovedError: another host has changed it; what it is now has been read, to be decided over.
        """
        now_s = time.time()
        deployed = {each: deployed_of(each) or ("", 0) for each in suspects}
        ran = {function: version for function, version in deployed.values() if function}
        new_in = {owner[0] for each, owner in deployed.items() if not self._renewed(each, owner[1], now_s).shares}
        caught = []
        for each, (_, version) in deployed.items():
            record = self._renewed(each, version, now_s)
            record.shares.append((now_s, 1 / len(suspects)))
            if not record.quarantined and record.total > DEATHS_MAX - _SLACK:
                record.quarantined = True
                caught.append(each)
        worst: tuple[float, Instance] | None = None
        for function, version in ran.items():
            whole = (VERSION, function.encode())
            record = self._renewed(whole, version, now_s)
            if function in new_in:
                record.shares.append((now_s, 1 / len(ran)))
            if not record.quarantined and record.total > VERSION_DEATHS_MAX - _SLACK:
                worst = max(worst or (0.0, whole), (record.total, whole))
        if worst is not None:
            self._records[worst[1]].quarantined = True
            caught.append(worst[1])
        while len(self._records) > _RECORDS_MAX:
            del self._records[next(iter(self._records))]
        self._write()
        return caught

    def _renewed(self, instance: Instance, version: int, now_s: float) -> _Record:
        """What is held against it, in this version and within the window; its record is the newest from here on."""
        record = self._records.pop(instance, None)
        if record is None or record.version != version:
            record = _Record(version)
        self._records[instance] = record
        if not record.quarantined:
            record.shares = [(at_s, share) for at_s, share in record.shares if abs(now_s - at_s) < WINDOW_S]
        return record

    def listed(self, deployed_of: DeployedOf) -> dict[Instance, float]:
        """Those that may not run, given the versions that are deployed now, with the wall clock of their last death."""
        found = {}
        for instance, record in self._records.items():
            deployed = deployed_of(instance) if record.quarantined else None
            if deployed is not None and deployed[1] == record.version:
                found[instance] = record.shares[-1][0]
        return found

    def release(self, *instances: Instance) -> bool:
        """Forget everything held against them; whether one was quarantined.

        Raises:
            OSError, HostUnavailableError: it cannot be kept; nothing is released.
            MovedError: another host has changed it; what it is now has been read, to be decided over.
        """
        records = {each: self._records.pop(each) for each in instances if each in self._records}
        try:
            self._write()
        except MovedError:
            raise  # and all has been read anew
        except (OSError, HoldfastError):
            self._records.update(records)
            raise
        return any(record.quarantined for record in records.values())

    def _write(self) -> None:
        rows = [
            (type_id, name.decode(), record.version, record.shares, record.quarantined)
            for (type_id, name), record in self._records.items()
        ]
        try:
            self._kept.write(json.dumps(rows).encode())
        except MovedError:
            self.reload()
            raise
