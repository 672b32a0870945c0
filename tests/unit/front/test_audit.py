"""What a front has the audit log keep of a change."""

from __future__ import annotations

import asyncio

import pytest

from holdfast_host.core.tokens import new_id, new_token
from tests.unit.front.stage import staged


@pytest.mark.parametrize("escaped", [False, True], ids=["as it is", "escaped"])
def test_a_whole_token_in_the_place_of_its_id_is_kept_without_its_secret_and_logged_so_where_that_fails(
    escaped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.ask("DELETE", f"/v1/tokens/{written}"))
            request = await stage.supervisor.next("request")
            error = {"name": "UnknownTokenError", "message": "there is no such token", "status": 404}
            stage.supervisor.send("answer", id=request["id"], error=error)
            await asking
            kept = [each["change"]["object"] for each in stage.supervisor.audited]

            assert kept == [f"/v1/tokens/hft_{token_id}_..."] * 2
            assert f"DELETE /v1/tokens/hft_{token_id}_...: 404" in caplog.text

    token_id = new_id()
    token = new_token(token_id)
    written = token.replace("_", "%5F") if escaped else token
    caplog.set_level("INFO")
    asyncio.run(run())
