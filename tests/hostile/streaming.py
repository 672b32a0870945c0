"""Attacks by bodies that come in pieces, whose client takes some and goes, and by requests to the outside."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from tests.harness.caller import Answer, Caller
from tests.hostile.cases import LATE, OK, RAISED, Case

TAKEN_BYTES = 256 << 10


def _taking(kind: str, *, whole: bool) -> Callable[[Caller], Answer]:
    """Ask for a body and take a part of it, or all; the answer says how it ended: `taken`, `cut` or `whole`."""

    def attempt(caller: Caller) -> Answer:
        connection = caller.open()
        try:
            connection.request("GET", f"/fn/hostile/{kind}")
            response = connection.getresponse()
            if response.status != http.client.OK:
                return Answer(response.status, response.read().decode(), {})
            taken, end = 0, "taken"
            try:
                while whole or taken < TAKEN_BYTES:
                    data = response.read1(1 << 16)
                    taken += len(data)
                    if not data:
                        end = "whole"
                        break
            except (http.client.IncompleteRead, ConnectionError):
                end = "cut"
            return Answer(response.status, end, {})
        finally:
            connection.close()

    return attempt


def _asking(method: str, *arguments: int) -> Callable[[Caller], Answer]:
    return lambda caller: caller.call("AsksOutside", method, method, *arguments)


def streaming_cases() -> list[Case]:
    """What a function's body does to those who take it, and who asks outside what he may not."""
    left = ("for-ever", "flood", "raise-in-close", "go-on-in-close", "loop-in-close", "call-in-close")
    cut = ("never", "nothing", "hoard", "exit", "base-error")
    return [
        *(Case(f"body: {kind}", (OK,), _taking(kind, whole=False), "^taken$") for kind in left),
        *(Case(f"body: {kind}", (OK,), _taking(kind, whole=True), "^cut$") for kind in cut),
        Case("body with a head too long", RAISED, _taking("head", whole=True), "its log says why"),
        Case("10,000 requests outside", LATE, _asking("flood", 10_000), "over its budget"),
        Case("20 requests to the host itself", (OK,), _asking("flood", 20), "^20$"),
        Case("odd requests outside", (OK,), _asking("odd_requests"), "^((?!it was sent).)*$"),
        Case("streams that others have opened", (OK,), _asking("forged_streams"), '^\\[("BadRequestError",?){7}\\]$'),
    ]
