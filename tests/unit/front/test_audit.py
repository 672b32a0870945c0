"""What a front has the audit log keep of a change."""

from __future__ import annotations

import asyncio

import pytest

from holdfast_host.core.tokens import new_id, new_token
from tests.unit.front.stage import staged


@pytest.mark.parametrize("escaped", [False, True], ids=["as it is", "escaped"])
def test_a_whole_token_in_the_place_of_its_id_is_kept_without_its_secret(escaped: bool) -> None:
    async def run() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.ask("DELETE", f"/v1/tokens/{written}"))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("answer", id=request["id"], result={"id": token_id})
            await asking
            kept = [each["change"]["object"] for each in stage.supervisor.audited]

            assert kept == [f"/v1/tokens/hft_{token_id}_..."] * 2

    token_id = new_id()
    token = new_token(token_id)
    written = token.replace("_", "%5F") if escaped else token
    asyncio.run(run())
