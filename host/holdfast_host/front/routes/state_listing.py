"""Listings by state over all workers: pages of alarms or jobs, state by state, worker by worker.

A cursor says state, worker and position there; a page that is not the last may be short, where few are in the state.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from holdfast_host.core.errors import BadRequestError
from holdfast_host.front.http.paths import read_number
from holdfast_host.front.worker_link import WorkerLink

PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 100
_READS_MAX: Final = 20  # for one request: where few of many are wanted, its caller goes on himself
_CURSOR: Final = re.compile(r"([a-z]+)\.(\d{1,5})\.((?:[0-9a-f]{2})*)")


async def list_by_state(
    links: list[WorkerLink],
    question: str,
    known: tuple[str, ...],
    given: dict[str, str],
    show: Callable[[dict[str, Any]], dict[str, Any] | None],
    only: Mapping[str, Sequence[int]],
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of rows, and the cursor of the next; None where that is all.

    Args:
        links: to the workers.
        question: what each of them is asked.
        known: the states, in the order of the listing.
        given: the parameters `state`, `limit` and `cursor`, as far as they are there.
        show: makes a row what callers see; None leaves it out.
        only: of which types' numbers rows are, see `TenantView`. A cursor never lies at a row of others.
    """
    states = known
    if "state" in given:
        if given["state"] not in known:
            raise BadRequestError(f"the state is {given['state'][:40]!r}: it is one of {', '.join(known)}")
        states = (given["state"],)
    limit = read_number(given, "limit", 1, PAGE_MAX) or PAGE_DEFAULT
    state, worker, after = states[0], 0, ""
    if "cursor" in given:
        match = _CURSOR.fullmatch(given["cursor"])
        if match is None or match[1] not in states or int(match[2]) >= len(links):
            raise BadRequestError("this cursor does not belong to this listing: begin it anew")
        state, worker, after = match[1], int(match[2]), match[3]
    rows: list[dict[str, Any]] = []
    for _ in itertools.count() if only else range(_READS_MAX):
        facts = {"read": question, "state": state, "after": after, "limit": limit - len(rows), **only}
        answer = await links[worker].read(facts)
        rows += [row for row in map(show, answer["rows"]) if row is not None]
        after = answer["next"] or ""
        if not after:
            worker += 1
        if worker == len(links):
            worker = 0
            state = next((later for later in states[states.index(state) + 1 :]), "")
        if not state or len(rows) >= limit:
            break
    return rows, f"{state}.{worker}.{after}" if state else None
