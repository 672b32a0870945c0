"""Bringing a version to every worker: prepare everywhere, then switch everywhere.

Between the two lies the registry's commit. Before it, any refusal calls the deploy off and no worker has changed what
it runs. After it the registry is the truth: a worker that cannot follow is killed, and its successor starts from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from holdfast_host.core.errors import HoldfastError, HostUnavailableError
from holdfast_host.supervisor.child import Child, ChildGoneError
from holdfast_host.supervisor.keeper import Keeper
from holdfast_host.supervisor.log import EventLog
from holdfast_host.wire.catalog import Catalog, Deployment

ANSWER_S: Final = 60.0


class Rollout(Protocol):
    """What a deploy needs of the running processes."""

    async def prepare(self, deployment: Deployment) -> None:
        """Load it in every running worker; returns when all have, raises when one has not."""

    async def switch(self, deployment: Deployment) -> None:
        """Every turn that starts after the return runs it; never fails. Called right after the registry's commit."""

    async def remove(self, function: str) -> None:
        """No turn of the function starts after the return; never fails."""

    def publish(self, catalog: Catalog) -> None:
        """Tell the fronts what is deployed."""


class ProcessRollout:
    """The Rollout over the host's workers and fronts."""

    def __init__(self, workers: Sequence[Keeper], fronts: Sequence[Keeper], log: EventLog) -> None:
        self._workers = workers
        self._fronts = fronts
        self._log = log
        self._prepared: set[Child] = set()  # the children that hold what is about to be switched to

    async def prepare(self, deployment: Deployment) -> None:
        """Load it in every running worker.

        A worker that is being replaced right now is left out: it starts from the registry.

        Raises:
            HoldfastError: the first worker's refusal.
            HostUnavailableError: a worker died or did not answer while it loaded; nothing was switched.
        """
        facts = deployment.to_json()

        async def load(child: Child) -> None:
            try:
                await self._ask(child, "prepare", deployment=facts)
            except ChildGoneError:
                raise HostUnavailableError(
                    f"{child.label} ended while it loaded {deployment.function!r}; nothing was switched, deploy again"
                ) from None

        children = self._children()
        self._prepared = set()
        await self._all(children, load)
        self._prepared = set(children)

    async def switch(self, deployment: Deployment) -> None:
        """Every turn that starts after the return runs it."""
        facts = deployment.to_json()

        async def follow(child: Child) -> None:
            if child not in self._prepared:  # started between the two, with the registry of before
                await self._ask(child, "prepare", deployment=facts)
            await self._ask(child, "switch", deployment=facts)

        await self._all_or_killed("switch", follow)
        self._prepared = set()

    async def remove(self, function: str) -> None:
        """No turn of the function starts after the return."""
        await self._all_or_killed("remove", lambda child: self._ask(child, "remove", function=function))

    def publish(self, catalog: Catalog) -> None:
        """Tell the fronts what is deployed."""
        for keeper in self._fronts:
            if keeper.child is not None:
                keeper.child.send("catalog", catalog=catalog.to_json())

    def _children(self) -> list[Child]:
        return [keeper.child for keeper in self._workers if keeper.child is not None]

    async def _all(self, children: Sequence[Child], do: Callable[[Child], Any]) -> None:
        """Do it for all at once; wait for all, then raise the first failure."""
        results = await asyncio.gather(*(do(child) for child in children), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _all_or_killed(self, what: str, do: Callable[[Child], Any]) -> None:
        """Do it for all running workers; one that refuses or is silent is killed."""

        async def attempt(child: Child) -> None:
            try:
                await do(child)
            except ChildGoneError:
                pass
            except HoldfastError as error:
                self._log.error(f"{child.label} could not {what}: killed", pid=child.pid, error=error)
                child.kill()
                await child.ended

        await self._all(self._children(), attempt)

    async def _ask(self, child: Child, kind: str, **facts: Any) -> None:
        """One question, with a limit on the wait."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await child.ask(kind, **facts)
        except TimeoutError:
            raise HostUnavailableError(f"{child.label} did not {kind} within {ANSWER_S:g} s") from None
