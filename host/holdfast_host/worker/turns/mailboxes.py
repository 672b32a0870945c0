"""Calls on their way to a turn: arrival, the mailboxes and their limits, and whatever takes a call out again.

A call that is refused or taken out never began: its answer waits for nothing.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import (
    ActorQuarantinedError,
    HoldfastError,
    HostUnavailableError,
    MailboxFullError,
    UnknownFunctionError,
)
from holdfast_host.wire.calls.frames import CallKind
from holdfast_host.wire.calls.moved import MOVED
from holdfast_host.wire.calls.nested_calls import Origin
from holdfast_host.wire.pages.running_turns_page import FUNCTION
from holdfast_host.worker.threads.leaders import any_thread, leaders
from holdfast_host.worker.turns.call_quotas import CallQuotas
from holdfast_host.worker.turns.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.store import StoredInstance
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.deployments import Deployments, LoadedType
    from holdfast_host.worker.turns.directory import Directory
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.open_calls import Caller

# Plain integers: to look a member of an enumeration up costs more than to compare it.
_METHOD, _FETCH, _FUNCTION = int(CallKind.METHOD), int(CallKind.FETCH), int(CallKind.FUNCTION)
_BODY: Final = int(CallKind.BODY)


@leaders
class Mailboxes:
    """The mailboxes of one worker, and the ready queue of instances that have mail and no running turn."""

    def __init__(
        self,
        directory: Directory,
        deployments: Deployments,
        limits: Limits,
        answer: Callable[[Turn, HoldfastError], None],
        running: Collection[Turn],
    ) -> None:
        """`answer(turn, error)` tells the caller of a turn that never began; `running` are those that run now."""
        self._directory = directory
        self._deployments = deployments
        self._limits = limits
        self._answer = answer
        self._running = running
        self._ready: deque[Entry] = deque()
        self.held_back: dict[StoredInstance, Entry] = {}  # those that wait to be read, with all that waits for them
        self.quarantined: frozenset[tuple[int, bytes]] = frozenset()  # they killed workers: they do not run
        self.waiting_turns = 0
        self.call_quotas = CallQuotas()
        self.draining = False
        self.is_ours: Callable[[StoredInstance], bool] | None = None  # where what the worker owns may change

    def set_quarantined(self, instances: Iterable[tuple[int, str]]) -> None:
        """These may not run, and no others; functions are among them as on the running page."""
        self.quarantined = frozenset((type_id, name.encode()) for type_id, name in instances)

    def pardon(self, function: str, type_ids: Collection[int]) -> None:
        """Another version of this function and its types is deployed: nothing is held against it."""
        itself = (FUNCTION, function.encode())
        self.quarantined = frozenset(each for each in self.quarantined if each[0] not in type_ids and each != itself)

    def is_quarantined(self, type_id: int, name: bytes) -> bool:
        """Whether this instance may not run, by itself or with all of its type."""
        kept_away = self.quarantined
        return bool(kept_away) and ((type_id, name) in kept_away or (type_id, b"") in kept_away)

    def quarantined_of(self, type_id: int) -> frozenset[bytes]:
        """The names of a type's instances that may not run; an empty one stands for all of them."""
        return frozenset(name for number, name in self.quarantined if number == type_id)

    @any_thread
    def anything_ready(self) -> bool:
        """Whether `next_turn` may have one (monitor)."""
        return bool(self._ready)

    def next_turn(self) -> Turn | None:
        """The turn whose time it is, out of its instance's mailbox; None where no instance has one to run."""
        ready = self._ready
        while ready:
            entry = ready.popleft()
            if entry.turn is None and entry.mail:
                find_place = entry.find_place
                place = entry if find_place is None else find_place()
                if place is None:
                    continue
                turn = entry.mail.popleft()  # as `_take` does: every turn comes this way
                turn.entry = place
                self.waiting_turns -= turn.is_call
                return turn
        return None

    def requeue(self, entry: Entry) -> None:
        """No turn of the instance runs any more: what waits there may, after those of the others."""
        if entry.mail and entry.turn is None:
            self._ready.append(entry)

    def put_back(self, turn: Turn) -> None:
        """A turn that was taken runs later, before anything else of its instance."""
        entry = turn.entry
        entry.turn = None
        entry.mail.appendleft(turn)
        self.waiting_turns += turn.is_call
        self._ready.append(entry)

    def hold_back(self, turn: Turn) -> bool:
        """A turn that was taken, and what comes behind it, waits until `let_go`; whether it is its instance's first."""
        entry = turn.entry
        is_first = entry.stored not in self.held_back
        self.held_back[entry.stored] = entry  # an earlier one has gone, and left nothing
        entry.mail.appendleft(turn)
        self.waiting_turns += turn.is_call
        return is_first

    def let_go(self, instance: StoredInstance) -> None:
        """It was read: what waits for it may run."""
        self.requeue(self.held_back.pop(instance))

    @property
    def anything_held_back(self) -> bool:
        """Whether a turn waits for its instance to be read."""
        return any(entry.mail for entry in self.held_back.values())

    def wait_in(self, entry: Entry, turn: Turn) -> None:
        """Let a turn wait there; `requeue` has it run. In a lobby each turn has a place in the queue of its own."""
        entry.mail.append(turn)
        self.waiting_turns += 1

    def take_next(self, turn: Turn) -> bool:
        """Take a turn that has just arrived, where nothing is before it at its instance; whether that is so."""
        entry = turn.entry
        if entry.turn is not None or not entry.mail or entry.mail[0] is not turn or self._ready[-1] is not entry:
            return False
        self._ready.pop()
        self._take(entry)
        return True

    def deliver(self, turn: Turn) -> bool:
        """Put a turn of the host's own into its mailbox, outside its limits; whether nothing is before it there."""
        entry = turn.entry
        is_first = not entry.mail and entry.turn is None
        if is_first:
            self._ready.append(entry)
        entry.mail.append(turn)
        return is_first

    def refusal(self, turn: Turn, loaded: LoadedType | None, detached: int, now: float) -> HoldfastError | None:
        """Why a turn that was taken does not run after all."""
        label, limits = turn.entry.label, self._limits
        if self.draining and not turn.path and turn.request.kind != _BODY:
            return HostUnavailableError(f"{label}: the host is stopping; the call did not run")
        if now - turn.arrived_at > limits.queue_timeout_s:
            return self._waited_too_long(turn)
        if turn.request.kind == _FUNCTION:
            if loaded is None:
                return UnknownFunctionError(f"{label}: no such function is deployed any more")
            if (FUNCTION, loaded.function.encode()) in self.quarantined:
                return ActorQuarantinedError(
                    f"the function {loaded.function!r} has killed workers again and again: release it, or deploy "
                    "another version"
                )
        if loaded is None:
            return self._deployments.absence(turn.entry.type_id, label)
        if self._directory.is_full and turn.entry.sandbox is None:
            return HostUnavailableError(
                f"{label}: its worker is past its memory of {limits.worker_memory_bytes} bytes and all that is active "
                "is busy; the call did not run"
            )
        if detached:
            nested = turn.path or turn.request.kind == _BODY
            detached_max = limits.nested_turns_max if nested else limits.detached_turns_max
            if detached >= detached_max:
                return HostUnavailableError(
                    f"{label}: {detached_max} turns of this worker compute or wait at once; the call did not run"
                )
        return None

    def queues(self) -> Collection[Entry]:
        """The instances at which turns wait, ready or behind a running turn."""
        entries = (*self._ready, *(turn.entry for turn in self._running), *self.held_back.values())
        return {id(entry): entry for entry in entries if entry.mail and entry.find_place is None}.values()

    def depth(self) -> tuple[int, float | None]:
        """How many turns the fullest mailbox holds, and when the oldest of all waiting turns arrived."""
        waiting = self.queues()
        deepest = max((len(entry.mail) for entry in waiting), default=0)
        return deepest, min((entry.mail[0].arrived_at for entry in waiting), default=None)

    def expire(self, entry: Entry, now: float) -> None:
        """Take out what has waited too long behind the instance's running turn, or for it to be read."""
        since = now - self._limits.queue_timeout_s
        late = list(takewhile(lambda turn: turn.arrived_at < since or not turn.is_call, entry.mail))
        for turn in late:
            if turn.is_call:
                self._take_out(turn, self._waited_too_long(turn))

    def forget_client(self, client: ClientConnection) -> None:
        """The client is gone: what it asked for and has not begun does not run."""
        for slot in list(client.turns):
            self.cancel(client, slot)
        client.release_page()

    def idle_entry(self, type_id: int, name: bytes) -> Entry | None:
        """The instance's entry, where neither a turn nor mail is before a call that arrives now."""
        entry = self._open(type_id, name, self._deployments.find(type_id))
        return None if entry.mail or entry.turn is not None else entry

    def submit(self, client: ClientConnection | None, request: Call, caller: Caller | None) -> Turn:
        """Put a call into its instance's mailbox, or answer it at once with why not."""
        loaded = self._deployments.find(request.type_id)
        entry = self._open(request.type_id, request.name, loaded)
        is_moved = self.is_ours is not None and not self.is_ours(entry.stored)
        if is_moved and self.is_ours is not None and entry.is_unused:
            self._directory.forget(entry)  # from before it came
            entry = self._open(request.type_id, request.name, loaded)
            is_moved = not self.is_ours(entry.stored)
        origin = Origin.unpack(request.origin) if request.origin else None
        if caller is not None:
            origin = caller.origin
        turn = Turn(entry, client, request, time.monotonic(), origin, caller)
        if client is not None:
            client.expect(turn)
        try:
            if is_moved:
                raise HostUnavailableError(f"{entry.label}: another worker owns it; the call did not run", status=MOVED)
            if loaded is None:
                raise self._deployments.absence(request.type_id, entry.label)
            quarantined = self.quarantined and self.is_quarantined(entry.type_id, entry.stored.name)
            if quarantined and request.kind != CallKind.EDIT:
                raise self._quarantine_error(entry, loaded.function)
            if request.kind == _METHOD:
                loaded.check_method(request.method)
            elif request.kind == _FETCH:
                loaded.check_fetch_handler()
            self._check_room(entry, nested=origin is not None)
            if self.call_quotas.by_tenant and client is not None and origin is None:
                self.call_quotas.admit(loaded.tenant, turn)
        except HoldfastError as error:
            self._answer(turn, error)
            if is_moved and entry.is_unused:
                self._directory.forget(entry)
            return turn
        if not entry.mail and entry.turn is None:
            self._ready.append(entry)
        entry.mail.append(turn)
        self.waiting_turns += 1
        return turn

    def cancel(self, client: ClientConnection, slot: int) -> None:
        """The client gave it up."""
        turn = client.turns.get(slot)
        if turn is not None:
            self.withdraw(turn)

    def withdraw(self, turn: Turn) -> None:
        """Nobody waits for it: take the turn out if it has not begun."""
        if turn.begun:
            turn.abandon()
        elif turn in turn.entry.mail:
            self._take_out(turn, HostUnavailableError(f"{turn.entry.label}: the caller left before the call began"))

    def _quarantine_error(self, entry: Entry, function: str) -> ActorQuarantinedError:
        who = entry.label
        if (entry.type_id, b"") in self.quarantined:
            who = f"{who}: the function {function!r}, whichever of its instances ran,"
        return ActorQuarantinedError(f"{who} has killed workers again and again: release it, or deploy another version")

    def _open(self, type_id: int, name: bytes, loaded: LoadedType | None) -> Entry:
        return self._directory.open(type_id, name, loaded.type if loaded is not None else f"type {type_id}")

    def _check_room(self, entry: Entry, *, nested: bool) -> None:
        limits = self._limits
        if self.draining and not nested:
            raise HostUnavailableError(f"{entry.label}: the host is stopping; the call did not run")
        if len(entry.mail) >= limits.mailbox_turns_max:
            waiting = sum(turn.is_call for turn in entry.mail)
            if waiting >= limits.mailbox_turns_max:
                raise MailboxFullError(f"{entry.label}: {waiting} turns wait, the limit is {limits.mailbox_turns_max}")
        if self.waiting_turns >= limits.worker_turns_max:
            raise MailboxFullError(
                f"{entry.label}: {self.waiting_turns} turns wait at its worker, the limit is {limits.worker_turns_max}"
            )

    def _take(self, entry: Entry) -> Turn:
        turn = entry.mail.popleft()
        self.waiting_turns -= turn.is_call
        return turn

    def _take_out(self, turn: Turn, error: HoldfastError) -> None:
        turn.entry.mail.remove(turn)
        self.waiting_turns -= 1
        self._answer(turn, error)

    def _waited_too_long(self, turn: Turn) -> HoldfastError:
        return HostUnavailableError(
            f"{turn.entry.label}: waited {self._limits.queue_timeout_s:g} s for its turn and did not run"
        )
