"""The management operations that fronts ask for, and how a function is shown.

Each request runs as a task of its own and ends in exactly one `answer`; a front that is gone gets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from holdfast_host.core.clock import utc_text
from holdfast_host.core.config import Listen
from holdfast_host.core.errors import BadRequestError, HoldfastError, HostUnavailableError, UnknownFunctionError
from holdfast_host.core.logs import EventLog
from holdfast_host.supervisor.deploys.compile_queue import Applicant
from holdfast_host.supervisor.deploys.component_store import Progress
from holdfast_host.supervisor.deploys.lifecycle import DeployRequest, Deploys
from holdfast_host.supervisor.processes.child import Child
from holdfast_host.supervisor.registry.registry import FunctionRecord, Registry
from holdfast_host.wire.catalog import Deployment

Perform = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Operations:
    """Answers the fronts' requests; one per host, event loop's thread only."""

    def __init__(
        self,
        registry: Registry,
        deploys: Deploys,
        domain: str,
        url: str,
        log: EventLog,
        measure: Callable[[], Awaitable[dict[str, Any]]],
        secrets: Callable[[], Collection[str]] = tuple,
        bytes_of: Callable[[Deployment], int] = lambda deployment: 0,
        further: Mapping[str, Perform] | None = None,
    ) -> None:
        """Further operations are those of others, by name.

        `secrets()` are the names of those that are set, `bytes_of(version)` is what it takes on disk.
        """
        self._registry = registry
        self._deploys = deploys
        self._domain = domain
        self._port = int(url.rpartition(":")[2])
        self._log = log
        self._measure = measure
        self._secrets = secrets
        self._bytes_of = bytes_of
        self._further = further or {}
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._gone: dict[tuple[Child, int], asyncio.Event] = {}  # by front and request

    def accept(self, front: Child, message: dict[str, Any]) -> None:
        """Begin to work on a `request`."""
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
        self, operation: str, arguments: dict[str, Any], progress: Progress, gone: asyncio.Event | None = None
    ) -> dict[str, Any]:
        """One operation; `gone` is set when whoever asked for it has hung up.

        Raises:
            HoldfastError: what the caller is told.
        """
        name = str(arguments.get("function", ""))
        if self._stopping:
            raise HostUnavailableError("the host is stopping")
        if operation == "measures":
            return await self._measure()
        if operation == "functions":
            return {"functions": [self.show(each) for each in self._registry.deployed()]}
        if operation == "undeployed":
            return {"actors": await self._deploys.undeployed()}
        if operation == "function":
            return self._shown(name)
        if operation == "deploy":
            request = DeployRequest(
                name,
                Path(arguments["component"]),
                arguments.get("manifest"),
                bool(arguments.get("allow_breaking")),
                bool(arguments.get("adopt")),
                Applicant(str(arguments.get("client", "")), gone or asyncio.Event()),
            )
            created = await self._deploys.deploy(request, progress)
            return {**self._shown(name), "created": created}
        if operation == "reload":
            await self._deploys.reload(name, str(arguments["sources"]))
            return self._shown(name)
        if operation == "rollback":
            version = arguments.get("version")
            await self._deploys.rollback(name, None if version is None else int(version))
            return self._shown(name)
        if operation == "delete":
            was = self._shown(name)
            await self._deploys.delete(name)
            return was
        if operation in self._further:
            return await self._further[operation](arguments)
        raise BadRequestError(f"there is no operation {operation!r}")

    def show(self, function: FunctionRecord) -> dict[str, Any]:
        """A deployed function as `GET /v1/functions/{function}` shows it."""
        versions = self._registry.versions(function.func_id)
        current = next(each.deployment for each in versions if each.deployment.version == function.current)
        shown: dict[str, Any] = {
            "name": function.name,
            "func_id": function.func_id,
            "version": function.current,
            "sha256": current.sha256,
            "status": "deploy_ok" if function.failure is None else "failed",
        }
        if function.failure is not None:
            shown["reason"] = function.failure
        shown["url"] = f"http://{Listen(f'{function.name}.{self._domain}', self._port)}"
        shown["actors"] = [{"binding": b.binding, "type": b.type, "owner": b.owner} for b in current.bindings]
        known = self._secrets()
        shown["secrets"] = [{"name": name, "set": name in known} for name in current.secrets]
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

    def _shown(self, name: str) -> dict[str, Any]:
        record = self._registry.named(name)
        if record is None or record.current is None:
            raise UnknownFunctionError(f"no function {name!r} is deployed")
        return self.show(record)

    async def _answer(self, front: Child, message: dict[str, Any]) -> None:
        """Perform one request and send its answer, whatever happens."""
        number = message["id"]
        gone = self._gone[front, number] = asyncio.Event()

        def progress(stage: str) -> None:
            front.send("progress", id=number, stage=stage)

        try:
            result = await self.perform(str(message["operation"]), message.get("arguments") or {}, progress, gone)
        except HoldfastError as error:
            front.send("answer", id=number, error={"name": error.name, "message": error.message, "code": error.code})
        except asyncio.CancelledError:
            text = "the host is stopping; ask again when it is back"
            front.send("answer", id=number, error={"name": "HostUnavailableError", "message": text, "code": None})
        except Exception as error:  # one request's bug must neither take the host down nor stay unanswered
            self._log.error("an operation failed", operation=message.get("operation"), error=repr(error))
            front.send(
                "answer", id=number, error={"name": "InternalError", "message": "a bug in the host", "code": None}
            )
        else:
            front.send("answer", id=number, result=result)
        finally:
            del self._gone[front, number]
