"""Jobs over HTTP: what is refused before a worker is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from holdfast_host.core.errors import BadRequestError
from holdfast_host.front.http.server import Exchange
from holdfast_host.front.routes.jobs import JobRoutes


@pytest.mark.parametrize("cursor", ["x", "00", "g" * 32, "a" * 33])
def test_a_cursor_that_no_page_of_an_instances_jobs_ended_with_is_refused(cursor: str) -> None:
    """Else the listing would begin anew, and whoever follows cursors never end."""
    nobody = cast("Any", None)
    routes = JobRoutes(nobody, nobody, nobody)
    with pytest.raises(BadRequestError, match="the parameter cursor is none"):
        asyncio.run(routes._list_instance(cast("Exchange", nobody), ("Account", "alice"), f"cursor={cursor}"))
