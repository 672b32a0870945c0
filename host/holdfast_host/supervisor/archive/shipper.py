"""Shipping: a thread of the supervisor that brings what is committed and deployed into the archive, in rounds.

A round takes the time, reads what every spool has confirmed of what began before, and adds it to the archive as one
frame, which also says where in the spools the next one begins. So a host that is killed at any moment goes on where
its archive ends, and an archive that is gone, full or failing holds up nobody: its spools wait, and the round is made
again from what the archive has.

A partition whose spool has a gap gets another base; until then the moments between are refused by `restore`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast_host.core.durable_files import write_durably
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import MIB
from holdfast_host.storage.archive.frames import ArchiveError, Head, all_heads
from holdfast_host.storage.archive.roots import ArchiveRoot
from holdfast_host.storage.archive.s3 import BucketPath
from holdfast_host.supervisor.archive.base_maker import BaseMaker, store_component
from holdfast_host.supervisor.archive.bases import read_bases
from holdfast_host.supervisor.archive.bucket import ArchiveBucket
from holdfast_host.supervisor.archive.folder import ArchiveFolder, Doubt
from holdfast_host.supervisor.archive.small_files import OtherFiles, read_copy, waiting_copies
from holdfast_host.supervisor.archive.spool_tails import Found, Gap, Tail, drop_read, read_spools, waiting_bytes
from holdfast_host.supervisor.directory.component_files import ComponentFiles

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.directory.layout import DirectoryLayout

ROUND_S: Final = 0.4
_AGAIN_S: Final = 1.0  # after a failure; and how often an idle host says that nothing was committed
_BASE_TRIES: Final = 15  # so often a second later: workers start; then each wait is twice the last one, up to:
_BASE_AGAIN_S_MAX: Final = 600.0
BASE_EVERY_US: Final = 24 * 3_600_000_000
_SEGMENT_BYTES: Final = 64 * MIB
_SEGMENT_US: Final = 3_600_000_000  # whole segments are pruned
LATE_S: Final = 10.0  # so late, the log and readiness speak of it


@dataclass(slots=True)
class _State:
    """Where the archive and the spools are; made anew after every failure, from what the archive has."""

    kept: ArchiveFolder | ArchiveBucket
    tails: dict[int, Tail]
    reached_us: int
    base_us: int  # of the newest base of this data directory; 0: there is none
    gap_us: int = 0  # a base must be later
    latest_us: int = 0  # in the spools, so far: where the clock is set back, they stay there, and so does the horizon
    types: dict[int, str] = field(default_factory=dict)
    segment_us: int = 0
    said_at: float = float("-inf")


class Shipper:
    """The shipping of one host. Its thread is a daemon: one that hangs in a lost disk keeps no host from ending."""

    def __init__(
        self,
        directory: DirectoryLayout,
        root: ArchiveRoot,
        keep_s: float,
        log: EventLog,
        *,
        needs_base: Callable[[], bool] = lambda: False,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """`needs_base()`: something was lost that only another base has; asked once a round, and then forgotten."""
        self._directory = directory
        self._root = root
        self._keep_us = int(keep_s * 1e6)
        self._log = log
        self._needs_base = needs_base
        self._now_us = now_us
        self.folder = directory.root / "archive"
        self.copies = self.folder / "registry"
        self._others = OtherFiles(directory)
        self._state: _State | None = None
        self._bases: BaseMaker | None = None
        self._base_again_at = 0.0
        self._bases_failed = 0  # since the last one that was made
        self._base_failure = ""  # why, once it has failed so often that a start does not explain it
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began_us = now_us()
        self._whole_at = time.monotonic()  # when a round found all that there was; first, when it began
        self._origin = ""
        self._doubt: Doubt | None = None
        self.failure = ""
        self.reached_us = 0
        self.shipped_bytes = 0
        self.bases_made = 0
        self._late = False

    def prepare(self) -> None:
        """Make the folders in the data directory; before any worker starts."""
        self.copies.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, bases: BaseMaker) -> None:
        """Ship from now on."""
        self._bases = bases
        self._thread = threading.Thread(target=self._run, name="holdfast-archive", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ship what is there, and end; False where that takes longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def measures(self) -> JsonObject:
        """For the metrics; any thread."""
        state = self._state
        waiting = waiting_bytes(self._directory.root, range(self._directory.partitions), state.tails if state else {})
        return {
            "lag_s": self.lag_s,
            "failing": bool(self.failure),
            "waiting_bytes": waiting,
            "shipped_bytes": self.shipped_bytes,
            "bases": self.bases_made,
            "base_failing": bool(self._base_failure),
        }

    @property
    def lag_s(self) -> float:
        """For how many seconds what is committed may not be in the archive."""
        by_clock_s = (self._now_us() - (self.reached_us or self._began_us)) / 1e6
        return max(0.0, by_clock_s, time.monotonic() - self._whole_at)  # which no clock that is set back makes less

    @property
    def complaint(self) -> str:
        """What readiness says of it; empty where all is well."""
        if self.lag_s >= LATE_S:
            return f"the archive is {self.lag_s:.0f} s behind" + (f": {self.failure}" if self.failure else "")
        return f"the archive gets no new base: {self._base_failure}" if self._base_failure else ""

    def note_base(self, created_us: int) -> None:
        """One was made; any thread."""
        self.bases_made += 1
        self._bases_failed, self._base_failure = 0, ""
        state = self._state
        if state is not None:
            state.base_us = max(state.base_us, created_us)
        self._log.info("the archive has a new base")

    def note_base_failed(self, error: Exception) -> None:
        """It will be tried again, ever more rarely: each holds up commits, and copies all that there is. Any thread."""
        self._bases_failed += 1
        again_s = min(_AGAIN_S * 2 ** max(0, min(self._bases_failed, 30) - _BASE_TRIES), _BASE_AGAIN_S_MAX)
        self._base_again_at = time.monotonic() + again_s
        if self._bases_failed >= _BASE_TRIES:
            self._base_failure = str(error)
        say = self._log.warning if self._base_failure else self._log.debug
        say("a base for the archive could not be made yet", error=str(error), again_s=again_s)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(_AGAIN_S if self.failure else ROUND_S)
            self.ship()
        self.close()

    def ship(self) -> bool:
        """One round; whether it went well. What failed is in `failure`."""
        try:
            self._round()
        except (OSError, ArchiveError, ConfigurationError, msgspec.DecodeError) as error:
            self._fail(str(error))
            return False
        except Exception as error:  # a bug of ours must be seen, and may pass
            self._fail(f"a bug in the host: {error!r}")
            return False
        if self.failure:
            self._log.info("the archive takes again what is committed")
            self.failure = ""
        if self._late != (late := bool(self.complaint)):
            self._late = late
            if late:
                self._log.warning(self.complaint)
        return True

    def close(self) -> None:
        """Let go of the archive's folder; the thread does it at its end."""
        state, self._state = self._state, None
        if state is not None:
            self._doubt = state.kept.doubt or self._doubt
            state.kept.close()

    def _fail(self, reason: str) -> None:
        if reason != self.failure:
            self._log.warning(f"the archive takes nothing: {reason}", waits_in=str(self.folder / "spool"))
        self.failure = reason
        self._others.forget()
        self.close()

    def _round(self) -> None:
        state = self._state
        if state is None:
            state = self._state = self._open()
        horizon_us = max(self._now_us(), state.reached_us, state.latest_us)
        self._ship_small(state)
        data, partitions = self._directory.root, range(self._directory.partitions)
        found = read_spools(data, partitions, state.tails, horizon_us)
        state.latest_us = max(state.latest_us, found.latest_us)
        for gap in found.gaps:
            self._ship_gap(state, gap)
        if found.whole:
            state.reached_us = max(state.reached_us, horizon_us)
        if found.records or found.gaps:
            self._ship_records(state, found)
        now = time.monotonic()
        if found.whole and (found.records or found.gaps or now - state.said_at >= _AGAIN_S):
            state.kept.say_reached(state.reached_us)
            state.said_at = now
        self.reached_us = state.reached_us
        if found.whole:
            self._whole_at = now
        drop_read(data, state.tails)
        self._make_base(state, stopped=found.stopped, horizon_us=horizon_us)

    def _open(self) -> _State:
        origin_file = self.folder / "origin"
        known = origin_file.exists() and origin_file.read_text().split("\n")[1:2] == [str(self._root)]
        origin = origin_file.read_text().split("\n")[0] if known else self._origin or uuid.uuid4().hex
        kept = self._open_target(origin, make=not known)
        self._doubt = None
        try:
            if not known:
                write_durably(origin_file, f"{origin}\n{self._root}".encode())
            self._origin = origin
            last = kept.last if kept.last is not None and kept.last.origin == self._origin else None
            bases = [base for base in read_bases(self._root) if base.origin == self._origin]
            state = _State(kept, {}, 0, bases[-1].created_us if bases else 0)
            if last is not None:
                state.tails = {partition: Tail(*at) for partition, at in last.positions.items()}
                state.reached_us = last.horizon_us
                state.types = last.types
                state.segment_us = last.horizon_us
                state.gap_us = max(0, last.gap_us)
            if last is not None and last.gap_us < 0:  # of a release that did not tell it in each frame
                heads = all_heads(self._root, bases[-1].seq) if bases else ()
                gaps = [each.last_us for each in heads if each.kind == "gap" and each.origin == self._origin]
                state.gap_us = max(gaps, default=0)
            return state
        except BaseException:
            kept.close()
            raise

    def _open_target(self, origin: str, *, make: bool) -> ArchiveFolder | ArchiveBucket:
        if isinstance(self._root, BucketPath):
            return ArchiveBucket.open(self._root, make=make, origin=origin)
        return ArchiveFolder.open(self._root, make=make, doubt=self._doubt)

    def _append(self, state: _State, content: Any, head: Head) -> None:
        kept = state.kept
        if kept.segment_bytes >= _SEGMENT_BYTES or head.horizon_us // _SEGMENT_US != state.segment_us // _SEGMENT_US:
            kept.end_segment()
            state.segment_us = head.horizon_us
            self._prune(kept)
        head.positions = {number: (at.file, at.offset, at.group, at.at_us) for number, at in state.tails.items()}
        head.types, head.gap_us = state.types, state.gap_us
        self.shipped_bytes += kept.append(head, content)

    def _prune(self, kept: ArchiveFolder | ArchiveBucket) -> None:
        if self._keep_us:
            try:
                kept.prune(self._now_us() - self._keep_us)
            except (OSError, ArchiveError) as error:
                self._log.warning("the archive was not pruned", error=str(error))

    def _ship_small(self, state: _State) -> None:
        """What belongs to the registry; before the commits that may rest on it."""
        for at_us, path in waiting_copies(self.copies):
            copy = read_copy(path)
            for sha256 in copy.components:
                source = ComponentFiles(self._directory.components).find(sha256)
                if source is not None:
                    store_component(source, sha256, self._root)
            state.types = {**state.types, **copy.types}
            self._append(state, copy.files, self._head(state, "files", at_us, at_us, components=copy.components))
            path.unlink()
        for at_us, name, content in self._others.changed():
            self._append(state, {name: content}, self._head(state, "files", at_us, at_us))

    def _ship_gap(self, state: _State, gap: Gap) -> None:
        from_us = max(gap.from_us, state.reached_us)  # all that was acknowledged before is there
        state.gap_us = max(state.gap_us, gap.to_us)
        self._append(state, {}, self._head(state, "gap", from_us, gap.to_us, partition=gap.partition))

    def _ship_records(self, state: _State, found: Found) -> None:
        state.tails = found.tails
        times = [record.at_us for _, record in found.records] or [state.reached_us]
        self._append(state, found.records, self._head(state, "records", min(times), max(times)))

    def _head(self, state: _State, kind: str, first_us: int, last_us: int, **more: Any) -> Head:
        return Head(0, kind, self._origin, first_us, last_us, state.reached_us, **more)

    def _make_base(self, state: _State, *, stopped: bool, horizon_us: int) -> None:
        bases = self._bases
        if self._needs_base():
            state.gap_us = max(state.gap_us, horizon_us)
        if bases is None or bases.under_way or self._stop.is_set() or time.monotonic() < self._base_again_at:
            return
        old = horizon_us - state.base_us >= BASE_EVERY_US
        if stopped or old or state.base_us < state.gap_us:
            bases.start(self._root, self._origin, state.kept.seq, max(horizon_us, state.gap_us))
