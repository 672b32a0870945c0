"""What browsers are told of pages of other origins, for functions and for the API; the test plays the worker."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from holdfast_host.core.config import HostConfig
from holdfast_host.core.cors import Cors, CorsError, read_cors
from holdfast_host.core.errors import ConfigurationError, InvalidManifestError
from holdfast_host.core.manifest import parse_manifest
from holdfast_host.wire.calls.frames import Call
from holdfast_host.wire.calls.function_bodies import FOLLOWS, pack_head
from holdfast_host.wire.control.catalog import Catalog, Deployment
from holdfast_host.wire.control.edge import Edge, NewEdge
from holdfast_host.wire.control.protocol import NewCatalog
from tests.unit.front.stage import CATALOG, Response, Stage, staged
from tests.unit.front.test_function_hosts import HOST, OK, WEB, asked

APP = "https://app.example.com"
OTHER = "https://other.example"
RULES = Cors((APP,), ("GET", "PUT"), ("Content-Type", "X-Page"), ("X-Total",), credentials=True, max_age_s=60)
TOLD = {
    "access-control-allow-origin": APP,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "X-Total",
    "vary": "Origin",
}
PREFLIGHT = {"origin": APP, "access_control_request_method": "PUT", "access_control_request_headers": "x-page"}


def deploy(stage: Stage, rules: Cors | None = RULES) -> None:
    stage.front.on_message(NewCatalog(Catalog(2, (*CATALOG.deployments, replace(WEB, cors=rules)))))


def told(response: Response) -> dict[str, str]:
    """What a response says to browsers."""
    return {
        name: value for name, value in response.headers.items() if name.startswith("access-control") or name == "vary"
    }


async def ask(stage: Stage, method: str, target: str, headers: dict[str, str]) -> Response:
    return await stage.ask(method, target, b"", **headers)


def test_a_preflight_is_answered_without_the_function() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            response = await ask(stage, "OPTIONS", "/a", {"host": HOST, **PREFLIGHT})

            assert (response.status, response.body, stage.worker.calls.empty()) == (200, b"", True)
            assert told(response) == {
                "access-control-allow-origin": APP,
                "access-control-allow-credentials": "true",
                "access-control-allow-methods": "GET, PUT",
                "access-control-allow-headers": "Content-Type, X-Page",
                "access-control-max-age": "60",
                "vary": "Origin",
            }

    uvloop.run(play())


def test_a_preflight_of_a_page_that_is_not_listed_is_refused_by_name() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            response = await ask(stage, "OPTIONS", "/a", {"host": HOST, **PREFLIGHT, "origin": OTHER})

            assert (response.status, response.error, told(response)) == (403, "ForbiddenError", {"vary": "Origin"})
            assert "[cors] origins" in response.json["error"]["message"]

    uvloop.run(play())


@pytest.mark.parametrize("origin", [APP, "HTTPS://app.example.com:443"])
def test_an_answer_tells_whose_pages_may_read_it_whatever_the_function_says(origin: str) -> None:
    own = [["Access-Control-Allow-Origin", "*"], ["access-control-max-age", "5"], ["Vary", "Accept"], ["X-Total", "9"]]
    reply = json.dumps({"status": 200, "headers": own, "body": "fine"}).encode()

    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            _, request, listed = await asked(stage, "GET", "/", b"", reply, 200, origin=origin)
            _, _, unlisted = await asked(stage, "GET", "/", b"", reply, 200, origin=OTHER)
            _, _, no_page = await asked(stage, "GET", "/", b"", reply, 200)

            assert ["origin", origin] in [[name.lower(), value] for name, value in request["headers"]]
            assert told(listed) == {**TOLD, "access-control-allow-origin": origin}
            assert (told(unlisted), told(no_page)) == ({"vary": "Origin"}, {"vary": "Origin"})
            assert listed.headers["x-total"] == "9"

    uvloop.run(play())


def test_errors_bodies_in_pieces_and_event_streams_tell_it_too() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage)
            _, _, failed = await asked(stage, "GET", "/", b"", b"no JSON", 200, origin=APP)
            too_large = await stage.ask(
                "PUT", "/", b"", host=HOST, origin=APP, content_length=str(1 << 30), expect="100-continue"
            )
            head = pack_head(1, json.dumps({"status": 200, "headers": [["Access-Control-Allow-Origin", "*"]]}).encode())
            task = asyncio.create_task(ask(stage, "GET", "/", {"host": HOST, "origin": APP}))
            await stage.worker.reply(await stage.worker.next_call(), 200 | FOLLOWS, head)
            await stage.worker.reply(await stage.worker.next_call(), 200, b"piece")
            await stage.worker.reply(await stage.worker.next_call(), 200, b"")
            pieces = await task

            assert (failed.status, told(failed)) == (500, TOLD)
            assert (too_large.status, told(too_large)) == (413, TOLD)
            assert (pieces.body, told(pieces)) == (b"piece", TOLD)

    uvloop.run(play())


def test_a_function_without_rules_sees_to_it_itself() -> None:
    reply = b'{"status":200,"headers":[["Access-Control-Allow-Origin","*"]],"body":""}'

    async def play() -> None:
        async with staged() as stage:
            deploy(stage, None)
            call, _, response = await asked(stage, "OPTIONS", "/", b"", reply, 200, **_options(PREFLIGHT))

            assert isinstance(call, Call)
            assert told(response) == {"access-control-allow-origin": "*"}

    uvloop.run(play())


def _options(headers: dict[str, str]) -> Any:
    return headers


def test_all_origins_may_be_let_in_without_credentials() -> None:
    async def play() -> None:
        async with staged() as stage:
            deploy(stage, Cors(("*",)))
            _, _, response = await asked(stage, "GET", "/", b"", OK, 200, origin="null")

            assert told(response) == {"access-control-allow-origin": "*"}

    uvloop.run(play())


def test_the_api_serves_pages_of_the_origins_that_its_operator_names_and_no_others() -> None:
    async def play() -> None:
        async with staged(token="t", edge=Edge(cors_origins=(APP,))) as stage:
            stage.worker.answer = b"1"
            page = {"origin": APP, "sec_fetch_site": "cross-site"}
            preflight = await ask(stage, "OPTIONS", "/v1/actors/Account/a/deposit", {**PREFLIGHT, **page})
            called = [await stage.deposit("alice", b"[1]", authorization="Bearer t", **page) for _ in range(3)]
            stranger = await ask(stage, "GET", "/v1/actors", page)
            nothing = await ask(stage, "GET", "/v1/nothing", {**page, "authorization": "Bearer t"})
            other = await ask(stage, "OPTIONS", "/v1/call", {**PREFLIGHT, "origin": OTHER})
            program = await stage.deposit(authorization="Bearer t")

            assert preflight.status == 200
            assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, POST, PUT, DELETE"
            for name in ("Authorization", "Idempotency-Key", "Last-Event-ID", "Traceparent"):  # which our clients send
                assert name in preflight.headers["access-control-allow-headers"]
            assert "Holdfast-Request-Id" in nothing.headers["access-control-expose-headers"]
            for response, status in [(called[0], 200), (called[2], 200), (stranger, 401), (nothing, 404)]:
                assert (response.status, response.headers["access-control-allow-origin"]) == (status, APP)
                assert response.headers["vary"] == "Origin"
            assert (other.status, "access-control-allow-origin" in other.headers) == (403, False)
            assert (program.status, told(program)) == (200, {})

    uvloop.run(play())


@pytest.mark.parametrize("where", ["by its host name", "by its path"])
def test_that_a_function_is_not_there_a_page_may_read_that_may_use_the_api(where: str) -> None:
    """There is no manifest that says whose pages; others are not told which functions there are."""
    target, host = ("/a", {"host": "nosuch.localhost"}) if where == "by its host name" else ("/fn/nosuch/a", {})

    async def play() -> None:
        async with staged(token="t", edge=Edge(cors_origins=(APP,))) as stage:
            preflight = await ask(stage, "OPTIONS", target, {**host, **PREFLIGHT})
            missing = await ask(stage, "GET", target, {**host, "origin": APP})
            unlisted = await ask(stage, "GET", target, {**host, "origin": OTHER})
            refused = await ask(stage, "OPTIONS", target, {**host, **PREFLIGHT, "origin": OTHER})

            assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, APP)
            assert (missing.status, missing.error) == (404, "UnknownFunctionError")
            assert missing.headers["access-control-allow-origin"] == APP
            for response in (unlisted, refused):
                assert (response.status, told(response)) == (404, {"vary": "Origin"})

    uvloop.run(play())


def test_without_the_flag_no_page_of_another_origin_is_served() -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await ask(stage, "OPTIONS", "/v1/call", PREFLIGHT)

            assert (response.status, told(response)) == (403, {})

    uvloop.run(play())


def test_heads_that_are_known_are_forgotten_with_the_settings_under_which_they_passed() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            for _ in range(2):
                await stage.deposit(x_forwarded_host="web.localhost")
            known = stage.direct_calls
            stage.front.on_message(NewEdge(Edge(("127.0.0.1/32",))))
            now = await stage.deposit(x_forwarded_host="nosuch.localhost")
            after = await stage.deposit(x_forwarded_host="web.localhost")

            assert (known, now.status, after.status) == (1, 404, 404)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("cors = 1", "it must be a table"),
        ("[cors]\norigin = []", "the unknown key origin; known here: origins, methods"),
        ("[cors]", "origins has none"),
        ('[cors]\norigins = "https://a.example"', "origins is no list of strings"),
        ('[cors]\norigins = ["a.example"]', "'a.example' is no origin of a page"),
        ('[cors]\norigins = ["https://a.example/"]', "is no origin of a page"),
        ('[cors]\norigins = ["*", "https://a.example"]', "'*' is no origin of a page"),
        ('[cors]\norigins = ["*"]\ncredentials = true', "which browsers refuse: list the origins"),
        ('[cors]\norigins = ["https://a.example"]\ncredentials = "yes"', "credentials must be true or false"),
        ('[cors]\norigins = ["https://a.example"]\nmethods = ["GET\\r\\n"]', "in methods is no name"),
        ('[cors]\norigins = ["https://a.example"]\nheaders = ["*"]', "in headers is no name"),
        ('[cors]\norigins = ["https://a.example"]\nexpose = "X"', "expose is no list of strings"),
        ('[cors]\norigins = ["https://a.example"]\nmax_age_s = 86401', "a whole number from 0 to 86400 seconds"),
        ('[cors]\norigins = ["https://a.example"]\nmax_age_s = true', "a whole number from 0 to 86400 seconds"),
    ],
)
def test_rules_that_are_none_are_refused_by_name(table: str, said: str) -> None:
    with pytest.raises(InvalidManifestError, match="has in \\[cors\\]: ") as error:
        parse_manifest(f'name = "web"\ncompatibility_date = "2026-11-01"\n{table}\n')

    assert said in error.value.message


def test_rules_come_out_of_the_registry_as_they_went_in() -> None:
    manifest = parse_manifest(
        'name = "web"\ncompatibility_date = "2026-11-01"\n[cors]\norigins = ["HTTPS://App.example.com:443"]\n'
        'methods = ["put"]\ncredentials = true\n'
    )
    kept = Deployment.from_json(json.loads(json.dumps(replace(WEB, cors=manifest.cors).to_json())))

    assert kept.cors == Cors((APP,), ("PUT",), credentials=True)
    assert Deployment.from_json(json.loads(json.dumps(WEB.to_json()))).cors is None
    assert read_cors(None) is None


@pytest.mark.parametrize("given", ["a.example", "*", "https://a.example/x"])
def test_an_origin_of_the_flag_that_is_none_is_refused_by_name(given: str) -> None:
    with pytest.raises(ConfigurationError, match="--cors-origin: "):
        HostConfig.make(cors_origins=[given, "https://b.example"])


def test_too_many_names_are_refused() -> None:
    with pytest.raises(CorsError, match="101 expose, the limit is 100"):
        read_cors({"origins": [APP], "expose": ["X"] * 101})
