"""The line before the compiler: so many components compile at once, and nobody fills the line for others.

A host has one token and names are made up freely, so all that tells users apart is the address that a deploy comes
from. Each address has two lines, one for first deploys and one for new versions of what is deployed: behind a proxy,
where all come from one address, a flood of new names is still one line of two. The lines are served in turn, one
deploy each; what the host itself has to compile again, because a deployed function waits for it, goes first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from holdfast_host.core.errors import DeployQueueFullError, HostUnavailableError
from holdfast_host.core.limits import Limits

COMPILES_MAX: Final = 2  # at once: a core and up to compile_memory_bytes each; one that takes long leaves a way past it
SIGN_S: Final = 30.0  # who waits hears so often that it still does: a client may take a long silence for the end

Party = tuple[str, bool]  # the client's address, and whether it deploys under a name for the first time
_HOST: Final[Party] = ("", False)


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks for a deploy: the client's address, and an event that is set when it has hung up."""

    client: str
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class CompileQueue:
    """The places of one host; used by the event loop's thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = COMPILES_MAX
        self._lines: dict[Party, deque[asyncio.Future[None]]] = {}  # the next to be served first; none is empty

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def place(
        self, on_wait: Callable[[], None], applicant: Applicant | None, *, first: bool
    ) -> AsyncIterator[None]:
        """A place to compile in, for the length of the block.

        Args:
            on_wait: called when it has to wait, and every SIGN_S while it does.
            applicant: whose deploy it is; None for the host's own.
            first: it is the first deploy under its name.

        Raises:
            DeployQueueFullError: too many wait already.
            HostUnavailableError: the applicant hung up before its turn came.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(on_wait, applicant, first)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, on_wait: Callable[[], None], applicant: Applicant | None, first: bool) -> None:
        """Return when the place of another is ours."""
        party = _HOST if applicant is None else (applicant.client, first)
        gone = asyncio.Event() if applicant is None else applicant.gone
        if applicant is not None:
            self._check_room(party)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(party, deque()).append(turn)
        leaving = asyncio.ensure_future(gone.wait())
        try:
            while not turn.done() and not leaving.done():
                on_wait()
                await asyncio.wait((turn, leaving), timeout=SIGN_S, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if turn.done():
                self._pass_on()
            raise
        finally:
            leaving.cancel()
            if not turn.done():
                self._leave(party, turn)
        if not turn.done():
            raise HostUnavailableError("the client hung up while its deploy waited: nothing was deployed")

    def _check_room(self, party: Party) -> None:
        line, mine = self._limits.deploys_waiting_max, self._limits.client_deploys_waiting_max
        if self.waiting >= line:
            raise DeployQueueFullError(f"{line} deploys wait for the compiler, which is the limit: deploy again later")
        if len(self._lines.get(party, ())) >= mine:
            what = "first deploys" if party[1] else "new versions"
            raise DeployQueueFullError(
                f"{mine} {what} from {party[0]} wait for the compiler, which is the limit: deploy again later"
            )

    def _pass_on(self) -> None:
        """Give a place to who is next; that line is the last to be served again."""
        if not self._lines:
            self._free += 1
            return
        party = _HOST if _HOST in self._lines else next(iter(self._lines))
        line = self._lines.pop(party)
        line.popleft().set_result(None)
        if line:
            self._lines[party] = line

    def _leave(self, party: Party, turn: asyncio.Future[None]) -> None:
        line = self._lines[party]
        line.remove(turn)
        if not line:
            del self._lines[party]
