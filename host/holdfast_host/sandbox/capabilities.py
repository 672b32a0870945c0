"""What a sandbox can reach: the interfaces behind the WIT imports, as the worker provides them.

A turn implements Capabilities. Its methods run on the thread that runs the guest. A HoldfastError that one raises goes
to the guest as the import's `err`; anything else is our bug and traps the guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.sandbox.gathered_calls import GatheredCall


class StorageCalls(Protocol):
    """The storage of the turn's own instance: overlay, then unflushed writes, then the store. Keys as UTF-8 bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The encoded value, None where the key is absent."""

    def get_many(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """The pairs that exist, in the order asked for. LimitError past a page's bytes, naming the key."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write one encoded value."""

    def delete(self, key: bytes) -> bool:
        """Delete one key; whether it was there."""

    def delete_all(self) -> None:
        """Delete every key, not the alarm."""

    def list(
        self,
        prefix: bytes,
        start: bytes | None,
        start_after: bytes | None,
        end: bytes | None,
        reverse: bool,
        limit: int,
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """A page of pairs, and the key to go on from where the page's bytes ended it before `limit` did."""

    def savepoint(self) -> int:
        """Begin a nested transaction; its number, which no other one of the activation has."""

    def release(self) -> None:
        """Keep what was written since the last savepoint."""

    def rollback(self) -> None:
        """Undo what was written since the last savepoint."""

    def release_savepoint(self, number: int) -> None:
        """Keep what was written since that savepoint; those inside it end too. BadRequestError where it is not open."""

    def rollback_savepoint(self, number: int) -> None:
        """Undo what was written since that savepoint; those inside it end too. BadRequestError where it is not open."""

    def set_alarm(self, due_us: int) -> None:
        """Set or replace the alarm."""

    def get_alarm(self) -> int | None:
        """The alarm's time in microseconds."""

    def delete_alarm(self) -> None:
        """Clear the alarm."""


class SocketCalls(Protocol):
    """The sockets of the turn's own instance. Texts as UTF-8 bytes, as `wit/sockets.wit` has them."""

    def accept(self, socket: bytes, options: bytes) -> None:
        """Accept the socket that the turn was offered."""

    def list(self, tag: bytes | None, after: bytes, limit: int) -> bytes:
        """A page of those that are open."""

    def count(self, tag: bytes | None) -> int:
        """How many are open."""

    def send(self, to: bytes, message: bytes, options: bytes) -> None:
        """Have a message leave with what the turn commits."""

    def attach(self, socket: bytes, value: bytes) -> None:
        """Keep another attachment."""

    def close(self, to: bytes, code: int, reason: bytes) -> None:
        """Have them closed."""

    def auto_response(self, text: bytes, answer: bytes) -> None:
        """Have the host answer that text by itself; an empty one ends it."""


class JobCalls(Protocol):
    """The jobs of the turn's own instance. Texts as UTF-8 bytes, as `wit/jobs.wit` has them."""

    def put(self, job: bytes) -> bytes:
        """Make a job from its JSON; its id."""

    def list(self, after: bytes, limit: int) -> bytes:
        """A page of them as JSON."""

    def cancel(self, by: bytes) -> bool:
        """Remove the job that the JSON names; whether there was one."""


class Capabilities(Protocol):
    """One turn, as its sandbox sees it."""

    @property
    def storage(self) -> StorageCalls:
        """The storage of the turn's instance."""

    @property
    def sockets(self) -> SocketCalls:
        """The sockets of the turn's instance."""

    @property
    def jobs(self) -> JobCalls:
        """The jobs of the turn's instance."""

    def host_call(self) -> bool:
        """Called first by every import: counts it, and may wait a moment. False ends the turn: the guest is trapped."""

    def check_alarm_handler(self) -> None:
        """BadRequestError where the type has no handler for an alarm."""

    def sync(self) -> None:
        """Return when what has been written so far is durable."""

    def call(self, binding: str, name: str, method: str, arguments: bytes, key: bytes = b"") -> bytes:
        """Call another instance with typed arguments, under an idempotency key or none; its typed result."""

    def call_many(self, calls: list[GatheredCall]) -> list[bytes | HoldfastError]:
        """Call several other instances at once: the typed result of each, or why it has none, in their order."""

    def key(self) -> bytes:
        """The idempotency key that the turn runs under; empty for none."""

    def fetch(self, binding: str, name: str, request: bytes) -> bytes:
        """Call another instance's fetch."""

    def request_http(self, request: bytes, *, streams: bool = False) -> bytes:
        """Send an outbound request; the text of its answer, or of its answer's head where that streams."""

    def read_http(self, stream: str, bytes_max: int) -> bytes:
        """The next piece of an answer that streams, as base64; empty at its end. 0 bytes close it."""

    def log(self, level: str, text: str) -> None:
        """One line of the guest's output."""

    def tick(self) -> bool:
        """Called on the guest's thread every slice while it computes; may wait for a slot. False ends the turn."""
