"""Refused requests in the audit log: none is left uncounted, and no flood of them fills it."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast_host.supervisor.audit.refusals import LINE_EVERY_S, LINES_MAX, RefusalLines
from holdfast_host.wire.control.audit import Refusal, RequestsRefused

DAY_S = 86_400


class Lines:
    """What is written, by a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.written: list[Any] = []
        self.refusals = RefusalLines(self.written.append, lambda: self.now_s)

    def refuse(self, client: str, count: int = 1, further: int = 0, tenant: str | None = None) -> None:
        refusal = Refusal(401, "UnauthorizedError", "", "", client, "GET /v1/functions", tenant)
        self.refusals.note(RequestsRefused([(refusal, count)], further))

    @property
    def counted(self) -> int:
        return sum(each["count"] + each.get("further", 0) for each in self.written)


def test_a_refusal_is_a_line_of_its_own_that_says_who_asked_for_what() -> None:
    async def body() -> None:
        lines = Lines()
        lines.refuse("192.0.2.1", 3)
        lines.refuse("192.0.2.2", tenant="acme")
        lines.refusals.close()

        facts = {"event": "refused", "what": "refuse", "status": 401, "error": "UnauthorizedError"}
        shown = {"token": "", "name": "", "object": "GET /v1/functions"}
        assert lines.written == [
            {**facts, **shown, "client": "192.0.2.1", "count": 3},
            {**facts, **shown, "client": "192.0.2.2", "tenant": "acme", "count": 1},
        ]

    asyncio.run(body())


def test_a_flood_of_a_day_writes_a_line_a_minute_and_every_request_is_counted() -> None:
    async def body() -> None:
        lines, refused = Lines(), 0
        for second in range(DAY_S):
            lines.now_s += 1
            for each in range(3):
                lines.refuse(f"192.0.2.{(second + each) % 250}", 7, further=2)
                refused += 9
        lines.now_s += LINE_EVERY_S
        lines.refusals.write()
        lines.refusals.close()

        assert len(lines.written) <= LINES_MAX + DAY_S / LINE_EVERY_S + 1
        assert lines.counted == refused

    asyncio.run(body())


def test_of_more_addresses_than_are_kept_apart_the_largest_is_named_and_the_others_are_counted() -> None:
    async def body() -> None:
        lines = Lines()
        for number in range(LINES_MAX):
            lines.refuse(f"a{number}")
        for number in range(1_000):
            lines.refuse(f"b{number}", 5 if number == 7 else 1)
        before = len(lines.written)
        lines.now_s += LINE_EVERY_S
        lines.refusals.write()
        lines.refusals.close()

        [last] = lines.written[before:]
        assert before == LINES_MAX
        assert (last["client"], last["count"], last["further"]) == ("b7", 5, 999)

    asyncio.run(body())


def test_what_waits_for_its_line_gets_it_without_a_further_refusal() -> None:
    async def body() -> None:
        lines = Lines()
        for number in range(LINES_MAX + 1):
            lines.refuse(f"a{number}")
        assert lines.refusals._waiting is not None
        lines.now_s += LINE_EVERY_S
        lines.refusals._wake()

        assert lines.written[-1]["client"] == f"a{LINES_MAX}"
        assert lines.refusals._waiting is None

    asyncio.run(body())
