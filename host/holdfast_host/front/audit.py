"""Changes through the management API, each in the audit log before it is made, and again with what became of it.

A handler says of what it made what `Exchange.details` is for. Where its work goes on after its client has gone,
`Exchange.later` is its outcome.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError, HoldfastError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.tokens import without_secrets
from holdfast_host.front.access.callers import NOBODY
from holdfast_host.front.access.refusals import Refusals
from holdfast_host.front.control import ControlChannel
from holdfast_host.front.http.answers import Answer
from holdfast_host.front.http.errors import RouteError
from holdfast_host.front.http.server import Exchange
from holdfast_host.wire.control.audit import Change, Outcome
from holdfast_host.wire.control.operations import BeginChange, EndChange

_log = logging.getLogger(__name__)

_PATH_CHARS_MAX: Final = 4_096  # a name and a key, each of their characters escaped
_FAILED: Final = 400


class Audited:
    """Of one front, for its loop."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control
        self._ending: set[asyncio.Task[None]] = set()

    async def perform(
        self, exchange: Exchange, what: str, path: str, make: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Make a change; returns what it is answered.

        Raises:
            StorageFullError, HostUnavailableError: the log cannot be written; nothing was changed.
            HoldfastError, RouteError: as `make` says.
        """
        caller = exchange.caller
        change = Change(
            caller.id,
            caller.name,
            what,
            without_secrets(path)[:_PATH_CHARS_MAX],
            exchange.came_by.client,
            None if exchange.whole_host else exchange.tenant,
            by_host=caller.tenant is None and not exchange.whole_host,
        )
        begun = int((await self._control.request(BeginChange(change)))["number"])
        try:
            response = await make()
        except HoldfastError as error:
            await self._end(begun, change, Outcome(error.status, error.name))
            raise
        except RouteError as error:
            await self._end(begun, change, Outcome(error.error.status, error.error.name))
            raise
        except web.RequestPayloadError:  # as it is answered
            await self._end(begun, change, Outcome(_FAILED, "BadRequestError"))
            raise
        except (asyncio.CancelledError, ConnectionError):  # the client is gone, and so may be this task
            ending = asyncio.create_task(self._end_later(begun, change, exchange))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            raise
        except Exception:
            await self._end(begun, change, Outcome(500, "InternalError"))
            raise
        if exchange.later is not None:
            await self._end_later(begun, change, exchange)
        else:
            await self._end(begun, change, _outcome_of(response, exchange))
        return response

    async def _end_later(self, begun: int, change: Change, exchange: Exchange) -> None:
        """With the outcome of what goes on by itself; where nothing does, that nobody knows."""
        outcome = Outcome(None, "the client hung up")
        if exchange.later is not None:
            try:
                status, result = await asyncio.shield(exchange.later)
                error = result["error"]["name"] if status >= _FAILED else None
                outcome = Outcome(status, error, {} if error else only(result, "version", "sha256"))
            except Exception:  # it is in the log
                outcome = Outcome(500, "InternalError")
        await self._end(begun, change, outcome)

    async def _end(self, begun: int, change: Change, outcome: Outcome) -> None:
        try:
            await self._control.request(EndChange(begun, change, outcome))
        except HoldfastError as error:  # the change has been made, or not, whatever becomes of its line
            _log.error("the audit log has no outcome of its line %d, %s: %s", begun, outcome, error.message)


def note_refusal(refusals: Refusals, exchange: Exchange, error: HoldfastError) -> None:
    """Count a request that was refused for its token."""
    try:
        client = exchange.came_by.client
    except BadRequestError:  # what proxies say of it cannot be
        client = exchange.remote or ""
    caller = None if exchange.caller is NOBODY else exchange.caller
    refusals.note(error, caller, client, exchange.method, without_secrets(exchange.target.partition("?")[0]))


def only(result: JsonObject, *keys: str) -> JsonObject:
    """What of a result is for the audit log."""
    return {key: result[key] for key in keys if key in result}


def _outcome_of(response: web.StreamResponse, exchange: Exchange) -> Outcome:
    if response.status < _FAILED:
        return Outcome(response.status, None, exchange.details or {})
    name = "unknown"
    if isinstance(response, Answer):
        name = str(json.loads(response.payload)["error"]["name"])
    return Outcome(response.status, name)
