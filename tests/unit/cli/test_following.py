"""Lines that are followed over the ends of their host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import pytest

from holdfast_host.cli.client import RefusedError, StrangeAnswerError, UnreachableError
from holdfast_host.cli.commands.audit import follow_audit
from holdfast_host.cli.commands.changes import follow_changes
from holdfast_host.cli.follow_logs import follow

GONE = "The host at http://h has stopped or is not reached any more: waiting for it."
BACK = "The host at http://h is back: going on."
DATE = "Thu, 01 Jan 1970 00:16:40 GMT"  # 1000 s
Connection = list[dict[str, Any]] | Exception


def line(at: float, text: str = "") -> dict[str, Any]:
    return {"time": at, "message": text or f"at {at}"}


class Host:
    """Stands where a HostClient does; each connection gives its lines and ends, or fails at once."""

    url = "http://h"

    def __init__(self, *connections: Connection) -> None:
        self._connections = list(connections)
        self.asked: list[dict[str, str]] = []

    def lines(
        self, path: str, _shape: object, opened: Callable[[str | None], None] = lambda date: None
    ) -> Iterator[dict[str, Any]]:
        self.asked.append(dict(parse_qsl(path.partition("?")[2])))
        connection = self._connections.pop(0)
        if isinstance(connection, Exception):
            raise connection
        opened(DATE)
        yield from connection


def followed(host: Host, count: int, **asked: str) -> tuple[list[str], list[str]]:
    """The first so many lines' messages, and what was noticed meanwhile."""
    noticed: list[str] = []
    lines = follow(host, asked, noticed.append, lambda seconds: None)  # type: ignore[arg-type]
    return [each["message"] for each in islice(lines, count)], noticed


def test_the_end_of_a_host_is_waited_out_and_said_once() -> None:
    refused = RefusedError("starting", "HostUnavailableError", None, "starting", retryable=True)
    away = [UnreachableError("no"), refused, StrangeAnswerError("502"), UnreachableError("no")]
    host = Host([line(1)], *away, [line(1), line(2)], [line(3)])

    assert followed(host, 3) == (["at 1", "at 2", "at 3"], [GONE, BACK, GONE, BACK])
    assert host.asked[0] == {"follow": "true"}


def test_lines_that_come_again_are_passed_over_and_late_ones_are_not() -> None:
    host = Host(
        [line(96), line(100, "x"), line(100, "x")],
        [line(97, "late"), line(100, "x"), line(100, "x"), line(100, "x"), line(101)],
    )

    assert followed(host, 6)[0] == ["at 96", "x", "x", "late", "x", "at 101"]
    assert host.asked[1] == {"follow": "true", "since": "96.000000"}


def test_what_was_cut_off_at_the_begin_does_not_come_with_the_next_connection() -> None:
    host = Host([line(998)], [line(998), line(1001)], [])
    followed(host, 2, tail="1", level="error")

    assert host.asked == [
        {"tail": "1", "level": "error", "follow": "true"},
        {"level": "error", "follow": "true", "since": "998.000000"},
    ]


def test_without_a_line_yet_it_goes_on_from_when_it_began() -> None:
    host = Host([], [line(1001)])

    assert followed(host, 1, tail="0")[0] == ["at 1001"]
    assert host.asked[1] == {"follow": "true", "since": "1000.000000"}


@pytest.mark.parametrize(
    "error",
    [UnreachableError("no host"), StrangeAnswerError("a page"), RefusedError("no", "UnauthorizedError", None, "no")],
)
def test_a_host_that_is_not_there_at_first_or_refuses_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        followed(Host(error), 1)
    if isinstance(error, RefusedError):
        with pytest.raises(RefusedError):
            followed(Host([line(1)], error), 2)


def test_the_audit_log_is_followed_over_the_ends_of_its_host_from_its_last_line_on() -> None:
    refused = RefusedError("starting", "HostUnavailableError", None, "starting", retryable=True)
    host = Host([{"number": 1}], UnreachableError("no"), refused, StrangeAnswerError("502"), [{"number": 2}])
    entries = follow_audit(host, lambda seconds: None)  # type: ignore[arg-type]

    assert [each["number"] for each in islice(entries, 2)] == [1, 2]
    assert host.asked[-1] == {"after": "1", "follow": "true"}


@pytest.mark.parametrize(
    "error",
    [UnreachableError("no host"), StrangeAnswerError("a page"), RefusedError("no", "UnauthorizedError", None, "no")],
)
def test_an_audit_log_that_cannot_be_read_at_first_or_not_any_more_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        next(follow_audit(Host(error), lambda seconds: None))  # type: ignore[arg-type]
    if isinstance(error, RefusedError):
        with pytest.raises(RefusedError):
            [*follow_audit(Host([{"number": 1}], error), lambda seconds: None)]  # type: ignore[arg-type]


def test_changes_end_with_the_hosts_sentence_where_their_position_is_gone_for_good() -> None:
    gone = RefusedError("gone", "BadRequestError", None, "gone")
    host = Host([{"position": "1.1"}], UnreachableError("no"), [{"position": "1.2"}], gone)
    lines = follow_changes(host, {"type": "Account"}, lambda seconds: None)  # type: ignore[arg-type]

    assert [each["position"] for each in islice(lines, 2)] == ["1.1", "1.2"]
    with pytest.raises(RefusedError):
        next(lines)
    assert host.asked[-1] == {"type": "Account", "after": "1.2", "follow": "true"}
