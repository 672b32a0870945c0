"""`python -m tests.harness.mutants.worker MUTATIONS FD`: the real worker, with some of its seams patched first.

It asserts that what is the leader's is called by the thread that leads (`leader_guard`), whatever else is patched.
MUTATIONS are separated by commas, each a function's name in `_MUTATIONS`, with `=PATH` where it takes a file.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from holdfast_host.core.errors import StorageFullError
from holdfast_host.storage.leans import NO_LEANS, Leans
from holdfast_host.storage.lmdb.lmdb_store import LmdbStore
from holdfast_host.storage.store import Batch, CommitReport, StoreBrokenError, StoredInstance
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.worker import main as worker_main
from holdfast_host.worker import opening, worker
from holdfast_host.worker.commits.backup import BackupCut
from holdfast_host.worker.commits.committer import Committer
from holdfast_host.worker.commits.gate import Gate
from holdfast_host.worker.running.runner import TurnRunner
from holdfast_host.worker.threads.leadership import Leadership
from holdfast_host.worker.turns.directory import Directory
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.keyed_turn import KeyedTurn
from holdfast_host.worker.turns.turn import Turn
from tests.harness import leader_guard
from tests.harness.mutants import alarms, jobs, sockets

_LOOK_S: Final = 0.002


# Disks that can be told what to do.


def hold_commits(path: Path) -> None:
    """While the file exists, a commit does not come back, as on a disk that takes its time; others go on.

    The first commit that is held so makes a file beside it: `.held`.
    """
    commit = LmdbStore.commit

    def held(self: LmdbStore, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        while path.exists():
            path.with_suffix(".held").touch()
            time.sleep(_LOOK_S)
        return commit(self, group, batches, leans)

    _patch(LmdbStore, "commit", held)


def read_free_disk(path: Path) -> None:
    """The disk has as many free bytes as the file says, where it is there."""
    ask = os.statvfs

    def asked(folder: Any) -> Any:
        found = ask(folder)
        if not path.exists():
            return found
        return SimpleNamespace(f_bavail=int(path.read_text()), f_frsize=1)

    _patch(os, "statvfs", asked)


def lose_batches(path: Path) -> None:
    """While the file exists, what the instance of the name in it writes is lost at its commit, as for want of room."""
    commit = LmdbStore.commit

    def losing(self: LmdbStore, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        name = path.read_bytes() if path.exists() else None
        losers = {id(each.instance) for each in batches if each.instance.name == name}
        report = commit(self, group, [each for each in batches if id(each.instance) not in losers], leans)
        report.lost.update(dict.fromkeys(losers, StorageFullError("a test wanted it lost")))
        return report

    _patch(LmdbStore, "commit", losing)
    _lose_over_postgres(path)


def _lose_over_postgres(path: Path) -> None:
    try:
        from holdfast_host.storage.postgres.group_commit import GroupCommit
    except ImportError:
        return  # no driver, no such host
    made = GroupCommit.__init__

    def losing(
        self: GroupCommit, group: int, batches: Any, leans: Leans, take_number: Any, refusal: Any, imports: Any
    ) -> None:
        def refuse(instance: StoredInstance, stored_bytes: int) -> StorageFullError | None:
            if path.exists() and path.read_bytes() == instance.name:
                return StorageFullError("a test wanted it lost")
            refused: StorageFullError | None = refusal(instance, stored_bytes)
            return refused

        made(self, group, batches, leans, take_number, refuse, imports)

    _patch(GroupCommit, "__init__", losing)


def lose_sync(path: Path) -> None:
    """Once the file exists, a commit's sync fails and nothing of it reaches the disk."""
    commit = LmdbStore.commit

    def failing(self: LmdbStore, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        if path.exists():
            raise StoreBrokenError("the sync failed, and a test wanted it so")
        return commit(self, group, batches, leans)

    _patch(LmdbStore, "commit", failing)


def doubt_sync(path: Path) -> None:
    """Once the file exists, a commit reaches the disk, but its sync reports a failure."""
    commit = LmdbStore.commit

    def failing(self: LmdbStore, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        report = commit(self, group, batches, leans)
        if path.exists():
            raise StoreBrokenError("the sync failed, and a test wanted it so")
        return report

    _patch(LmdbStore, "commit", failing)


# Sandboxes that fail.


def crash_in_deadly_names() -> None:
    """A turn of whatever has a name with "deadly" in front ends the process, as a fault of the sandbox would."""
    run = TurnRunner.run

    def deadly(self: TurnRunner, turn: Turn) -> None:
        is_deadly = turn.entry.stored.name.startswith(b"deadly") or turn.function.startswith("deadly")
        if is_deadly and turn.request.kind != CallKind.EDIT:
            os.abort()
        run(self, turn)

    _patch(TurnRunner, "run", deadly)


# Mechanisms taken out.


def confirm_nothing() -> None:
    """Over PostgreSQL too, what was only read leaves at once."""
    _patch(worker, "ConfirmingGate", Gate)


def hang_at_start(path: Path) -> None:
    """While the file exists, worker 0 does not come up."""

    def hanging(start: Any, limits: Any) -> Any:
        while start.worker == 0 and path.exists():
            time.sleep(_LOOK_S * 10)
        return opening.open_store(start, limits)

    _patch(worker_main, "open_store", hanging)


def forget_lives() -> None:
    """Statements are let through whatever life the seat has."""
    from holdfast_host.storage.postgres.statements import PREPARED

    for name, statement in PREPARED.items():
        PREPARED[name] = statement.replace("AND seat.life = $2::bigint", "AND $2::bigint > 0")


def swallow_sync_errors() -> None:
    """A failed sync counts as a good one."""
    commit = LmdbStore.commit

    def swallowing(self: LmdbStore, group: int, batches: Sequence[Batch], leans: Leans = NO_LEANS) -> CommitReport:
        try:
            return commit(self, group, batches, leans)
        except StoreBrokenError:
            return CommitReport()

    _patch(LmdbStore, "commit", swallowing)


def keep_no_receipts() -> None:
    """Answer calls with a key as if they had none."""
    _patch(KeyedTurn, "keep_receipt", lambda self, turn, for_s: None)


def _patch_leave(leave: Callable[[Gate, Entry, Any, Any], None]) -> None:
    """What leaves an instance, for another of this worker too, goes by this."""
    _patch(Gate, "leave", leave)
    _patch(Gate, "_leave_within", leave)


def open_gate() -> None:
    """Nothing waits for its writes."""

    def leave(self: Gate, entry: Entry, turn: Any, leaving: Any) -> None:
        leaving.go()

    _patch_leave(leave)


def count_those_who_wait_outside() -> None:
    """A turn that waits for an answer from outside takes the place of one that computes."""
    _patch(Leadership, "step_aside", lambda self: None)
    _patch(Leadership, "step_back", lambda self: None)


def gate_only_own_writes() -> None:
    """A reply waits for its own turn's writes, not for those of earlier turns that it may have read."""
    leave = Gate.leave

    def careless(self: Gate, entry: Entry, turn: Any, leaving: Any) -> None:
        if isinstance(turn, Turn) and not turn.changes:
            leaving.go()
        else:
            leave(self, entry, turn, leaving)

    _patch_leave(careless)


def serve_stale_reads() -> None:
    """A `get` is answered with what the one before it found, as from a cache that nobody empties for 50 ms."""
    run = TurnRunner.run
    cached: dict[tuple[bytes, bytes], tuple[float, bytes]] = {}

    def stale(self: TurnRunner, turn: Turn) -> None:
        run(self, turn)
        if turn.request.method != b"get" or turn.error is not None:
            return
        key, now_s = (turn.entry.stored.name, turn.request.body), time.monotonic()
        if key in cached and now_s - cached[key][0] < 0.05:
            turn.result = cached[key][1]
        else:
            cached[key] = now_s, turn.result

    _patch(TurnRunner, "run", stale)


def forget_instances() -> None:
    """No directory: every call gets an instance of its own."""
    find = Directory.open

    def forgetful(self: Directory, type_id: int, name: bytes, type_name: str) -> Entry:
        self._entries = OrderedDict()
        return find(self, type_id, name, type_name)

    _patch(Directory, "open", forgetful)
    _patch(Directory, "touch", lambda self, entry, now: None)


def take_no_turns() -> None:
    """No mailbox: a call to an instance whose turn is running starts beside it, over the same storage."""
    find = Directory.open

    def impatient(self: Directory, type_id: int, name: bytes, type_name: str) -> Entry:
        entry = find(self, type_id, name, type_name)
        if entry.turn is None and not entry.mail:
            return entry
        beside = Entry(type_id, entry.label, entry.stored)
        beside.pending = entry.pending
        return beside

    _patch(Directory, "open", impatient)


def last_come_first_served() -> None:
    """The mailbox is a stack."""
    append = Entry.__init__

    def stacked(self: Entry, *arguments: Any) -> None:
        append(self, *arguments)
        self.mail = _Stack()

    _patch(Entry, "__init__", stacked)


def commit_failed_turns() -> None:
    """A turn that fails leaves what it had written in the group."""
    run = TurnRunner.run

    def generous(self: TurnRunner, turn: Turn) -> None:
        run(self, turn)
        if turn.error is not None:
            turn.changes = turn.changes or turn.storage.take()

    _patch(TurnRunner, "run", generous)


def keep_activations() -> None:
    """An activation stays as it is, whatever its turn did."""
    _patch(Entry, "deactivate", lambda self: None)


class _Stack(deque[Turn]):
    """A mailbox from which the newest turn is taken."""

    def popleft(self) -> Turn:
        return self.pop()


def snapshot_without_holding() -> None:
    """Each worker's part of a backup is as of a moment of its own, that of the first one half a second earlier."""

    def hold(self: BackupCut, then: Callable[[], None], *, archived: bool = False) -> None:
        store: Any = self._committer.store

        def keep() -> None:
            self._snapshot = self._take()
            then()

        threading.Timer(0.0 if 0 in store._partitions else 0.5, keep).start()

    _patch(BackupCut, "hold", hold)
    _patch(Committer, "release", lambda self: True)


_MUTATIONS: Final[dict[str, Callable[..., None]]] = (
    {
        each.__name__: each
        for each in (
            hold_commits,
            hang_at_start,
            read_free_disk,
            lose_batches,
            lose_sync,
            doubt_sync,
            crash_in_deadly_names,
            swallow_sync_errors,
            open_gate,
            gate_only_own_writes,
            serve_stale_reads,
            forget_instances,
            take_no_turns,
            last_come_first_served,
            commit_failed_turns,
            count_those_who_wait_outside,
            keep_activations,
            keep_no_receipts,
            snapshot_without_holding,
            confirm_nothing,
            forget_lives,
        )
    }
    | alarms.MUTATIONS
    | jobs.MUTATIONS
    | sockets.MUTATIONS
)


def _patch(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    setattr(owner, name, replacement)


def main() -> None:
    """Patch, then be the worker."""
    mutations = sys.argv.pop(1)
    leader_guard.install()
    for mutation in filter(None, mutations.split(",")):
        name, equals, path = mutation.partition("=")
        if equals:
            _MUTATIONS[name](Path(path))
        else:
            _MUTATIONS[name]()
    worker_main.main()


if __name__ == "__main__":
    main()
