"""The management operations that fronts ask for, and how a function is shown.

Each request runs as a task of its own and ends in exactly one `answer`; a front that is gone gets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from holdfast_host.core.clock import utc_text
from holdfast_host.core.config import Listen
from holdfast_host.core.errors import HoldfastError, HostUnavailableError, InternalError, UnknownFunctionError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tenants import key_of, name_of
from holdfast_host.supervisor.deploys.compile_queue import Applicant
from holdfast_host.supervisor.deploys.component_store import Progress
from holdfast_host.supervisor.deploys.deploys import DeployRequest, Deploys
from holdfast_host.supervisor.processes.child import Child
from holdfast_host.supervisor.registry.records import FunctionRecord
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import Binding, Deployment
from holdfast_host.wire.control.messages import Failure
from holdfast_host.wire.control.operations import (
    AnyOperation,
    Delete,
    Deploy,
    EndChange,
    FurtherOperation,
    ListFunctions,
    ListUndeployed,
    OfFunction,
    PreviewRollback,
    Reload,
    Rollback,
    ShowFunction,
)
from holdfast_host.wire.control.protocol import Answer, Request
from holdfast_host.wire.control.protocol import Progress as ProgressMessage

PerformFurther = Callable[[FurtherOperation, Progress, asyncio.Event], Awaitable[JsonObject]]


class Operations:
    """Answers the fronts' requests; one per host, event loop's thread only."""

    def __init__(
        self,
        registry: Registry,
        deploys: Deploys,
        domain: str,
        url: str,
        log: EventLog,
        further: PerformFurther,
        secrets: Callable[[], Collection[str]] = tuple,
        bytes_of: Callable[[Deployment], int] = lambda deployment: 0,
    ) -> None:
        """`further` performs the operations of others.

        `secrets()` are the names of those that are set, `bytes_of(version)` is what it takes on disk.
        """
        self._registry = registry
        self._deploys = deploys
        self._domain = domain
        self._port = int(url.rpartition(":")[2])
        self._log = log
        self._secrets = secrets
        self._bytes_of = bytes_of
        self._further = further
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._gone: dict[tuple[Child, int], asyncio.Event] = {}  # by front and request

    def accept(self, front: Child, message: Request) -> None:
        """Begin to work on a request."""
        task = asyncio.create_task(self._answer(front, message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def withdraw(self, front: Child, number: int) -> None:
        """Whoever asked for this has hung up: what waits in a line leaves it, what has begun goes on."""
        if (front, number) in self._gone:
            self._gone[front, number].set()

    def withdraw_of_gone_fronts(self) -> None:
        """Nobody waits any more for what was asked for by fronts that are gone."""
        for front, number in list(self._gone):
            if front.closed.is_set():
                self.withdraw(front, number)

    async def aclose(self) -> None:
        """Cancel what runs, each with an answer; later requests are refused."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def perform(
        self, operation: AnyOperation, progress: Progress, gone: asyncio.Event | None = None
    ) -> JsonObject:
        """One operation; `gone` is set when whoever asked for it has hung up.

        Raises:
            HoldfastError: what the caller is told.
        """
        if self._stopping and not isinstance(operation, EndChange):  # what has been done is still written down
            raise HostUnavailableError("the host is stopping")
        match operation:
            case ListFunctions(tenant):
                return {"functions": [self.show(tenant, each) for each in self._registry.deployed(tenant)]}
            case ListUndeployed():
                return {"actors": await self._deploys.undeployed(operation.tenant)}
            case ShowFunction():
                return self._shown(operation)
            case Deploy():
                return await self._deploy(operation, progress, gone or asyncio.Event())
            case Reload():
                await self._deploys.reload(_key(operation), operation.sources)
                return self._shown(operation)
            case Rollback():
                await self._deploys.rollback(_key(operation), operation.version)
                return self._shown(operation)
            case PreviewRollback():
                return await self._deploys.preview_rollback(_key(operation), operation.version)
            case Delete():
                was = self._shown(operation)
                await self._deploys.delete(_key(operation))
                return was
            case _:
                return await self._further(operation, progress, gone or asyncio.Event())

    async def _deploy(self, operation: Deploy, progress: Progress, gone: asyncio.Event) -> JsonObject:
        request = DeployRequest(
            _key(operation),
            Path(operation.component),
            operation.manifest,
            operation.allow_breaking,
            operation.adopt,
            Applicant(operation.client, gone),
        )
        created = await self._deploys.deploy(request, progress)
        return {**self._shown(operation), "created": created}

    def show(self, tenant: str, function: FunctionRecord) -> JsonObject:
        """A tenant's deployed function as `GET /v1/functions/{function}` shows it."""
        versions = self._registry.versions(function.func_id)
        current = next(each.deployment for each in versions if each.deployment.version == function.current)
        shown: JsonObject = {
            "name": function.name,
            "func_id": name_of(function.func_id),
            "version": function.current,
            "sha256": current.sha256,
            "status": "deploy_ok" if function.failure is None else "failed",
        }
        if function.failure is not None:
            shown["reason"] = function.failure
        shown["url"] = f"http://{Listen(f'{key_of(tenant, function.name)}.{self._domain}', self._port)}"
        shown["actors"] = [_binding(each) for each in current.bindings]
        known = self._secrets()
        shown["secrets"] = [{"name": name, "set": key_of(tenant, name) in known} for name in current.secrets]
        sizes = {each.deployment.sha256: self._bytes_of(each.deployment) for each in versions}  # equal ones are one
        shown["versions"] = [
            {
                "version": each.deployment.version,
                "sha256": each.deployment.sha256,
                "created_at": utc_text(each.created_us),
                "disk_bytes": sizes[each.deployment.sha256],
            }
            for each in versions
        ]
        shown["disk_bytes"] = sum(sizes.values())
        return shown

    def _shown(self, operation: OfFunction) -> JsonObject:
        record = self._registry.named(operation.tenant, operation.function)
        if record is None or record.current is None:
            raise UnknownFunctionError(f"no function {operation.function!r} is deployed")
        return self.show(operation.tenant, record)

    async def _answer(self, front: Child, message: Request) -> None:
        """Perform one request and send its answer, whatever happens."""
        number = message.id
        gone = self._gone[front, number] = asyncio.Event()

        def progress(stage: str) -> None:
            front.send(ProgressMessage(number, stage))

        def refuse(error: HoldfastError) -> None:
            front.send(Answer(number, error=Failure.of(error)))

        try:
            result = await self.perform(message.operation, progress, gone)
        except HoldfastError as error:
            refuse(error)
        except asyncio.CancelledError:
            refuse(HostUnavailableError("the host is stopping; ask again when it is back"))
        except Exception as error:  # one request's bug must neither take the host down nor stay unanswered
            self._log.error("an operation failed", operation=type(message.operation).__name__, error=repr(error))
            refuse(InternalError("a bug in the host"))
        else:
            front.send(Answer(number, result))
        finally:
            del self._gone[front, number]


def _key(operation: OfFunction) -> str:
    return key_of(operation.tenant, operation.function)


def _binding(binding: Binding) -> JsonObject:
    facts: JsonObject = {"binding": binding.binding, "type": binding.type, "owner": binding.owner}
    return {**facts, "optional": True} if binding.optional else facts
