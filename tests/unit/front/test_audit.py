"""What a front has the audit log keep of a change."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from holdfast_host.core.tokens import new_id, new_token
from tests.unit.front.stage import request_bytes, staged


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


def test_what_is_refused_once_lines_have_left_ends_the_answer_unfinished(caplog: pytest.LogCaptureFixture) -> None:
    """A second head would be read as a line, and a clean end would be taken for the end of the log."""

    async def run() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("GET", "/v1/audit"))
            first = await stage.supervisor.next("request")
            stage.supervisor.send("answer", id=first["id"], result={"entries": [{"number": 1}]})
            second = await stage.supervisor.next("request")
            error = {"name": "HostUnavailableError", "message": "the disk of the audit log is gone", "status": 503}
            stage.supervisor.send("answer", id=second["id"], error=error)
            answer = b""
            with suppress(ConnectionResetError, TimeoutError):
                while piece := await asyncio.wait_for(reader.read(1 << 16), 5):
                    answer += piece
            writer.close()

            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b'{"number":1}' in answer
            assert answer.count(b"HTTP/1.1") == 1
            assert not answer.endswith(b"0\r\n\r\n")
            assert "the disk of the audit log is gone" in caplog.text

    caplog.set_level("INFO")
    asyncio.run(run())
