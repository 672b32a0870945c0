"""Functions: sandboxes without an instance, pooled, each serving one request at a time.

A request waits in its function's lobby until its turn begins, and gets its sandbox then: a burst of requests that ask
nobody is served by one sandbox, whose memory is warm, and only what runs or waits beside others makes the pool grow. It
grows to its limit and shrinks when it is idle; past a full lobby requests are refused, so that a burst on one function
takes no more than its share.
A sandbox that trapped or handled much is not used again. One in which a response stands whose body comes in pieces is
out of its pool until that has ended (`function_bodies`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, MailboxFullError, UnknownFunctionError
from holdfast_host.core.tenants import tenant_of
from holdfast_host.storage.store import StoredInstance
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.entry import Entry
from holdfast_host.worker.turns.function_bodies import FunctionBodies, Tell
from holdfast_host.worker.turns.function_turns import NO_STORAGE, FunctionTurn

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits
    from holdfast_host.wire.calls.frames import Call
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn


@leaders
class Pool:
    """The sandboxes of one function, and the lobby where requests wait for one."""

    __slots__ = ("lobby", "members", "passed_over")

    def __init__(self, lobby: Entry) -> None:
        self.lobby = lobby
        self.members: list[Entry] = []  # the first ones are used most, so that the last ones go idle
        self.passed_over = 0  # requests whose time had come when all sandboxes were busy

    def free_member(self, members_max: int, settled: int) -> Entry | None:
        """A sandbox without work, a new one if there may be more; None when all are busy.

        Best is one that has heard of nothing but what is durable: only its calls never wait.
        """
        free = None
        for member in self.members:
            if member.turn is None:
                if member.last_group <= settled:
                    return member
                free = free or member
        if len(self.members) >= members_max:
            return free
        member = Entry(self.lobby.type_id, self.lobby.label, self.lobby.stored)
        self.members.append(member)
        return member

    def places(self, members_max: int) -> int:
        """How many requests could begin now."""
        return max(0, members_max - sum(member.turn is not None for member in self.members))


@leaders
class Functions:
    """The pools of one worker."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        deployments: Deployments,
        limits: Limits,
        answer: Callable[[Turn, HoldfastError], None],
        settled: Callable[[], int],
        tell: Tell,
        interrupt: Callable[[Entry, HoldfastError], None],
    ) -> None:
        """`answer(turn, error)` tells the caller of a turn that never began; `settled()` is the last settled group.

        The others are as for FunctionBodies.
        """
        self._mailboxes = mailboxes
        self._deployments = deployments
        self._limits = limits
        self._answer = answer
        self._settled = settled
        self.bodies = FunctionBodies(self, mailboxes, limits, tell, interrupt)
        self._pools: dict[int, Pool] = {}
        self.storage = NO_STORAGE

    def submit(self, client: ClientConnection, request: Call) -> None:
        """Give a request to a sandbox of its function, let it wait for one, or answer at once with why not."""
        name = request.name.decode(errors="replace")
        number = self._deployments.function_number(name)
        pool = self._pools.get(number) or self._new_pool(number, name)
        turn = FunctionTurn(pool.lobby, client, request, time.monotonic())
        client.expect(turn)
        try:
            self._check(pool, number)
            if self._mailboxes.call_quotas.by_tenant:
                self._mailboxes.call_quotas.admit(tenant_of(name), turn)
        except HoldfastError as error:
            self._answer(turn, error)
            return
        self._pools[number] = pool
        self._mailboxes.wait_in(pool.lobby, turn)
        self._mailboxes.requeue(pool.lobby)

    def touch(self, member: Entry, now: float) -> None:
        """A request begins."""
        member.used_at = now

    def release(self, member: Entry, turn: Turn) -> None:
        """A request is over, or was refused: one that found all sandboxes busy may have this one."""
        if not member.out_of_pool and len(turn.request.body) + len(turn.result) > self._limits.function_kept_bytes_max:
            member.deactivate()
        self._call_up(self._pools.get(member.type_id))

    def leave_pool(self, member: Entry) -> None:
        """A response stands in it, whose body comes in pieces."""
        member.out_of_pool = True
        self._pools[member.type_id].members.remove(member)

    def join_pool(self, member: Entry) -> None:
        """That has ended. Where others have taken its place it is dropped."""
        pool = self._pools.get(member.type_id)
        if pool is None or len(pool.members) >= self._limits.function_sandboxes_max:
            member.deactivate()
        else:
            member.out_of_pool = False
            pool.members.append(member)

    def keep_house(self, now: float) -> None:
        """Drop what has been idle for too long, or is not deployed any more; give up on what waited too long."""
        self.bodies.keep_house(now, lambda number: self._deployments.find(number) is not None)
        for number, pool in list(self._pools.items()):
            self._mailboxes.expire(pool.lobby, now)
            for _ in range(pool.places(self._limits.function_sandboxes_max)):  # a limit may have changed
                self._call_up(pool)
            gone = self._deployments.find(number) is None
            idle_s = 0.0 if gone else self._limits.idle_eviction_s
            self._shrink(pool, now - idle_s)
            if gone and not pool.members and not pool.lobby.mail:
                del self._pools[number]

    def evict_idle(self) -> None:
        """Memory is short: drop every sandbox without work."""
        for pool in self._pools.values():
            self._shrink(pool, time.monotonic())

    def lobbies(self) -> list[Entry]:
        """Where requests wait, a place for each function."""
        return [pool.lobby for pool in self._pools.values()]

    def occupancy(self) -> list[dict[str, Any]]:
        """Of each function how many sandboxes its pool has, how many of them are busy, how many stand, who waits."""
        return [
            {
                "function": pool.lobby.label.removeprefix("fn "),
                "sandboxes": len(pool.members),
                "busy": sum(member.turn is not None for member in pool.members),
                "bodies": self.bodies.of_function(pool.lobby.type_id),
                "waiting": len(pool.lobby.mail),
            }
            for pool in self._pools.values()
        ]

    def _check(self, pool: Pool, number: int) -> None:
        label, waiting, limits = pool.lobby.label, len(pool.lobby.mail), self._limits
        queue_max = limits.function_queue_max
        if waiting >= queue_max:  # those that could begin now do not count
            waiting -= pool.places(limits.function_sandboxes_max)
        if self._mailboxes.draining:
            raise HostUnavailableError(f"{label}: the host is stopping; the request did not run")
        if self._deployments.find(number) is None:
            raise UnknownFunctionError(f"{label}: no such function is deployed")
        if waiting >= queue_max:
            raise MailboxFullError(f"{label}: {waiting} requests wait, the limit is {queue_max}")
        if self._mailboxes.waiting_turns >= limits.worker_turns_max:
            raise MailboxFullError(
                f"{label}: {self._mailboxes.waiting_turns} turns wait at its worker, the limit is "
                f"{limits.worker_turns_max}"
            )

    def _new_pool(self, number: int, name: str) -> Pool:
        pool = Pool(Entry(number, f"fn {name}", StoredInstance(0, 0, b"")))  # it has no instance and nothing on disk

        def find_place() -> Entry | None:
            """The sandbox of a request whose time has come."""
            member = pool.free_member(self._limits.function_sandboxes_max, self._settled())
            pool.passed_over += member is None
            return member

        pool.lobby.find_place = find_place
        return pool

    def _call_up(self, pool: Pool | None) -> None:
        """A sandbox may be free: the time of a request has come again that found none."""
        if pool is not None and pool.passed_over:
            pool.passed_over -= 1
            self._mailboxes.requeue(pool.lobby)

    def _shrink(self, pool: Pool, unused_since: float) -> None:
        kept: list[Entry] = []
        for member in pool.members:
            if member.turn is None and not member.mail and member.used_at <= unused_since:
                member.deactivate()
            else:
                kept.append(member)
        pool.members = kept
