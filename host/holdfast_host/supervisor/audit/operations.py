"""What fronts do with the audit log: a change is written before it begins, and again with what became of it.

So a change that is not in the log was not made. Where its first line cannot be written, it is refused. Where its second
one cannot, it has been made: the caller is told so, and the host's own log has the outcome.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from msgspec.structs import asdict

from holdfast_host.core.clock import utc_text
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.failures import disk_error
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.logs import EventLog
from holdfast_host.storage.records import AuditLines
from holdfast_host.supervisor.audit.refusals import RefusalLines
from holdfast_host.supervisor.audit.tenant_lines import as_seen_by
from holdfast_host.supervisor.registry.registry import now_us
from holdfast_host.wire.control.audit import Change, RequestsRefused
from holdfast_host.wire.control.operations import AuditOperation, BeginChange, EndChange, ReadAudit

_OF_TENANTS: Final = ("tenant", "by_host")


class Audit:
    """One per host, used by the event loop's thread."""

    def __init__(self, kept: AuditLines, log: EventLog) -> None:
        self._kept = kept
        self._log = log
        self._waiting: list[tuple[JsonObject, asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._more = asyncio.Event()  # replaced when something was added
        self._refusals = RefusalLines(self._add_refusal)
        self._adding: set[asyncio.Task[None]] = set()

    async def perform(self, operation: AuditOperation) -> JsonObject:
        """One operation.

        Raises:
            StorageFullError, HostUnavailableError: the line of a change that is to begin cannot be written.
        """
        match operation:
            case BeginChange():
                return {"number": await self._begin(operation)}
            case EndChange():
                await self._end(operation)
                return {}
            case ReadAudit():
                return await self._read(operation)

    def note_refused(self, refused: RequestsRefused) -> None:
        """A front has refused requests for their tokens."""
        self._refusals.note(refused)

    def close(self) -> None:
        """Wait for no further lines about refusals."""
        self._refusals.close()

    def _add_refusal(self, facts: JsonObject) -> None:
        async def add() -> None:
            try:
                await self._add(facts)
            except (OSError, HoldfastError) as error:  # nothing was changed: a log that is full of others misses it
                self._log.debug("the audit log cannot be written: a refusal is not in it", error=str(error))

        task = asyncio.create_task(add())
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    async def _begin(self, operation: BeginChange) -> int:
        try:
            return await self._add({"event": "begun", **_shown(operation.change)})
        except OSError as error:
            raise disk_error(error, "the audit log cannot be written", "nothing was changed") from error

    async def _end(self, operation: EndChange) -> None:
        facts = {"event": "ended", "begun": operation.begun, **_shown(operation.change), **asdict(operation.outcome)}
        try:
            await self._add(facts)
        except (OSError, HoldfastError) as error:
            outcome = {"status": operation.outcome.status, "outcome": operation.outcome.error}
            self._log.error(
                f"the audit log cannot be written: it has no outcome of its line {operation.begun}",
                reason=error.strerror if isinstance(error, OSError) else error.message,
                **outcome,
            )

    async def _read(self, operation: ReadAudit) -> JsonObject:
        more = self._more
        found = await asyncio.to_thread(self._kept.read, operation.after, operation.limit)
        if not found and operation.wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(operation.wait_s):
                    await more.wait()
            found = await asyncio.to_thread(self._kept.read, operation.after, operation.limit)
        after = found[-1]["number"] if found else operation.after
        if operation.tenant is not None:
            found = [shown for each in found if (shown := as_seen_by(operation.tenant, each)) is not None]
        return {"entries": found, "after": after}

    async def _add(self, facts: JsonObject) -> int:
        """Write one line, together with those that come meanwhile; its number."""
        added: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(({"at": utc_text(now_us()), **facts}, added))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await added

    async def _write(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                first, failure = 0, None
                try:
                    first = await asyncio.to_thread(self._kept.append, [facts for facts, _ in group])
                except (OSError, HoldfastError) as error:
                    failure = error
                for number, (_, added) in enumerate(group, first):
                    if added.done():
                        continue  # whoever waited is gone; the line is there all the same
                    if failure is None:
                        added.set_result(number)
                    else:
                        added.set_exception(failure)
                self._more.set()
                self._more = asyncio.Event()
        finally:
            self._writing = None


def _shown(change: Change) -> JsonObject:
    """Its line; a change for the host, as all once were, names no tenant."""
    facts: JsonObject = asdict(change)
    return {key: value for key, value in facts.items() if key not in _OF_TENANTS or value}
