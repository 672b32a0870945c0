"""/v1/logs: what instances and functions print, merged over the workers in order of time, as JSON lines.

Each worker is asked for a step of bounded size at a time; a line is passed on once no worker can still have an earlier
one. With `follow` the answer goes on until the caller leaves or the front stops.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import deque
from typing import Any, Final

from aiohttp import web

from holdfast_host.core.errors import BadRequestError
from holdfast_host.core.json_text import JsonObject
from holdfast_host.core.log_levels import LEVELS
from holdfast_host.core.tenants import name_of
from holdfast_host.core.tokens import Scope
from holdfast_host.front.access.rules import look
from holdfast_host.front.app import Route
from holdfast_host.front.http.answers import LineStream
from holdfast_host.front.http.paths import TRUTH, read_number, read_parameters
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.worker_link import WorkerLink

FOLLOW_PAUSE_S: Final = 0.25
TAIL_MAX: Final = 10_000
_CHOICES: Final = ("type", "name", "function", "since", "level")
_SECONDS: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)  # to the year 9999, and no milliseconds


class LogRoutes:
    """The handler. One per front."""

    def __init__(self, links: list[WorkerLink]) -> None:
        self._links = links

    def routes(self) -> list[Route]:
        """For the App."""
        return [Route.of("/v1/logs", GET=look(self._logs, Scope.DEPLOY))]

    async def _logs(self, exchange: Exchange, found: tuple[str, ...], query: str) -> web.StreamResponse:
        asked = read_parameters(query, "type", "name", "function", "since", "level", "follow", "tail")
        follow = TRUTH.get(asked.get("follow", "false").lower())
        if follow is None:
            raise BadRequestError(f"the parameter follow is {asked['follow'][:40]!r}: write true or false")
        tail = read_number(asked, "tail", 0, TAIL_MAX)
        if not _SECONDS.fullmatch(asked.get("since", "0")):
            raise BadRequestError(
                f"the parameter since is {asked['since'][:40]!r}: write seconds since 1970, not milliseconds"
            )
        if asked.get("level", "debug") not in LEVELS:
            raise BadRequestError(f"the parameter level is {asked['level'][:40]!r}: write one of {', '.join(LEVELS)}")
        sources = [_Source(link, exchange.tenant, asked) for link in self._links]
        stream = LineStream(exchange)
        if tail is not None:
            last: deque[JsonObject] = deque(maxlen=tail)
            while not await _step(sources, last.append):
                pass
            await stream.open()
            for line in last:
                await stream.write(_shown(line))
        else:
            await asyncio.gather(*(source.advance() for source in sources))  # a refusal still gets its own head
            await stream.open()
        await self._pass_on(exchange, sources, stream, follow=follow)
        await stream.aclose()
        return stream.response

    async def _pass_on(self, exchange: Exchange, sources: list[_Source], stream: LineStream, *, follow: bool) -> None:
        while not (exchange.server.draining or exchange.caller.ended):
            ready: list[JsonObject] = []
            at_end = await _step(sources, ready.append)
            for line in ready:
                await stream.write(_shown(line))
            if at_end and (not follow or exchange.half_closed):
                return
            if at_end:
                await asyncio.sleep(FOLLOW_PAUSE_S)


class _Source:
    """The lines of one worker: those read and not yet passed on, and where the next ones are."""

    def __init__(self, link: WorkerLink, tenant: str, asked: dict[str, str]) -> None:
        self._link = link
        self._facts: JsonObject = {"read": "logs", "tenant": tenant, **{key: asked.get(key) for key in _CHOICES}}
        self._positions: JsonObject = {}
        self.lines: deque[JsonObject] = deque()
        self.known_to: float | None = None
        self.at_end = False

    async def advance(self) -> None:
        """Read a step, unless lines are left that wait for another worker's."""
        if self.lines:
            return
        answer = await self._link.read({**self._facts, "positions": self._positions})
        self._positions |= answer["positions"]
        self.lines.extend(answer["lines"])
        self.known_to = answer["known_to"]
        self.at_end = self.known_to is None


async def _step(sources: list[_Source], take: Any) -> bool:
    """Take the lines that no source can precede any more; True when that was all there is."""
    await asyncio.gather(*(source.advance() for source in sources))
    known_to = min((source.known_to for source in sources if source.known_to is not None), default=None)
    merged: list[list[JsonObject]] = []
    for source in sources:
        ready: list[JsonObject] = []
        while source.lines and (known_to is None or source.lines[0]["time"] <= known_to):
            ready.append(source.lines.popleft())
        merged.append(ready)
    for line in heapq.merge(*merged, key=lambda facts: facts["time"]):
        take(line)
    for source in sources:
        if not source.lines and source.known_to == known_to:
            source.known_to = None
    return all(source.at_end and not source.lines for source in sources)


def _shown(line: JsonObject) -> JsonObject:
    """A line as callers see it: the label in its parts."""
    actor_type, slash, name = str(line.pop("instance", "")).partition("/")
    line["function"] = name_of(str(line.get("function", "")))
    owner: JsonObject = {"type": actor_type, "name": name} if slash else {}
    head = {"time": line.pop("time", None), "level": line.pop("level", None), **owner}
    return {**head, **{key: value for key, value in line.items() if value != "" or key == "message"}}
