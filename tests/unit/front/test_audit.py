"""What a front has the audit log keep of a change."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from holdfast_host.core.errors import UnauthorizedError
from holdfast_host.core.tokens import digest_of, new_id, new_token
from holdfast_host.front.access.refusals import GROUPS_MAX, Refusals
from holdfast_host.supervisor.audit.tenant_lines import OF_HOST
from holdfast_host.wire.control.audit import RequestsRefused
from holdfast_host.wire.control.catalog import Catalog, Tenant
from holdfast_host.wire.control.tokens import KnownTokens, TokenFacts
from tests.unit.front.stage import PATIENCE_S, request_bytes, staged


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
            stage.supervisor.send("answer", id=first["id"], result={"entries": [{"number": 1}], "after": 1})
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


def test_what_is_of_the_host_alone_is_known_to_be_no_tenants() -> None:
    """What is not named there would be shown to the tenant `default`."""

    async def run() -> None:
        async with staged() as stage:
            rules = [(each.pattern, rule) for each in stage.front._app.routes for rule in each.handlers.values()]
            of_host = {rule.changes for _, rule in rules if rule.of_host and rule.changes}
            of_tokens = {rule.changes for pattern, rule in rules if pattern[1:2] == ("tokens",) and rule.changes}

            assert len(of_host) >= 3
            assert len(of_tokens) >= 3
            assert of_host | of_tokens | {"refuse"} == OF_HOST

    asyncio.run(run())


@pytest.mark.parametrize(
    ("whose", "named", "told"),
    [
        (None, None, {}),
        (None, "acme", {"tenant": "acme", "by_host": True}),
        (None, "default", {"tenant": "default", "by_host": True}),
        ("acme", None, {"tenant": "acme"}),
        ("acme", "acme", {"tenant": "acme"}),
    ],
)
def test_a_change_says_for_which_tenant_it_was_made_and_whether_by_the_host(
    whose: str | None, named: str | None, told: dict[str, Any]
) -> None:
    async def run() -> None:
        token_id = new_id()
        shown = new_token(token_id)
        facts = TokenFacts(token_id, digest_of(shown), "", "admin", (), None, whose)
        catalog = Catalog(1, (), (Tenant("acme", ()),))
        async with staged(catalog=catalog, tokens=KnownTokens(True, (facts,))) as stage:
            headers = {"Authorization": f"Bearer {shown}", **({"Holdfast-Tenant": named} if named else {})}
            asking = asyncio.create_task(stage.ask("DELETE", "/v1/secrets/KEY", b"", **headers))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("answer", id=request["id"], result={"name": "KEY"})
            await asking
            [change, _] = [each["change"] for each in stage.supervisor.audited]

            assert {key: change[key] for key in ("tenant", "by_host") if change.get(key)} == told

    asyncio.run(run())


def test_requests_that_are_refused_for_their_token_are_told_together_with_what_they_asked_for() -> None:
    """None of what is in a token is told."""

    async def run() -> None:
        token_id = new_id()
        shown, wrong = new_token(token_id), new_token(new_id())
        facts = TokenFacts(token_id, digest_of(shown), "ci", "read", (), None, "acme")
        catalog = Catalog(1, (), (Tenant("acme", ()),))
        async with staged(catalog=catalog, tokens=KnownTokens(True, (facts,))) as stage:
            for _ in range(3):
                await stage.ask("GET", f"/v1/functions?token={wrong}", Authorization=f"Bearer {wrong}")
            await stage.ask("GET", f"/v1/tokens/{wrong}", Authorization=f"Bearer {wrong}")
            await stage.ask("PUT", "/v1/secrets/KEY", Authorization=f"Bearer {shown}")
            await stage.ask("GET", "/v1/nothing", Authorization=f"Bearer {shown}")
            stage.front._refusals.tell()
            told: dict[str, Any] = {}  # by error, the first and how many; a slow machine tells them in parts
            while sum(count for _, count in told.values()) < 5:
                message = await asyncio.wait_for(stage.supervisor.refused.get(), PATIENCE_S)
                for refusal, count in message["groups"]:
                    first, before = told.get(refusal["error"], (refusal, 0))
                    told[refusal["error"]] = (first, before + count)

        nobody, somebody = told["UnauthorizedError"], told["ForbiddenError"]
        assert nobody[1] == 4
        assert nobody[0]["object"] == "GET /v1/functions"
        assert (nobody[0]["status"], nobody[0]["token"], nobody[0]["client"]) == (401, "", "127.0.0.1")
        assert somebody == (
            {
                "status": 403, "error": "ForbiddenError", "token": token_id, "name": "ci", "client": "127.0.0.1",
                "object": "PUT /v1/secrets/KEY", "tenant": "acme",
            },
            1,
        )  # fmt: skip
        assert stage.supervisor.audited == []

    asyncio.run(run())


def test_a_front_tells_of_so_many_kinds_of_refusals_at_once_and_counts_the_others() -> None:
    async def run() -> None:
        told: list[RequestsRefused] = []
        refusals = Refusals(told.append)
        for number in range(GROUPS_MAX + 9):
            refusals.note(UnauthorizedError("no"), None, f"192.0.2.{number}", "GET", "/")
        refusals.tell()
        refusals.tell()

        [only] = told
        assert (len(only.groups), only.further) == (GROUPS_MAX, 9)

    asyncio.run(run())
