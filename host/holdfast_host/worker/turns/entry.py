"""An instance in memory: its mailbox, its unflushed writes, its place in the output gate, its sandbox.

The entry outlives the sandbox: unflushed writes belong to the entry, or a trap between a turn and its commit would let
the next activation read the past. It lives while it has mail, a running turn, unsettled writes or a sandbox.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from holdfast_host.storage.unflushed import Pending
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.sandbox.instance import Sandbox
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.worker.turns.deployments import LoadedType
    from holdfast_host.worker.turns.function_bodies import StandingBody
    from holdfast_host.worker.turns.turn import Turn


@leaders
class Entry:
    """One instance as its worker holds it. The sandbox is its running turn's."""

    __slots__ = (
        "body", "evictions", "find_place", "is_function", "label", "last_group", "loaded", "mail", "out_of_pool",
        "pending", "sandbox", "seen_group", "stored", "turn", "type_id", "used_at",
    )  # fmt: skip

    def __init__(self, type_id: int, label: str, stored: StoredInstance) -> None:
        self.type_id = type_id
        self.label = label  # Account/alice
        self.stored = stored
        self.is_function = not stored.name  # a place in a function's pool: no instance, nothing is ever stored
        self.body: StandingBody | None = None  # of a response that its function has begun
        self.out_of_pool = False  # of a function's: it serves no requests
        self.mail: deque[Turn] = deque()
        self.find_place: Callable[[], Entry | None] | None = None  # of a lobby: where its next turn may run now
        self.turn: Turn | None = None
        self.last_group = 0  # the group of its last write; 0: none since it was made or lost
        self.seen_group = 0  # of a function: the group that confirms what it was told last; see ConfirmingGate
        self.pending = Pending()
        self.sandbox: Sandbox | None = None
        self.loaded: LoadedType | None = None  # what the sandbox runs
        self.used_at = 0.0
        self.evictions: tuple[Callable[[], None], ...] = ()  # to drop the sandbox after the running turn, and tell them

    def __repr__(self) -> str:
        """The entry's state in one line."""
        return (
            f"<Entry {self.label} {'active' if self.sandbox else 'evicted'} {'running' if self.turn else 'idle'} "
            f"mail={len(self.mail)} last_group={self.last_group}>"
        )

    @any_thread
    def deactivate(self) -> None:
        """Drop the sandbox and what was read of its sockets; storage and unflushed writes stay.

        Only while no thread runs in it.
        """
        sandbox, self.sandbox, self.loaded = self.sandbox, None, None
        self.pending.stored_sockets = self.pending.stored_socket = None
        if sandbox is not None:
            sandbox.close()

    def evict(self) -> None:
        """The turn is over that an eviction has waited for."""
        self.deactivate()
        told, self.evictions = self.evictions, ()
        for tell in told:
            tell()

    def follow_rename(self, type_name: str) -> None:
        """The class may have another name in the version that runs now; a function's sandbox has none."""
        if type_name and not self.label.startswith(f"{type_name}/"):
            self.label = f"{type_name}/{self.stored.name.decode(errors='replace')}"

    @property
    def is_unused(self) -> bool:
        """True when nothing runs or waits, and nothing was ever written or leaned on."""
        return self.turn is None and not self.mail and not self.last_group

    def is_idle(self, settled: int) -> bool:
        """True when nothing runs, waits or is unsettled."""
        return self.turn is None and not self.mail and self.last_group <= settled
