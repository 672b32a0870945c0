"""Who is let in, to what, and for how long: tokens as a front knows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from holdfast_host.core.errors import UnauthorizedError
from holdfast_host.core.tokens import Scope, digest_of, id_of, new_id, new_token
from holdfast_host.front.access.callers import Caller
from holdfast_host.front.access.rules import Guarded
from holdfast_host.front.access.tokens import Tokens
from holdfast_host.front.app import _ADMITTED
from holdfast_host.front.routes.openapi.document import describe_api
from holdfast_host.wire.control.protocol import pack_message
from holdfast_host.wire.control.tokens import KnownTokens, NewTokens, TokenFacts
from holdfast_host.wire.sockets.frames import Open
from tests.harness.host import PROJECT
from tests.unit.front.sockets.sockets_stage import ROOM, accepted, socket_staged
from tests.unit.front.stage import Stage, request_bytes, staged, until

BOOTSTRAP = "correct-horse"


def made(scope: str = Scope.CALL, *types: str, expires_us: int | None = None) -> tuple[str, TokenFacts]:
    """A token, and what fronts know of it."""
    token_id = new_id()
    text = new_token(token_id)
    return text, TokenFacts(token_id, digest_of(text), "shop", scope, types, expires_us)


def shown(text: str) -> CIMultiDict[str]:
    return CIMultiDict(Authorization=f"Bearer {text}")


def known(*facts: TokenFacts) -> KnownTokens:
    return KnownTokens(True, facts)


def tell(stage: Stage, *facts: TokenFacts) -> None:
    """The supervisor says which tokens there are."""
    stage.supervisor.write(pack_message(NewTokens(known(*facts))))


async def until_refused(stage: Stage, request: bytes) -> Any:
    async with asyncio.timeout(1.0):  # the guarantee: within a second
        response = await stage.exchange(request)
        while response.status == 200:
            response = await stage.exchange(request)
    return response


def test_a_token_is_known_by_its_id_and_not_by_its_text() -> None:
    text, facts = made()

    assert id_of(text) == facts.id
    assert text not in repr(facts)
    assert len({new_token(facts.id) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "send it as 'Authorization: Bearer TOKEN'"),
        (["Basic x"], "must be 'Bearer TOKEN'"),
        (["Bearer"], "this is no token of this host"),
        (["Bearer  "], "this is no token of this host"),
        (["Bearer \udcff\u00fc"], "this is no token of this host"),
        (["Bearer " + "x" * (1 << 20)], "this is no token of this host"),
        (["Bearer GOOD", "Bearer GOOD"], "more than one Authorization header"),
        (["Bearer GOOD", "Bearer x"], "more than one Authorization header"),
        (["Bearer GOODx"], "this is no token of this host"),
        (["Bearer GOOD more"], "this is no token of this host"),
        (["Bearer hft_aaaaaaaaaa_" + "x" * 43], "this is no token of this host"),
    ],
)
def test_what_is_no_token_of_the_host_is_refused_in_one_sentence(headers: list[str], said: str) -> None:
    text, facts = made()
    given = CIMultiDict([("Authorization", each.replace("GOOD", text)) for each in headers])

    with pytest.raises(UnauthorizedError, match=said):
        Tokens(BOOTSTRAP, known(facts)).caller(given)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_scheme_is_read_in_any_letters(scheme: str) -> None:
    text, facts = made()

    assert Tokens(None, known(facts)).caller(CIMultiDict(authorization=f"{scheme} {text}")).id == facts.id


def test_a_rotated_token_is_another_one_and_ends_what_it_was() -> None:
    before, facts = made()
    tokens = Tokens(BOOTSTRAP, known(facts))
    caller = tokens.caller(shown(before))
    after = new_token(facts.id)
    tokens.take(known(TokenFacts(facts.id, digest_of(after), "shop", Scope.CALL)))

    assert caller.ended
    assert tokens.caller(shown(after)) is not caller
    with pytest.raises(UnauthorizedError):
        tokens.caller(shown(before))


def test_a_token_that_stays_is_the_same_caller_when_others_change() -> None:
    text, facts = made()
    tokens = Tokens(BOOTSTRAP, known(facts))
    caller = tokens.caller(shown(text))
    tokens.take(known(facts, made()[1]))

    assert tokens.caller(shown(text)) is caller
    assert not caller.ended


def test_an_expired_token_has_expired_for_good_whatever_the_clock_says_later() -> None:
    now = [1_000.0]
    text, facts = made(expires_us=2_000_000_000)
    tokens = Tokens(BOOTSTRAP, known(facts), lambda: now[0])
    caller = tokens.caller(shown(text))
    now[0] = 2_000.0
    tokens.look()

    assert caller.ended
    for now[0] in (2_000.0, 1_000.0):
        with pytest.raises(UnauthorizedError, match=r"the token 'shop' \(\w{10}\) has expired"):
            tokens.caller(shown(text))


def test_a_host_whose_last_token_was_revoked_stays_closed() -> None:
    tokens = Tokens(None, known())

    with pytest.raises(UnauthorizedError):
        tokens.caller(CIMultiDict())


def test_a_host_without_tokens_asks_for_none() -> None:
    assert Tokens(None, KnownTokens()).caller(CIMultiDict()).id == "anonymous"


def head(text: str, target: str = "/v1/actors/Account/alice/deposit") -> bytes:
    return request_bytes("POST", target, b"[1]", authorization=f"Bearer {text}")


async def with_a_known_head(stage: Stage, text: str) -> None:
    """Have the front know the head of a call with that token."""
    stage.worker.record(b"1")
    assert (await stage.exchange(head(text))).status == 200
    before = stage.direct_calls
    assert (await stage.exchange(head(text))).status == 200
    assert stage.direct_calls == before + 1


@pytest.mark.parametrize("how", ["revoked", "rotated"])
def test_a_head_that_is_known_byte_for_byte_is_refused_once_its_token_has_ended(how: str) -> None:
    async def body() -> None:
        text, facts = made()
        async with staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            await with_a_known_head(stage, text)
            tell(stage, *([] if how == "revoked" else [TokenFacts(facts.id, digest_of("x"), "shop", Scope.CALL)]))
            response = await until_refused(stage, head(text))

            assert response.status == 401

    asyncio.run(body())


def test_a_head_that_is_known_byte_for_byte_is_refused_once_its_token_has_expired() -> None:
    async def body() -> None:
        text, facts = made(expires_us=1 << 60)
        now = [0.0]
        async with staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            stage.front._tokens._clock = lambda: now[0]
            await with_a_known_head(stage, text)
            now[0] = float(1 << 60)
            response = await until_refused(stage, head(text))

            assert response.json["error"]["message"].startswith("the token 'shop'")

    asyncio.run(body())


def test_a_token_for_some_types_is_held_to_them_also_where_its_head_is_known() -> None:
    async def body() -> None:
        text, facts = made(Scope.CALL, "Account")
        async with staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            await with_a_known_head(stage, text)
            others = [
                await stage.exchange(head(text, "/v1/actors/Ledger/alice/deposit")),
                await stage.exchange(head(text, "/v1/actors/%4Cedger/alice/deposit")),
                await stage.ask(
                    "POST", "/v1/call", b'{"type":"Ledger","name":"a","method":"m"}', authorization=f"Bearer {text}"
                ),
            ]

            assert [each.status for each in others] == [403, 403, 403]
            for each in others:
                assert "may call Account and no other type: 'Ledger' is not among them" in each.json["error"]["message"]

    asyncio.run(body())


def test_the_use_of_a_token_is_told_though_every_head_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast_host.front.access.tokens.USE_TOLD_S", 0.0)

    async def body() -> None:
        text, facts = made()
        async with staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            for _ in range(2):  # it is told, the heads are forgotten, and so the next use is seen
                stage.worker.record(b"1")
                await stage.exchange(head(text))

                assert (await stage.supervisor.next("tokens_used"))["ids"] == [facts.id]
            before = stage.direct_calls
            await stage.exchange(head(BOOTSTRAP))
            await stage.exchange(head(BOOTSTRAP))
            assert stage.direct_calls == before + 1  # nothing is told of it, and nothing forgotten

    asyncio.run(body())


@pytest.mark.parametrize("events", [False, True], ids=["socket", "event stream"])
def test_what_was_opened_with_a_token_ends_with_it(events: bool) -> None:
    async def body() -> None:
        text, facts = made(Scope.CALL, "Room")
        async with socket_staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            path, bearer = "/v1/actors/Room/lobby", {"Authorization": f"Bearer {text}"}
            if events:
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.stage.port)
                writer.write(
                    request_bytes("GET", path, accept="text/event-stream", authorization=bearer["Authorization"])
                )
            else:
                opening = stage.opening(path, additional_headers=bearer)
            call = await stage.worker.next_call()
            await stage.worker.send(Open(call.offer, events, ROOM, b"lobby").pack())
            await stage.worker.reply(call, 200, accepted("lobby"))
            if events:
                await reader.readuntil(b"\r\n\r\n")
            else:
                client = await opening
            tell(stage.stage)

            if events:
                async with asyncio.timeout(1.0):
                    await reader.read()
                writer.close()
            else:
                async with asyncio.timeout(1.0):
                    await client.wait_closed()
                assert client.close_code == 1008
                assert client.close_reason == "the token that it was opened with is revoked, rotated or has expired"
            await until(lambda: not stage.table._callers)

    asyncio.run(body())


def test_a_token_for_some_types_is_shown_these_and_no_others() -> None:
    async def body() -> None:
        its, cart = made(Scope.CALL, "Account", "Absent"), made(Scope.CALL, "Cart")
        async with staged(token=BOOTSTRAP, tokens=known(its[1], cart[1])) as stage:
            shown = [
                [
                    each["type"]
                    for each in (await stage.ask("GET", "/v1/actors", authorization=f"Bearer {text}")).json["actors"]
                ]
                for text in (its[0], cart[0], BOOTSTRAP)
            ]

            assert shown == [["Account"], [], ["Account"]]

    asyncio.run(body())


def test_a_token_for_another_type_opens_no_socket() -> None:
    async def body() -> None:
        text, facts = made(Scope.CALL, "Account")
        async with socket_staged(token=BOOTSTRAP, tokens=known(facts)) as stage:
            response = await stage.stage.ask(
                "GET", "/v1/actors/Room/lobby", accept="text/event-stream", authorization=f"Bearer {text}"
            )

            assert (response.status, response.error) == (403, "ForbiddenError")

    asyncio.run(body())


def test_every_route_says_who_may_use_it_and_the_description_repeats_it() -> None:
    async def body() -> None:
        async with staged(token=BOOTSTRAP) as stage:
            document = (await stage.ask("GET", "/v1/openapi.json", authorization=f"Bearer {BOOTSTRAP}")).json
            routes = stage.front._app.routes
        described = {
            (tuple("{}" if each.startswith("{") else each for each in path.split("/")[1:]), method.upper()): operation
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters" and not path.startswith("/fn/")
        }
        served = {(route.pattern, method): rule for route in routes for method, rule in route.handlers.items()}

        assert described.keys() == served.keys()
        for key, rule in served.items():
            assert isinstance(rule, Guarded)
            assert described[key]["x-holdfast-scopes"] == [*rule.scopes], key
            is_call = key[0][:2] in (("v1", "actors"), ("v1", "call"))
            assert bool(rule.changes) == (key[1] != "GET" and not is_call), f"{key} changes something, or not"
            if rule.changes:
                assert rule.changes == described[key]["operationId"]
            assert not rule.scopes or Scope.ADMIN in rule.scopes
            assert not rule.scopes or key[0][0] in _ADMITTED, f"{key} would be answered before anybody is asked"

    asyncio.run(body())


def test_the_table_of_the_docs_says_the_same() -> None:
    async def body() -> None:
        async with staged() as stage:
            document = describe_api("http://x", stage.front._app.routes, token=True)
        shown = [
            f"| `{method.upper()} {path}` | "
            + " | ".join(
                "yes" if scope in operation["x-holdfast-scopes"] else "" for scope in ("call", "deploy", "read")
            )
            + " |"
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters" and operation.get("x-holdfast-scopes")
        ]
        page = (PROJECT / "docs" / "tokens.md").read_text().splitlines()

        assert [line for line in page if line in shown] == shown
        assert (
            len([line for line in page if line.startswith("| `")]) == len(shown) + 1
        )  # direct sockets are no operation

    asyncio.run(body())


def test_every_scope_is_refused_where_a_route_does_not_name_it_and_the_sentence_says_what_is_missing() -> None:
    async def body() -> None:
        made_of = {scope: made(scope) for scope in Scope}
        async with staged(token=BOOTSTRAP, tokens=known(*(facts for _, facts in made_of.values()))) as stage:
            asked = 0
            for path, item in describe_api("http://x", stage.front._app.routes, token=True)["paths"].items():
                if path.startswith(("/fn/", "/health/")):
                    continue
                target = "/".join("Account" if each.startswith("{") else each for each in path.split("/"))
                for method, operation in item.items():
                    if method == "parameters":
                        continue
                    for verb in (method.upper(), "HEAD") if method == "get" else (method.upper(),):
                        response = await stage.ask(verb, target, x_http_method_override="GET")
                        assert response.status == 401, (verb, path)
                        response = await stage.ask(f"{verb}", f"{target}?token={BOOTSTRAP}&access_token={BOOTSTRAP}")
                        assert response.status == 401, (verb, path)
                    for scope, (text, facts) in made_of.items():
                        if scope in operation["x-holdfast-scopes"]:
                            continue
                        response = await stage.ask(method.upper(), target, authorization=f"Bearer {text}")
                        wanted = " or ".join(operation["x-holdfast-scopes"])
                        said = f"the token 'shop' ({facts.id}) has the scope {scope}, and this takes one of {wanted}"
                        assert response.status == 403, (method, path, scope)
                        assert response.json["error"]["message"] == said
                        asked += 1

            assert asked > 80
            assert stage.worker.calls.empty()
            assert stage.supervisor.messages.empty()  # nothing has come further than the front

    asyncio.run(body())


def test_a_function_sees_no_token_of_the_host_though_it_has_expired() -> None:
    text, facts = made(expires_us=1)
    tokens = Tokens(BOOTSTRAP, known(facts))

    assert tokens.is_shown(shown(text))
    assert tokens.is_shown(CIMultiDict([("Authorization", "Bearer other"), ("Authorization", f"bearer {text}")]))
    assert tokens.is_shown(shown(BOOTSTRAP))
    assert not tokens.is_shown(shown("other"))


def test_a_caller_is_named_for_people() -> None:
    assert Caller(TokenFacts("abcdefghij", "", "", Scope.READ)).label == "the token abcdefghij"
