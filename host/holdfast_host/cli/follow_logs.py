"""`holdfast logs -f` over the ends of the host that it follows: it waits, goes on where it was, and says both.

What came last is asked for again, for lines of several workers may come out of order, and what was shown is passed
over.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final

from holdfast_host.cli.addresses import with_query
from holdfast_host.cli.client import HostClient, RefusedError, StrangeAnswerError, UnreachableError
from holdfast_host.cli.operator_answers import LogLine
from holdfast_host.cli.output import compact_json

PAUSE_S: Final = 0.5  # between two attempts to reach a host
OVERLAP_S: Final = 5.0  # so much older than the newest a line may be and still come

Line = LogLine


def follow(
    client: HostClient,
    asked: dict[str, str],
    notice: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """Each line once, without end.

    Args:
        client: to the host.
        asked: the query of the first request.
        notice: told when the host is gone, and when it is back.
        pause: waits so many seconds.

    Raises:
        CommandFailedError: the host cannot be reached at first, or refuses.
    """
    shown = _Shown(asked)
    gone = False

    def opened(date: str | None) -> None:
        nonlocal gone
        shown.begin(date)
        if gone:
            notice(f"The host at {client.url} is back: going on.")
        gone = False

    while True:
        try:
            path = with_query("/v1/logs", {**shown.query(), "follow": "true"})
            for line in client.lines(path, LogLine, opened):
                if shown.is_new(line):
                    yield line
        except (UnreachableError, StrangeAnswerError):  # a proxy may answer while there is no host behind it
            if not shown.begun:
                raise
        except RefusedError as error:
            if not (shown.begun and error.retryable):
                raise
        if not gone:
            notice(f"The host at {client.url} has stopped or is not reached any more: waiting for it.")
        gone = True
        pause(PAUSE_S)


class _Shown:
    """What has been shown, as far back as it may come again; lives as long as the command."""

    def __init__(self, asked: dict[str, str]) -> None:
        self._asked = asked
        self.begun = False
        self._oldest: float | None = None  # nothing older was to be shown
        self._newest = 0.0
        self._recent: deque[tuple[float, str]] = deque()
        self._again: Counter[str] = Counter()  # what may come again on this connection

    def begin(self, date: str | None) -> None:
        """A connection is open; the host says that it is this date."""
        if not self.begun and "tail" in self._asked and date is not None:
            with suppress(ValueError):  # whatever stands between us and the host wrote that
                self._newest = self._oldest = parsedate_to_datetime(date).timestamp()
        self.begun = True
        self._again = Counter(text for _, text in self._recent)

    def query(self) -> dict[str, str]:
        """What to ask for next: at first what was asked for, then whatever may not have been shown."""
        if self._oldest is None:
            return self._asked
        kept = {key: value for key, value in self._asked.items() if key != "tail"}
        return {**kept, "since": f"{max(self._newest - OVERLAP_S, self._oldest):.6f}"} if self.begun else self._asked

    def is_new(self, line: Line) -> bool:
        """Whether it has not been shown; then it is now."""
        at, text = float(line["time"]), compact_json(line)
        if self._again[text] > 0:
            self._again[text] -= 1
            return False
        self._oldest = at if self._oldest is None else min(self._oldest, at)
        self._newest = max(self._newest, at)
        self._recent.append((at, text))
        while self._recent and self._recent[0][0] < self._newest - OVERLAP_S:
            self._recent.popleft()
        return True
