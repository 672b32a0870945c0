"""Calls whose requests need no parser: a head that has passed all checks passes them again, byte for byte.

Clients send the same head with each call. Once the HTTP library has parsed one, and our checks (Host, Origin, token)
have let it pass, its lines after the first are remembered with what follows from them. A request is then recognised,
never interpreted: a plain first line, lines that are remembered, and exactly as many bytes as they announced. Anything
else goes the usual way, also all that is refused for its head. What the checks say of a head changes with the tokens
and the operator's settings alone, and then all is forgotten; a token that is for some types is held to them at each
call. What else may change, the catalog and the workers, is asked at each call.
Tokens are found by their hash with the rest of the head: how long that takes tells nothing of them. A key of
idempotency is another one each time: a head is known without its one line of the key, which is read as it stands.

What does not live here: the connection (front.known.connection), and what is checked of a call
(front.calls.actor_calls).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from holdfast_host.core.tenants import DEFAULT_TENANT
from holdfast_host.front.calls.actor_calls import TYPED_RESULT
from holdfast_host.front.calls.idempotency_keys import REPLAYED_LINE, read_key
from holdfast_host.front.http.answers import JSON, TYPED_JSON
from holdfast_host.front.known.boundary import HEAD_BYTES_MAX
from holdfast_host.wire.calls.idempotency import REPLAYED

if TYPE_CHECKING:
    from holdfast_host.front.calls.actor_calls import Calls, WholeRequest
    from holdfast_host.front.worker_link import WorkerLink
    from holdfast_host.wire.calls.window import PendingCall, Reply

HEADS_MAX: Final = 512  # remembered, of at most `boundary.HEAD_BYTES_MAX` each
# Of one path segment only what stands for itself: no escape, no query, nothing that a length could be refused for.
_SEGMENT: Final = rb"([A-Za-z0-9._~!$&'()*+,;=:@-]{1,256})"
_LINE: Final = re.compile(rb"POST /v1/actors/%b/%b/%b HTTP/1\.1\r\n" % (_SEGMENT, _SEGMENT, _SEGMENT))
# One line of the key; from a line's end, which the first line of a request has before it.
_KEY_LINE: Final = re.compile(rb"\r\nidempotency-key:([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_TRACED: Final = re.compile(rb"(?:\A|\r\n)traceparent:", re.IGNORECASE)
_LINE_END: Final = b"\r\n"
_BLANK: Final = _LINE_END * 2
_OK: Final = 200


class Caller(Protocol):
    """The connection that a direct call came from."""

    def answer(self, status: int, body: bytes, content_type: str, further: bytes = b"") -> None:
        """Send what the worker answered, with further lines of the head."""

    def refuse(self, error: Exception) -> None:
        """Send an error."""


class DirectCall:
    """One call on its way to a worker and back; it takes the place of a future. Its connection owns it."""

    __slots__ = ("_caller", "_content_type", "_link", "_pending")

    def __init__(self, caller: Caller, content_type: str) -> None:
        self._caller: Caller | None = caller
        self._content_type = content_type
        self._link: WorkerLink | None = None
        self._pending: PendingCall | None = None

    def sent(self, link: WorkerLink, pending: PendingCall) -> None:
        """It has its slot."""
        self._link, self._pending = link, pending

    def abandon(self) -> None:
        """Nobody waits any more: cancel the turn if it has not begun."""
        self._caller = None
        if self._link is not None and self._pending is not None:
            self._link.cancel(self._pending)

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._caller is None

    def set_result(self, reply: Reply) -> None:
        """The worker's answer is here."""
        caller, self._caller = self._caller, None
        self._pending = None  # which holds this call: together they would wait for a collection
        if caller is not None:
            status, body = reply
            if status & REPLAYED:
                caller.answer(status & ~REPLAYED, body, self._content_type, REPLAYED_LINE)
            else:
                caller.answer(status, body, self._content_type if status == _OK else JSON)

    def set_exception(self, error: Exception) -> None:
        """There will be no answer."""
        caller, self._caller = self._caller, None
        self._pending = None
        if caller is not None:
            caller.refuse(error)


class DirectCalls:
    """The heads that one front knows. For its loop."""

    def __init__(self, calls: Calls, heads_max: int = HEADS_MAX) -> None:
        self._calls = calls
        self._heads_max = heads_max
        # Flags, length of the body, types that may be called or None for all, tenant; in the order in which they came.
        self._heads: dict[bytes, tuple[int, int, frozenset[bytes] | None, str]] = {}
        self.count = 0  # of calls that were begun here

    def learn(
        self,
        block: bytes,
        body_bytes: int,
        flags: int,
        types: frozenset[bytes] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """A head with these lines, which announce that length, has passed; the one known longest may go for it.

        `types` are those that may be called with it, None for all; `tenant` is whose they are.
        """
        block, _ = _without_key(block)
        if _without_key(block)[1] is not None:
            return  # two keys: it will be refused
        if _TRACED.search(block) is not None:
            return  # no other request has it: it would take the place of one that comes again
        if len(self._heads) >= self._heads_max:
            del self._heads[next(iter(self._heads))]
        self._heads[block] = flags, body_bytes, types, tenant

    def forget(self) -> None:
        """Know none any more."""
        self._heads.clear()

    def knows(self, block: bytes) -> bool:
        """Whether a head with these lines after the first has passed."""
        return block in self._heads or _without_key(block)[0] in self._heads

    def recognise(self, data: bytes) -> WholeRequest | None:
        """The call that these bytes are, no more and no less; None where that is for the parser to say."""
        line = _LINE.match(data)
        if line is None:
            return None
        line_end = line.end()
        end = data.find(_BLANK, line_end - 2, line_end + HEAD_BYTES_MAX) + len(_BLANK)
        block, key = data[line_end:end], b""
        known = self._heads.get(block)
        if known is None:
            # As `_without_key`, of the head where it stands: the end of the first line is before its lines.
            line_of_key = _KEY_LINE.search(data, line_end - len(_LINE_END), end)
            found = read_key(line_of_key[1]) if line_of_key is not None else None
            if line_of_key is None or found is None:
                return None
            before, after = data[line_end - len(_LINE_END) : line_of_key.start()], data[line_of_key.end() : end]
            known, key = self._heads.get((before + after)[len(_LINE_END) :]), found
        if known is None or len(data) != end + known[1] or (known[2] is not None and line[1] not in known[2]):
            return None
        return line.groups(), known[0], data[end:], key, known[3]

    def begin(self, request: WholeRequest, caller: Caller) -> DirectCall:
        """Send the call to its worker; its caller is answered later.

        Raises:
            HoldfastError: what the caller is to be answered at once.
        """
        self.count += 1
        call = DirectCall(caller, TYPED_JSON if request[1] & TYPED_RESULT else JSON)
        call.sent(*self._calls.send(request, call))
        return call


def _without_key(block: bytes) -> tuple[bytes, bytes | None]:
    """The lines of a head without the first one of a key, and its value; None where there is none."""
    lines = _LINE_END + block
    found = _KEY_LINE.search(lines)
    if found is None:
        return block, None
    return (lines[: found.start()] + lines[found.end() :])[len(_LINE_END) :], found[1]
