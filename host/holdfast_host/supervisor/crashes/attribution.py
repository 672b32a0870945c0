"""What follows from a worker's death for the instances whose turns it ran: they are named, counted, and kept away.

Glue between the running pages (whose turns), the quarantine (who may not run) and the workers (told at their start, and
when one is released).
"""

from __future__ import annotations

import asyncio
import heapq
import signal
from collections.abc import Sequence
from typing import Final

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import HoldfastError, UnknownFunctionError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.ids import check_instance_name
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.core.tenants import key_of, name_of
from holdfast_host.storage.records import decided
from holdfast_host.supervisor.crashes.quarantine import VERSION, Instance, Quarantine
from holdfast_host.supervisor.processes.child import ChildGoneError
from holdfast_host.supervisor.processes.supervision import SupervisedProcess
from holdfast_host.supervisor.registry.registry import Registry
from holdfast_host.wire.control.catalog import ActorType
from holdfast_host.wire.control.exit_codes import EXIT_BUG
from holdfast_host.wire.control.protocol import Done, KeepAway
from holdfast_host.wire.control.starts import Quarantined
from holdfast_host.wire.pages.running_turns_page import FUNCTION, RunningPage

# What a fault of the sandbox ends in. SIGKILL is missing by intent, unless our own was sent to a worker that hung.
_CRASHES: Final = frozenset(
    {EXIT_BUG}
    | {
        -each
        for each in (
            signal.SIGSEGV,
            signal.SIGBUS,
            signal.SIGILL,
            signal.SIGABRT,
            signal.SIGFPE,
            signal.SIGTRAP,
            signal.SIGSYS,
        )
    }
)
_NAMED_MAX: Final = 20
_WHAT: Final = {VERSION: "version", FUNCTION: "handler"}  # of a row; else an instance


class CrashAttribution:
    """One per host; event loop's thread only."""

    def __init__(self, quarantine: Quarantine, registry: Registry, workers: int, log: EventLog) -> None:
        self._quarantine = quarantine
        self._registry = registry
        self._log = log
        self._pages = [RunningPage.create() for _ in range(workers)]
        self._telling: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Give the pages back; no worker runs any more."""
        for page in self._pages:
            page.close()

    def prepare(self, worker: int) -> int:
        """A worker is about to start: the descriptor of its page, empty."""
        self._pages[worker].wipe()
        return self._pages[worker].fd

    def quarantined(self) -> Quarantined:
        """Those that may not run, as a worker is told: type number and name, which is empty for all of a type."""
        told: dict[tuple[int, bytes], None] = {}
        for type_id, name in self._listed():
            if type_id != VERSION:
                told[type_id, name] = None
                continue
            told[FUNCTION, name] = None
            told |= dict.fromkeys((each.type_id, b"") for each in self._types_of(name))
        return [(type_id, name.decode()) for type_id, name in told]

    def show(self, tenant: str, last: tuple[str, str], limit: int) -> JsonObject:
        """A page of those that may not run: functions by name, then instances by type and name.

        Args:
            tenant: whose.
            last: the type (empty for a function) and the name of the row before.
            limit: rows at most.
        """
        after = (last[0], (last[1] if last[0] else key_of(tenant, last[1])).encode())
        deployed = {each.type_id: (each.type, it) for it in self._registry.current() for each in it.types}
        functions = {it.function: ("", it) for it in self._registry.current()}
        listed = self._listed()
        rows = []
        for (type_id, name), died_s in listed.items():
            if type_id == FUNCTION and (VERSION, name) in listed:
                continue  # one row a function
            actor_type, owner = deployed[type_id] if type_id > FUNCTION else functions[name.decode()]
            if owner.tenant == tenant and (actor_type, name) > after:
                what = _WHAT.get(type_id, "instance")
                rows.append((actor_type, name, owner.function, owner.version, died_s, what))
        page = heapq.nsmallest(limit + 1, rows)
        return {
            "rows": [
                {
                    "function": name_of(function),
                    "type": actor_type or None,
                    "name": name.decode() if actor_type else None,
                    "version": version,
                    "what": what,
                    "died_at": utc_text(int(died_s * 1e6)),
                }
                for actor_type, name, function, version, died_s, what in page[:limit]
            ],
            "more": len(page) > limit,
        }

    def measures(self) -> dict[str, int]:
        """How many instances and functions are quarantined."""
        listed = self._listed()
        functions = {name for type_id, name in listed if type_id <= FUNCTION}
        return {"instance": sum(type_id > FUNCTION for type_id, _ in listed), "function": len(functions)}

    def running(self, worker: int) -> list[JsonObject]:
        """Whose turns a worker has noted: `type` and `name` of an instance, or the `function` of a request."""
        types = {each.type_id: each.type for it in self._registry.current() for each in it.types}
        return [
            {"type": None, "name": None, "function": name.decode()}
            if type_id == FUNCTION
            else {
                "type": types.get(type_id, f"type {type_id}"),
                "name": name.decode(errors="replace"),
                "function": None,
            }
            for type_id, name in self._pages[worker].names()
        ]

    def after_death(self, worker: int, workers: Sequence[SupervisedProcess]) -> None:
        """A worker that had been started has ended: say whose turns it ran, and quarantine who did it too often.

        Its successor learns that at its start; the other workers, which run functions too, are told.
        """
        process = workers[worker]
        suspects = self._pages[worker].names()
        if not suspects:
            return
        shown = ", ".join(self._label(*each) for each in suspects[:_NAMED_MAX])
        more = f" and {len(suspects) - _NAMED_MAX} more" if len(suspects) > _NAMED_MAX else ""
        self._log.error(f"{process.label} died while these ran: {shown}{more}", code=process.last_code)
        self._pages[worker].wipe()
        if process.last_code not in _CRASHES and not process.hung:
            return
        try:
            caught = decided(lambda: self._quarantine.blame(suspects, self._deployed_of))
        except (OSError, HoldfastError) as error:
            self._log.error("the quarantine cannot be written", error=error)
            return
        for each in caught:
            self._log.error(f"{self._label(*each)} has killed workers again and again: it is quarantined")
        if caught:
            task = asyncio.create_task(self._tell(workers))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def release_instance(self, type_id: int, name: str, workers: Sequence[SupervisedProcess]) -> JsonObject:
        """Lift the quarantine of an instance; returns when every worker that runs knows.

        Raises:
            InvalidNameError: it cannot be an instance's name.
            StorageFullError, HostUnavailableError: it cannot be recorded; nothing is released.
        """
        return await self._release((type_id, check_instance_name(name)), (), workers)

    async def release_function(self, key: str, workers: Sequence[SupervisedProcess]) -> JsonObject:
        """Lift the quarantine of a function's handler, and of all of it; returns when every worker that runs knows.

        It is named by its key.

        Raises:
            UnknownFunctionError: no such function is deployed.
            StorageFullError, HostUnavailableError: it cannot be recorded; nothing is released.
        """
        function = (FUNCTION, key.encode())
        if self._deployed_of(function) is None:
            raise UnknownFunctionError(f"no function {name_of(key)!r} is deployed")
        return await self._release(function, ((VERSION, key.encode()),), workers)

    async def follow(self, workers: Sequence[SupervisedProcess]) -> None:
        """Another host has changed the quarantine: tell the workers.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        self._quarantine.reload()
        await self._tell(workers)

    async def _release(
        self, instance: Instance, whole: Sequence[Instance], workers: Sequence[SupervisedProcess]
    ) -> JsonObject:
        try:
            released = decided(lambda: self._quarantine.release(instance, *whole))
        except OSError as error:
            what = f"the release of {self._label(*instance)} cannot be recorded"
            raise disk_error(error, what, "nothing was released") from error
        await self._tell(workers)
        if released:
            self._log.warning(f"{self._label(*instance)} is released from quarantine")
        return {"released": released}

    async def _tell(self, workers: Sequence[SupervisedProcess]) -> None:
        """Have the workers that run know who is quarantined."""
        told = [process.child.ask(KeepAway(self.quarantined()), Done) for process in workers if process.child]
        for answer in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, ChildGoneError):
                raise answer

    def _listed(self) -> dict[Instance, float]:
        """Those that may not run; the registry is asked once, however many they are."""
        current = self._registry.current()
        functions = {each.function.encode(): (each.function, each.version) for each in current}
        of_type = {each.type_id: (it.function, it.version) for it in current for each in it.types}
        return self._quarantine.listed(
            lambda each: functions.get(each[1]) if each[0] <= FUNCTION else of_type.get(each[0])
        )

    def _deployed_of(self, instance: Instance) -> tuple[str, int] | None:
        """The function that it runs, or is, and which version is deployed."""
        type_id, name = instance
        for deployment in self._registry.current():
            is_function = type_id <= FUNCTION and deployment.function.encode() == name
            if is_function or any(each.type_id == type_id for each in deployment.types):
                return deployment.function, deployment.version
        return None

    def _types_of(self, function: bytes) -> Sequence[ActorType]:
        """The actor types that a function ships."""
        return next((each.types for each in self._registry.current() if each.function.encode() == function), ())

    def _label(self, type_id: int, name: bytes) -> str:
        if type_id == VERSION:
            return f"the function {name.decode()!r}, whichever of its instances ran,"
        if type_id == FUNCTION:
            return f"the function {name.decode()!r}"
        for deployment in self._registry.current():
            for each in deployment.types:
                if each.type_id == type_id:
                    return f"{each.type}/{name.decode(errors='replace')}"
        return f"type {type_id}/{name.decode(errors='replace')}"
