"""Bringing a version to every worker: prepare everywhere, then switch everywhere.

Between the two lies the registry's commit. Before it, any refusal calls the deploy off and no worker has changed what
it runs. After it the registry is the truth: a worker that cannot follow is killed, and its successor starts from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from holdfast_host.core.errors import HoldfastError, HostUnavailableError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.processes.child import Child, ChildGoneError
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.wire.control.catalog import Catalog, Deployment, Outbound
from holdfast_host.wire.control.messages import Question
from holdfast_host.wire.control.protocol import (
    Armed,
    Connected,
    Describe,
    Described,
    Done,
    FoundTypes,
    NewCatalog,
    Occupied,
    Prepare,
    Remove,
    Switch,
    TakeGrants,
    TakeSecrets,
    kind_of,
)
from holdfast_host.wire.control.quotas import CountedStored, CountStored, Quotas, TakeQuotas

_Answer = TypeVar("_Answer", Done, FoundTypes, Described, CountedStored)

ANSWER_S: Final = 60.0


class Rollout(Protocol):
    """What a deploy needs of the running processes."""

    async def occupied(self, type_ids: Set[int]) -> set[int]:
        """Those of these types that have instances on disk; raises unless every worker says so."""

    async def armed(self, type_ids: Set[int]) -> set[int]:
        """Those of these types of which alarms wait for their time; raises unless every worker says so."""

    async def connected(self, type_ids: Set[int]) -> set[int]:
        """Those of these types of which WebSockets are open; raises unless every worker says so."""

    async def describe(self, deployment: Deployment) -> JsonObject:
        """What a version says of itself that is not deployed yet; tried in one worker."""

    async def prepare(self, deployment: Deployment) -> None:
        """Load it in every running worker; returns when all have, raises when one has not."""

    async def switch(self, deployment: Deployment) -> None:
        """Every turn that starts after the return runs it; never fails. Called right after the registry's commit.

        This and what else follows from a record cannot be cancelled.
        """

    async def remove(self, function: str) -> None:
        """No turn of the function starts after the return; never fails."""

    def publish(self, catalog: Catalog) -> None:
        """Tell the fronts what is deployed."""


def without_sources(catalog: Catalog) -> Catalog:
    """What fronts need to know: which sources a development component runs is the workers' business."""
    return replace(catalog, deployments=tuple(replace(each, sources="") for each in catalog.deployments))


class ProcessRollout:
    """The Rollout over the host's workers, its fronts and its courier."""

    def __init__(
        self,
        workers: Sequence[SupervisedProcess],
        fronts: Sequence[SupervisedProcess],
        log: EventLog,
        *,
        courier: SupervisedProcess,
        grants: Callable[[], dict[str, Outbound]],
        outbound_limits: Callable[[], dict[str, int]] = dict,
        need_courier: Callable[[], None],
    ) -> None:
        """Over the host's processes.

        Args:
            workers: its workers.
            fronts: those of its fronts.
            log: the host's.
            courier: its courier, where there is one.
            grants: what the functions that are recorded may ask outside.
            outbound_limits: how many requests of a tenant may be under way.
            need_courier: called where they may ask something; the courier is started then.
        """
        self._workers = workers
        self._fronts = fronts
        self._courier = courier
        self._grants = grants
        self._outbound_limits = outbound_limits
        self._need_courier = need_courier
        self._log = log
        self._prepared: set[Child] = set()  # the children that hold what is about to be switched to

    async def occupied(self, type_ids: Set[int]) -> set[int]:
        """Those of these types that have instances on disk.

        Raises:
            HostUnavailableError: a worker is being replaced, died or did not answer: its part is not known.
        """
        return await self._found(Occupied(sorted(type_ids)), "which types have instances")

    async def armed(self, type_ids: Set[int]) -> set[int]:
        """Those of these types of which an instance has an alarm that is armed, retrying or parked.

        Raises:
            HostUnavailableError: a worker is being replaced, died or did not answer: its part is not known.
        """
        return await self._found(Armed(sorted(type_ids)), "which types have alarms")

    async def connected(self, type_ids: Set[int]) -> set[int]:
        """Those of these types of which an instance has a WebSocket that is open.

        Raises:
            HostUnavailableError: a worker is being replaced, died or did not answer: its part is not known.
        """
        return await self._found(Connected(sorted(type_ids)), "which types have open sockets")

    async def _found(self, question: Occupied | Armed | Connected, what: str) -> set[int]:
        children = self._children()
        if len(children) < len(self._workers):
            raise HostUnavailableError(f"a worker is being replaced, so it is not known {what}")
        found: set[int] = set()

        async def look(child: Child) -> None:
            found.update((await self._ask_living(child, question, FoundTypes)).types)

        await self._all(children, look)
        return found

    async def describe(self, deployment: Deployment) -> JsonObject:
        """What a version says of itself, asked of one worker, which loads it beside what it runs.

        Raises:
            GuestError: it does not load.
            HostUnavailableError: no worker runs, or it died over it.
        """
        children = self._children()
        if not children:
            raise HostUnavailableError("no worker runs right now")
        return (await self._ask_living(children[0], Describe(deployment), Described)).description

    async def prepare(self, deployment: Deployment) -> None:
        """Load it in every running worker.

        A worker that is being replaced right now is left out: it starts from the registry.

        Raises:
            HoldfastError: the first worker's refusal.
            HostUnavailableError: a worker died or did not answer while it loaded; nothing was switched.
        """

        async def load(child: Child) -> None:
            await self._ask_living(child, Prepare(deployment), Done)

        children = self._children()
        self._prepared = set()
        await self._all(children, load)
        self._prepared = set(children)

    async def switch(self, deployment: Deployment) -> None:
        """Every turn that starts after the return runs it; the courier knows before what it may ask."""
        await self._grant()

        async def follow(child: Child) -> None:
            if child not in self._prepared:  # started between the two, with the registry of before
                await self._ask(child, Prepare(deployment), Done)
            await self._ask(child, Switch(deployment), Done)

        await self._all_or_killed("switch", follow)
        self._prepared = set()

    async def remove(self, function: str) -> None:
        """No turn of the function starts after the return."""
        await self._all_or_killed("remove", lambda child: self._ask(child, Remove(function), Done))
        await self._grant()

    async def tell_secrets(self, values: dict[str, str], all_values: dict[str, str], sealed: dict[str, str]) -> None:
        """Every turn and every outbound request that starts after the return sees these secrets; never fails.

        Args:
            values: for workers.
            all_values: for the courier, with the sealed ones.
            sealed: the origin of each of these.
        """
        told = TakeSecrets(all_values, sealed=sealed)
        await self._all_or_killed("take secrets", lambda child: self._ask(child, TakeSecrets(values), Done))
        await self._all_or_killed("take secrets", lambda child: self._ask(child, told, Done), [self._courier])

    async def take_quotas(self, quotas: Quotas) -> None:
        """Workers hold tenants to these on return, and the courier to how many requests they may have; never fails."""
        await self._all_or_killed("take quotas", lambda child: self._ask(child, TakeQuotas(quotas), Done))
        await self._grant()

    async def count_stored(self, types: Sequence[int]) -> tuple[int, int]:
        """How many instances there are of these types together, and how many bytes of keys and values.

        Raises:
            HostUnavailableError: a worker is being replaced, died or did not answer: its part is not known.
        """
        children = self._children()
        if len(children) < len(self._workers):
            raise HostUnavailableError("a worker is being replaced, so it is not known how much is stored")
        found: list[CountedStored] = []

        async def look(child: Child) -> None:
            found.append(await self._ask_living(child, CountStored([*types]), CountedStored))

        await self._all(children, look)
        return sum(each.instances for each in found), sum(each.bytes for each in found)

    async def _grant(self) -> None:
        """The courier lets functions ask what is recorded; never fails."""
        grants = self._grants()
        if grants:
            self._need_courier()
        await self._all_or_killed(
            "take grants",
            lambda child: self._ask(child, TakeGrants(grants, self._outbound_limits()), Done),
            [self._courier],
        )

    def publish(self, catalog: Catalog) -> None:
        """Tell the fronts what is deployed."""
        message = NewCatalog(without_sources(catalog))
        for process in self._fronts:
            if process.child is not None:
                process.child.send(message)

    def _children(self, processes: Sequence[SupervisedProcess] | None = None) -> list[Child]:
        """Those that run, of the workers where it is not said of whom."""
        processes = self._workers if processes is None else processes
        return [process.child for process in processes if process.child is not None]

    async def _all(self, children: Sequence[Child], do: Callable[[Child], Any]) -> None:
        """Do it for all at once; wait for all, then raise the first failure."""
        results = await asyncio.gather(*(do(child) for child in children), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _all_or_killed(
        self, what: str, do: Callable[[Child], Any], processes: Sequence[SupervisedProcess] | None = None
    ) -> None:
        """Do it for all that run, workers unless others are named, to the end; who refuses or is silent is killed."""

        async def attempt(child: Child) -> None:
            try:
                await do(child)
            except ChildGoneError:
                pass
            except HoldfastError as error:
                self._log.error(f"{child.label} could not {what}: killed", pid=child.pid, error=error)
                child.kill()
                await child.ended

        following = asyncio.ensure_future(self._all(self._children(processes), attempt))
        while not following.done():
            # What is recorded has happened: a stop that cancels its operation here would have it answered as undone.
            with suppress(asyncio.CancelledError):
                await asyncio.shield(following)
        following.result()

    async def _ask_living(self, child: Child, question: Question, kind: type[_Answer]) -> _Answer:
        """One question before the record, when a child's end calls everything off."""
        try:
            return await self._ask(child, question, kind)
        except ChildGoneError:
            raise HostUnavailableError(
                f"{child.label} ended while it was asked to {kind_of(question)}; nothing was switched, deploy again"
            ) from None

    async def _ask(self, child: Child, question: Question, kind: type[_Answer]) -> _Answer:
        """One question, with a limit on the wait."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await child.ask(question, kind)
        except TimeoutError:
            raise HostUnavailableError(f"{child.label} did not {kind_of(question)} within {ANSWER_S:g} s") from None
