"""Bodies of functions' responses that come in pieces: each stands in its own sandbox, between two turns.

A piece is a turn like any other, of the same sandbox and the same version; between two there is no thread. The sandbox
has left its function's pool, and comes back to it when the body has ended: by itself, by an error, or closed because
nobody takes it any more. A body is closed by a turn too, in which its function's `finally` runs.
"""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.errors import (
    ActorFetchTimeoutError,
    HoldfastError,
    HostUnavailableError,
    MailboxFullError,
    OutboundUnreachableError,
)
from holdfast_host.core.limits import KIB
from holdfast_host.wire.calls.frames import Call, CallKind
from holdfast_host.wire.calls.function_bodies import pack_head, pack_pull, unpack_pull
from holdfast_host.worker.threads.leaders import leaders
from holdfast_host.worker.turns.fetch_messages import announces_body
from holdfast_host.worker.turns.function_turns import FunctionTurn, PieceTurn

if TYPE_CHECKING:
    from holdfast_host.core.limits import Limits
    from holdfast_host.worker.client_connections import ClientConnection
    from holdfast_host.worker.turns.entry import Entry
    from holdfast_host.worker.turns.mailboxes import Mailboxes
    from holdfast_host.worker.turns.turn import Turn


class SandboxPools(Protocol):
    """The pools that sandboxes leave while a body stands in them."""

    def leave_pool(self, entry: Entry) -> None:
        """It serves no requests."""

    def join_pool(self, entry: Entry) -> None:
        """It may again, where there is room."""


Tell = Callable[["ClientConnection", int, int, bytes], None]  # client, slot, status, body

_BODY: Final = int(CallKind.BODY)
_FIRST_BITS: Final = 62  # of the first number
_TAKES: Final = 2  # so many times what a client may take nothing, beside what a slow one needs for a piece,
_SLOWEST_BYTES_S: Final = 8 * KIB  # where fronts cut who takes less: nobody has asked for so long, so nobody will


@leaders
class StandingBody:
    """One body that has not ended."""

    __slots__ = ("asked_at", "client", "closing", "entry", "given_bytes", "number", "opened_at")

    def __init__(self, number: int, entry: Entry, client: ClientConnection | None, now: float) -> None:
        self.number = number
        self.entry = entry
        self.client = client
        self.opened_at = self.asked_at = now
        self.given_bytes = 0
        self.closing = False

    def refusal(self, turn: Turn) -> HoldfastError | None:
        """Why this turn may not wait for the outside any more: its client has gone while it computed."""
        if not self.closing or (isinstance(turn, PieceTurn) and turn.closes):
            return None
        return _client_gone(self.entry)


@leaders
class FunctionBodies:
    """The bodies of one worker."""

    def __init__(
        self,
        pools: SandboxPools,
        mailboxes: Mailboxes,
        limits: Limits,
        tell: Tell,
        interrupt: Callable[[Entry, HoldfastError], None],
    ) -> None:
        """`tell` answers a call that is no turn; `interrupt(entry, error)` ends what a turn waits for outside."""
        self._pools = pools
        self._mailboxes = mailboxes
        self._tell = tell
        self._limits = limits
        self._interrupt = interrupt
        # A front may ask a worker for what stood in one that died: no two have bodies of the same number.
        self._numbers = itertools.count(secrets.randbits(_FIRST_BITS))
        self._open: dict[int, StandingBody] = {}
        self._of_functions: Counter[int] = Counter()
        self._ends_at = math.inf

    @property
    def anything_open(self) -> bool:
        """Whether some have not ended."""
        return bool(self._open)

    def of_function(self, type_id: int) -> int:
        """How many of this function have not ended."""
        return self._of_functions[type_id]

    def ended(self, turn: FunctionTurn) -> tuple[StandingBody | None, bool]:
        """A turn of a function is over: the body whose head its result is now, and whether its sandbox stands."""
        standing = turn.entry.body
        if standing is not None:
            return None, self._goes_on(standing, turn)
        if turn.error is None and turn.broken is None and announces_body(turn.result):
            return self._begin(turn), True
        return None, False

    def refused(self, entry: Entry) -> None:
        """A piece, or a close, could not run: there is nothing to run it in, or nobody else will close it."""
        standing = entry.body
        if standing is not None and (standing.closing or entry.sandbox is None):
            entry.deactivate()
            self._forget(standing)

    def pull(self, client: ClientConnection, request: Call) -> None:
        """A front asks for the next piece, or wants no more."""
        number, closes = unpack_pull(request.body)
        standing, now = self._open.get(number), time.monotonic()
        if standing is None or standing.client is not client or standing.closing:
            self._answer(client, request, HostUnavailableError("this body of a response has ended"))
            return
        entry, limit_s = standing.entry, self._limits.stream_timeout_s
        left_s = standing.opened_at + limit_s - now
        if closes or left_s <= 0:
            self.close(standing)
            late = f"{entry.label}: the body of a response has not ended within {limit_s:g} s, and is cut off"
            self._answer(client, request, HostUnavailableError("closed") if closes else ActorFetchTimeoutError(late))
            return
        request.budget_ms = math.ceil(left_s * 1000)
        standing.asked_at = now
        turn = PieceTurn(entry, client, request, now)
        client.expect(turn)
        self._queue(turn)

    def forget_client(self, client: ClientConnection) -> None:
        """The front is gone: nobody takes what is left."""
        for standing in [each for each in self._open.values() if each.client is client]:
            self.close(standing)

    def keep_house(self, now: float, is_deployed: Callable[[int], bool]) -> None:
        """Close what nobody asks for any more, whose function is gone, and what outlives the host's stop."""
        if not self._open:
            return
        limits = self._limits
        if self._mailboxes.draining and self._ends_at == math.inf:
            self._ends_at = now + limits.stream_stop_s
        unasked_since = now - _TAKES * limits.stream_take_s - limits.stream_piece_bytes_max / _SLOWEST_BYTES_S
        for standing in list(self._open.values()):
            is_idle = standing.entry.turn is None and not standing.entry.mail
            if (
                (is_idle and standing.asked_at < unasked_since)
                or now >= self._ends_at
                or not is_deployed(standing.entry.type_id)
            ):
                self.close(standing)

    def close(self, standing: StandingBody) -> None:
        """Have the function's code run to its end, after the turn that runs now; nobody is told."""
        if standing.closing:
            return
        standing.closing = True
        entry = standing.entry
        for waiting in list(entry.mail):
            self._mailboxes.withdraw(waiting)
        self._interrupt(entry, _client_gone(entry))
        closing = Call(0, 0, 0, _BODY, 0, b"", b"body", b"", pack_pull(standing.number, closes=True))
        self._queue(PieceTurn(entry, None, closing, time.monotonic()))

    def _begin(self, turn: FunctionTurn) -> StandingBody | None:
        """The response that a turn has given has a body to follow; None where nobody may, or will, take it."""
        entry, limits = turn.entry, self._limits
        standing = StandingBody(next(self._numbers), entry, turn.client, time.monotonic())
        refusal: HoldfastError | None = None
        if len(self._open) >= limits.streams_max:
            refusal = MailboxFullError(
                f"{entry.label}: {len(self._open)} responses in pieces are under way at its worker, the limit is "
                f"{limits.streams_max}"
            )
        elif self._of_functions[entry.type_id] >= limits.function_streams_max:
            refusal = MailboxFullError(
                f"{entry.label}: {self._of_functions[entry.type_id]} responses in pieces are under way, the limit is "
                f"{limits.function_streams_max} of a function at one worker"
            )
        entry.body = self._open[standing.number] = standing
        self._of_functions[entry.type_id] += 1
        self._pools.leave_pool(entry)
        if refusal is not None or turn.abandoned:
            turn.error = refusal
            self.close(standing)
            return None
        turn.result = pack_head(standing.number, turn.result)
        return standing

    def _goes_on(self, standing: StandingBody, turn: FunctionTurn) -> bool:
        standing.given_bytes += len(turn.result)
        closed = isinstance(turn, PieceTurn) and turn.closes
        failed = turn.error is not None or turn.broken is not None
        if turn.result and not closed and not failed:
            return True
        if failed or standing.given_bytes > self._limits.function_kept_bytes_max:
            standing.entry.deactivate()
        self._forget(standing)
        return False

    def _forget(self, standing: StandingBody) -> None:
        """It has ended: its sandbox is its function's again."""
        entry = standing.entry
        del self._open[standing.number]
        self._of_functions[entry.type_id] -= 1
        entry.body = None
        for waiting in list(entry.mail):
            self._mailboxes.withdraw(waiting)
        self._pools.join_pool(entry)

    def _queue(self, turn: PieceTurn) -> None:
        self._mailboxes.wait_in(turn.entry, turn)
        self._mailboxes.requeue(turn.entry)

    def _answer(self, client: ClientConnection, request: Call, error: HoldfastError) -> None:
        self._tell(client, request.slot, error.status, error.to_json())


def _client_gone(entry: Entry) -> OutboundUnreachableError:
    return OutboundUnreachableError(f"{entry.label}: the client of the response is gone")
