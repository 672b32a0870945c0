"""Ids of requests that failed: in the answer's head, and in the log's line about it, so that one leads to the other.

A request that succeeds has none, and costs nothing. Calls of actors and functions fail as their authors have it, as
often as they like: their lines are for level debug. Those of the API are at info, so many a second and no more.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Final

from holdfast_host.core.tokens import without_secrets

HEADER: Final = "Holdfast-Request-Id"
LINES_PER_S: Final = 20  # of level info, in one front
FAILED: Final = 400  # the first status that is one

_SHOWN: Final = 300  # characters of a target, bytes of an error
_log: Final = logging.getLogger(__name__)


class RequestIds:
    """Numbers them. One per server, for its loop."""

    def __init__(self) -> None:
        self._front = secrets.token_hex(4)  # another one after each start
        self._count = 0
        self._second = 0
        self._lines_left = LINES_PER_S

    def failed(self, method: str, target: str, status: int, body: bytes) -> bytes:
        """Give a failed request its id, and say so in the log; the header's line."""
        self._count += 1
        found = f"{self._front}-{self._count}"
        level = self._level(method, target)
        if _log.isEnabledFor(level):
            error = body[:_SHOWN].decode(errors="replace")
            shown = without_secrets(target)[:_SHOWN]
            _log.log(level, "request %s: %s %s: %d %s", found, method, shown, status, error)
        return f"{HEADER}: {found}\r\n".encode()

    def _level(self, method: str, target: str) -> int:
        is_call = method == "POST" and target.startswith(("/v1/actors/", "/v1/call"))
        if is_call or not target.startswith("/v1/"):
            return logging.DEBUG
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines_left = second, LINES_PER_S
        self._lines_left -= 1
        return logging.INFO if self._lines_left >= 0 else logging.DEBUG
