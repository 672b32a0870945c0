from __future__ import annotations

import asyncio
import json

import pytest
import uvloop

from holdfast_host.core.ids import partition_of
from holdfast_host.core.limits import SLOTS, Limits
from holdfast_host.wire.calls.frames import Call, CallFlag
from tests.unit.front.stage import Stage, read_response, request_bytes, staged

pytestmark = pytest.mark.usefixtures("either_way")

TYPED = "application/vnd.holdfast+json"


def test_a_call_reaches_the_worker_as_it_was_sent_and_its_result_comes_back_as_it_is() -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.deposit("alice", b'{ "amount" : 1.50 }'))
            call = await stage.worker.next_call()
            await stage.worker.reply(call, 200, b'{"balance":1.50}')
            response = await asking

            assert (call.type_id, call.name, call.method) == (7, b"alice", b"deposit")
            assert (call.body, call.flags, call.kind, call.budget_ms, call.origin) == (
                b'{ "amount" : 1.50 }',
                0,
                0,
                0,
                b"",
            )
            assert (response.status, response.body) == (200, b'{"balance":1.50}')
            assert response.headers["content-type"] == "application/json"
            assert response.headers["server"] == "holdfast"
            assert "date" in response.headers

    uvloop.run(play())


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("a%2Fb", "a/b"),
        ("%2E%2E", ".."),
        ("..", ".."),
        (".", "."),
        ("+15551234567", "+15551234567"),
        ("tenant:room", "tenant:room"),
        ("%E5%90%8D%E5%89%8D", "名前"),
        ("two%20words", "two words"),
        ("%25", "%"),
        ("%2525", "%25"),
        ("a%3Fb%23c", "a?b#c"),
        ("%F0%9F%92%B0", "💰"),
        ("x" * 256, "x" * 256),
    ],
)
def test_a_name_of_any_kind_arrives_decoded_exactly_once(segment: str, name: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            call, response = await stage.answered("POST", f"/v1/actors/Account/{segment}/deposit")

            assert response.status == 200
            assert call.name.decode() == name

    uvloop.run(play())


@pytest.mark.parametrize("segment", ["%", "%4", "%zz", "a%00b", "%FF", "%ED%A0%80", "", "x" * 257, "%E5%90%8D" * 86])
def test_a_name_that_breaks_the_rule_is_refused(segment: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.deposit(segment)

            assert (response.status, response.error) == (400, "InvalidNameError")

    uvloop.run(play())


def test_the_type_and_the_method_are_decoded_too() -> None:
    async def play() -> None:
        async with staged() as stage:
            call, _ = await stage.answered("POST", "/v1/actors/%41ccount/alice/%64eposit?x=1#y")

            assert (call.type_id, call.method) == (7, b"deposit")

    uvloop.run(play())


@pytest.mark.parametrize("name", [".", "..", "a/b", "", "名前", 'quo"te', "nul\0"])
def test_a_call_by_body_takes_names_that_clients_rewrite_in_paths(name: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            args = b'{"amount": 10000000000000000000000.10, "s": "}]"}'
            body = (
                json.dumps({"type": "Account", "name": name, "method": "deposit"}).encode()[:-1] + b', "args": ' + args
            )
            if name in {"", "nul\0"}:
                assert (await stage.ask("POST", "/v1/call", body + b"}")).error == "InvalidNameError"
                return
            call, _ = await stage.answered("POST", "/v1/call", body + b" } ")

            assert (call.name.decode(), call.body) == (name, args)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "BadRequestError"),
        (b"[]", 400, "BadRequestError"),
        (b'{"type":"Account","name":"a"}', 400, "BadRequestError"),
        (b'{"type":"Account","name":7,"method":"deposit"}', 400, "BadRequestError"),
        (b'{"type":"Account","name":"a","method":"deposit","args":5}', 400, "BadRequestError"),
        (b'{"type":"Account","name":"a","method":"deposit","arguments":{}}', 400, "BadRequestError"),
        (b'{"type":"Account","name":"a","method":"deposit","args":[1e400]}', 400, "BadRequestError"),
        (b'{"type":"Account","name":"a","method":"deposit","args":[1,]}', 400, "BadRequestError"),
        (b'{"type":"Account","name":"a","method":"deposit"}x', 400, "BadRequestError"),
        (b'{"type":"Nobody","name":"a","method":"deposit"}', 404, "UnknownActorTypeError"),
        (b'{"type":"Account","name":"a","method":""}', 404, "ActorUnknownMethodError"),
        (b'{"type":"Account","name":"\\ud800","method":"deposit"}', 400, "InvalidNameError"),
    ],
)
def test_a_call_by_body_that_names_no_call_is_refused(body: bytes, status: int, error: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("POST", "/v1/call", body)

            assert (response.status, response.error) == (status, error)

    uvloop.run(play())


def test_typed_json_is_asked_for_by_content_type_and_accept() -> None:
    async def play() -> None:
        async with staged() as stage:
            target = "/v1/actors/Account/alice/deposit"
            both, typed = await stage.answered("POST", target, b"[1]", content_type=TYPED, accept=TYPED)
            arguments, plain = await stage.answered("POST", target, b"[1]", content_type=f"{TYPED}; charset=utf-8")
            result, _ = await stage.answered("POST", target, b"[1]", accept=f"text/html, {TYPED}")

            assert both.flags == CallFlag.TYPED_ARGUMENTS | CallFlag.TYPED_RESULT
            assert arguments.flags == CallFlag.TYPED_ARGUMENTS
            assert result.flags == CallFlag.TYPED_RESULT
            assert typed.headers["content-type"] == TYPED
            assert plain.headers["content-type"] == "application/json"

    uvloop.run(play())


@pytest.mark.parametrize("status", [400, 403, 409, 418, 429, 499, 500, 503, 504, 507])
def test_an_error_of_the_worker_passes_through_with_its_status(status: int) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.deposit(accept=TYPED))
            await stage.worker.reply(await stage.worker.next_call(), status, b'{"error":{"name":"X"}}')
            response = await asking

            assert (response.status, response.body) == (status, b'{"error":{"name":"X"}}')
            assert response.headers["content-type"] == "application/json"
            assert ("retry-after" in response.headers) == (status in {429, 503})

    uvloop.run(play())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "char 1"),
        (b'{"a":1}x', "char 7"),
        (b"5", "scalar"),
        (b'"text"', "scalar"),
        (b"null", "scalar"),
        (b"[NaN]", "NaN"),
        (b"[1e400]", "no float can hold"),
        (b'{"a":{"b":[1,-1E+999]}}', "no float can hold: -1E+999"),
        (b"[1" + b"0" * 309 + b".0]", "no float can hold"),
        (b'{"a":"\xff"}', "at 6"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[" * 101 + b"]" * 101, "byte 100"),
        (b'{"[[":' * 101 + b"1" + b"}" * 101, "byte 600"),
        (b"[" * 100_000 + b"]" * 100_000, "byte 100"),
    ],
)
def test_a_body_that_is_no_arguments_is_refused_with_its_position(body: bytes, words: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.deposit(body=body)

            assert (response.status, response.error) == (400, "BadRequestError")
            assert words in response.json["error"]["message"]

    uvloop.run(play())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b" [1] \n",
        b'["1e400"]',
        b'["\\ud800", 1e5]',
        b"[1e-400]",
        b"[" + b"1" * 5000 + b"]",
        b"[" * 100 + b"]" * 100,
        b'["' + b"[" * 500 + b'"]',
        b"[" + b"[]," * 300 + b"[]]",
    ],
)
def test_a_body_that_fits_goes_through_byte_for_byte(body: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            call, response = await stage.answered("POST", "/v1/actors/Account/alice/deposit", body)

            assert (response.status, call.body) == (200, body)

    uvloop.run(play())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_past_the_limit_is_refused(chunked: bool) -> None:
    async def play() -> None:
        async with staged(limits=Limits(arguments_bytes_max=1000)) as stage:
            body = b'["' + b"x" * 996 + b'"]'
            call, _ = await stage.answered("POST", "/v1/actors/Account/alice/deposit", body)
            longer = b'["' + b"x" * 997 + b'"]'
            if chunked:
                pieces = b"1f4\r\n" + longer[:500] + b"\r\n1f5\r\n" + longer[500:] + b"\r\n0\r\n\r\n"
                response = await stage.deposit(body=pieces, transfer_encoding="chunked")
            else:
                response = await stage.deposit(body=longer)

            assert len(call.body) == 1000
            assert (response.status, response.error) == (413, "PayloadTooLargeError")
            assert "1000 bytes" in response.json["error"]["message"]

    uvloop.run(play())


def test_a_body_that_comes_slowly_is_read_to_its_end_after_a_100_continue() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            whole = request_bytes("POST", "/v1/actors/Account/alice/deposit", b"[1,2]", expect="100-continue")
            writer.write(whole[:-5])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"[1,")
            await writer.drain()
            writer.write(b"2]")
            call = await stage.worker.next_call()
            await stage.worker.reply(call)
            response = await read_response(reader)
            writer.close()

            assert (response.status, call.body) == (200, b"[1,2]")

    uvloop.run(play())


def test_calls_go_to_the_worker_that_owns_the_shard() -> None:
    async def play() -> None:
        async with staged(workers=2) as stage:
            for worker in stage.workers:
                worker.answer = b"1"
            names = [f"name-{number}" for number in range(40)]
            stage.workers[0].answer = b"0"
            answers = {name: (await stage.deposit(name)).json for name in names}

            assert answers == {name: partition_of(7, name.encode(), 2) for name in names}
            assert set(answers.values()) == {0, 1}

    uvloop.run(play())


def test_an_unknown_type_is_404_until_a_deploy_switches_the_catalog() -> None:
    async def play() -> None:
        async with staged() as stage:
            before = await stage.ask("POST", "/v1/actors/Ledger/a/add")
            stage.supervisor.send("catalog", catalog=_with_ledger())
            stage.supervisor.send("ping", id=1)
            await stage.supervisor.next("pong")
            call, _ = await stage.answered("POST", "/v1/actors/Ledger/a/add")
            gone = await stage.deposit()

            assert (before.status, before.error) == (404, "UnknownActorTypeError")
            assert call.type_id == 8
            assert gone.error == "UnknownActorTypeError"

    uvloop.run(play())


def test_without_a_free_slot_a_call_is_refused_with_429() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("POST", "/v1/actors/Account/alice/deposit"))
            first = await stage.worker.next_call()
            link = stage.front._links[0]
            taken, link._window._free = link._window._free, []
            refused = await stage.deposit()
            link._window._free = taken
            await stage.worker.reply(first)
            await read_response(reader)
            writer.close()

            assert (refused.status, refused.error) == (429, "MailboxFullError")
            assert refused.headers["retry-after"] == "1"
            assert str(SLOTS) in refused.json["error"]["message"]
            assert len(link._window._free) == SLOTS

    uvloop.run(play())


@pytest.mark.limit("client_body_bytes_max")
def test_unanswered_bodies_past_the_limit_are_refused_with_429_until_a_reply_frees_them() -> None:
    async def play() -> None:
        async with staged(limits=Limits(client_body_bytes_max=100)) as stage:
            body = b'["' + b"x" * 60 + b'"]'
            first = asyncio.create_task(stage.deposit(body=body))
            call = await stage.worker.next_call()
            refused = await stage.deposit(body=body)
            await stage.worker.reply(call)
            await first
            _, after = await stage.answered("POST", "/v1/actors/Account/alice/deposit", body)

            assert (refused.status, refused.error) == (429, "MailboxFullError")
            assert after.status == 200

    uvloop.run(play())


def test_a_client_that_hangs_up_cancels_its_call_and_the_slot_is_free_with_the_reply() -> None:
    async def play() -> None:
        async with staged() as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("POST", "/v1/actors/Account/alice/deposit"))
            call = await stage.worker.next_call()
            writer.close()
            cancelled = await asyncio.wait_for(stage.worker.cancelled.get(), 10)
            link = stage.front._links[0]
            taken = link.unanswered
            await stage.worker.reply(call, 503, b"{}")
            await stage.answered("POST", "/v1/actors/Account/alice/deposit")

            assert cancelled == call.slot
            assert (taken, link.unanswered) == (1, 0)

    uvloop.run(play())


def test_a_caller_that_is_cancelled_when_its_answer_is_there_cancels_nothing() -> None:
    async def play() -> None:
        async with staged() as stage:
            link = stage.front._links[0]
            calling = asyncio.create_task(link.call(Call(0, 7, 0, 0, 0, b"alice", b"deposit", b"", b""), 0))
            call = await stage.worker.next_call()
            link.on_reply(call.slot, 200, b"1")
            calling.cancel()
            await asyncio.wait([calling])
            await stage.answered("POST", "/v1/actors/Account/alice/deposit")

            assert calling.cancelled()
            assert stage.worker.cancelled.empty()

    uvloop.run(play())


def test_calls_of_one_loop_iteration_leave_in_one_write() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            pipelined = await _many(stage, 40)

            assert pipelined == 40
            assert stage.worker.reads < 40

    uvloop.run(play())


async def _many(stage: Stage, count: int) -> int:
    """That many connections that all send before the front looks at any."""
    links = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(count)]
    for number, (_, writer) in enumerate(links):
        writer.write(request_bytes("POST", f"/v1/actors/Account/n{number}/deposit"))
    responses = [await read_response(reader) for reader, _ in links]
    for _, writer in links:
        writer.close()
    return sum(each.status == 200 for each in responses)


def _with_ledger() -> dict[str, object]:
    ledger = {"type": "Ledger", "type_id": 8, "methods": [], "doc": "", "private": []}
    deployment = {
        "function": "ledger",
        "func_id": "fn_2",
        "version": 1,
        "sha256": "",
        "compiled": "",
        "types": [ledger],
    }
    return {"number": 2, "deployments": [{**deployment, "bindings": []}]}
