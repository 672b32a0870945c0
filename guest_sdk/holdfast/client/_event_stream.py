"""Following an actor's events over HTTP, from connection to connection: nothing here reads or writes one.

The state of one follower is here once, for both clients: what it asks for, what has come, and how long it waits.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx

from holdfast.client._failures import UnexpectedAnswerError, refusal_of
from holdfast.client._request import CONNECT_TIMEOUT_S, path_of
from holdfast.client._tracing import current_traceparent

SILENCE_S: Final = 45.0  # the host says a word every 15 s
FIRST_WAIT_S: Final = 0.5
FIRST_WAIT_S_MIN: Final = 0.1  # whatever the stream says
WAIT_S_MAX: Final = 30.0
SETTLED_S: Final = 5.0  # a connection that held so long was a good one

_LINE_END: Final = re.compile(rb"\r\n|\n|\r(?!\Z)")
_AGAIN: Final = 429


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Attributes:
        id: The last id that was said, from which a later stream can go on; empty before the first.
        event: Its name; `message` where the actor gave none, `reset` where some of what was missed is lost.
        data: Its text.
    """

    id: str
    event: str
    data: str


class Follower:
    """One stream of events, whatever number of connections it takes."""

    def __init__(self, actor_type: str, name: str, path: str, last_event_id: str | None) -> None:
        self.what = f"{actor_type}/{name} at /{path.removeprefix('/')}"
        self.path = f"{path_of(actor_type, name)}/{path.removeprefix('/')}"
        self.timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_TIMEOUT_S)
        self._last_id = last_event_id
        self._wait_s = 0.0
        self._first_wait_s = FIRST_WAIT_S
        self._began = time.monotonic()
        self._rest = b""
        self._fields: dict[str, str] = {}

    def headers(self) -> dict[str, str]:
        """Those of the next connection, which begins."""
        self._began, self._rest, self._fields = time.monotonic(), b"", {}
        headers = {"accept": "text/event-stream"}
        if self._last_id is not None:
            headers["last-event-id"] = self._last_id
        if parent := current_traceparent():
            headers["traceparent"] = parent
        return headers

    @staticmethod
    def is_stream(response: httpx.Response) -> bool:
        """Whether events come; else its body is to be read, for `refused`."""
        kind: str = response.headers.get("content-type", "")
        return response.status_code == httpx.codes.OK and kind.startswith("text/event-stream")

    def refused(self, response: httpx.Response) -> float:
        """Judge an answer that is no stream: how long to wait before the next connection.

        Raises:
            ActorCallError: There is to be none.
        """
        status = response.status_code
        error = refusal_of(status, response.content)
        if error is None:
            error = UnexpectedAnswerError(f"{self.what}: status {status} instead of events", status)
        if not (error.retryable or status == _AGAIN or status >= httpx.codes.INTERNAL_SERVER_ERROR):
            raise error
        return self.ended()

    def ended(self) -> float:
        """A connection is over: how long to wait before the next one, in seconds."""
        if time.monotonic() - self._began > SETTLED_S:
            self._wait_s = 0.0
        pause_s = self._first_wait_s * random.random()  # noqa: S311 it spreads those who were cut off together
        self._wait_s = min(2 * self._wait_s + pause_s, WAIT_S_MAX)
        return self._wait_s

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece of a stream."""
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        for line in lines:
            if line:
                self._field(line.decode(errors="replace"))
                continue
            fields, self._fields = self._fields, {}
            self._last_id = fields.get("id", self._last_id)
            if "data" in fields:
                yield Event(self._last_id or "", fields.get("event") or "message", fields["data"])

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._fields[name] = f"{self._fields[name]}\n{value}" if name in self._fields else value
        elif name == "event" or (name == "id" and "\0" not in value):
            self._fields[name] = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._first_wait_s = min(max(float(value) / 1000, FIRST_WAIT_S_MIN), WAIT_S_MAX)
