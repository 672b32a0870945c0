"""The tokens that a front lets in, as the supervisor tells it, and what follows when one does not hold any more.

A token is looked for by the id in it, which is no secret, and then compared in constant time. What was remembered of
requests that had passed (`front.known`) is forgotten whenever a token ends, so nothing passes by memory alone; it is
forgotten every USE_TOLD_S too, so that a token whose requests are all known is seen to be used.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import UnauthorizedError
from holdfast_host.core.tokens import digest_of, id_of
from holdfast_host.front.access.callers import NOBODY, OPERATOR, Caller

if TYPE_CHECKING:
    from multidict import MultiMapping

    from holdfast_host.wire.control.tokens import KnownTokens

LOOK_S: Final = 0.5  # from one look at the clock to the next
USE_TOLD_S: Final = 10.0

EndOf = Callable[[Caller], None]


class Tokens:
    """Of one front, for its loop."""

    def __init__(self, bootstrap: str | None, known: KnownTokens, clock: Callable[[], float] = time.time) -> None:
        """`bootstrap` is the token that the host was started with."""
        self._bootstrap = None if bootstrap is None else bootstrap.encode()
        self._clock = clock
        self._callers = {each.id: Caller(each) for each in known.tokens}
        self._used: set[str] = set()
        self._end_of: EndOf = lambda caller: None
        self._forget: Callable[[], None] = lambda: None
        self._looking: asyncio.TimerHandle | None = None
        self._use_told = 0.0
        self.required = bootstrap is not None or known.asked_for

    def watch(self, end_of: EndOf, forget: Callable[[], None], tell_used: Callable[[list[str]], None]) -> None:
        """Look at the clock from now on.

        Args:
            end_of: told of each caller whose token has ended.
            forget: forgets which requests have passed.
            tell_used: told the ids of those that were used.
        """
        self._end_of, self._forget = end_of, forget
        loop = asyncio.get_running_loop()
        self._use_told = loop.time()

        def pass_time() -> None:
            self._looking = loop.call_later(LOOK_S, pass_time)
            self.look()
            if self._used and loop.time() - self._use_told >= USE_TOLD_S:
                self._use_told = loop.time()
                tell_used(self.take_used())

        pass_time()

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    def caller(self, headers: MultiMapping[str]) -> Caller:
        """Whose token the request shows.

        Raises:
            UnauthorizedError: no header or two, another scheme, a token that is none of this host or has expired.
        """
        if not self.required:
            return NOBODY
        found = self._find(_shown(headers))
        if found is None:
            raise UnauthorizedError("this is no token of this host: it was made by another, or is rotated or revoked")
        self._end_if_expired(found)
        if found.ended:
            raise UnauthorizedError(f"{found.label} has expired: rotate it, or make another one")
        if found is not OPERATOR:
            self._used.add(found.id)
        return found

    def is_shown(self, headers: MultiMapping[str]) -> bool:
        """Whether a header carries a token of the host, though it may have expired."""
        if not self.required:
            return False
        for each in headers.getall("Authorization", ()):
            scheme, _, shown = each.partition(" ")
            if scheme.lower() == "bearer" and self._find(shown.strip()) is not None:
                return True
        return False

    def take(self, known: KnownTokens) -> None:
        """These are all from now on."""
        before, self._callers = self._callers, {}
        self.required = self.required or known.asked_for
        for each in known.tokens:
            kept = before.get(each.id)
            if kept is not None and hmac.compare_digest(kept.digest, each.digest):
                self._callers[each.id] = before.pop(each.id)
            else:
                self._callers[each.id] = Caller(each)
        self._forget()
        for caller in before.values():
            self._end(caller)

    def look(self) -> None:
        """See which have expired."""
        for caller in self._callers.values():
            self._end_if_expired(caller)

    def take_used(self) -> list[str]:
        """The ids of those that were used since the last time."""
        used, self._used = sorted(self._used & self._callers.keys()), set()
        self._forget()
        return used

    def _find(self, shown: str) -> Caller | None:
        if self._bootstrap is not None and hmac.compare_digest(
            shown.encode("utf-8", "surrogateescape"), self._bootstrap
        ):
            return OPERATOR
        found = self._callers.get(id_of(shown) or "")
        return found if found is not None and hmac.compare_digest(found.digest, digest_of(shown)) else None

    def _end_if_expired(self, caller: Caller) -> None:
        """Once it has, it has: a clock that is set back gives it no further time."""
        if caller.expires_us is not None and not caller.ended and self._clock() * 1e6 >= caller.expires_us:
            self._forget()
            self._end(caller)

    def _end(self, caller: Caller) -> None:
        caller.ended = True
        self._end_of(caller)


def _shown(headers: MultiMapping[str]) -> str:
    """The token in the one header that carries it."""
    found = headers.getall("Authorization", ())
    if not found:
        raise UnauthorizedError("this host has a token: send it as 'Authorization: Bearer TOKEN'")
    if len(found) > 1:
        raise UnauthorizedError("the request has more than one Authorization header: send one, 'Bearer TOKEN'")
    scheme, _, shown = found[0].partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError("the Authorization header must be 'Bearer TOKEN'")
    return shown.strip()
