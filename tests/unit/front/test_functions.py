from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import uvloop

from holdfast_host.core.limits import Limits
from holdfast_host.front.routes.uploads import UploadFolder
from tests.unit.front.stage import Stage, content_of, read_response, request_bytes, staged, until

COMPONENT = b"\0asm" + bytes(range(256)) * 20_000
FORM = "multipart/form-data; boundary=edge"
TARGET = "/v1/functions/account"


def form(*parts: tuple[str, bytes]) -> bytes:
    pieces = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join(pieces) + b"--edge--\r\n"


async def deploy(stage: Stage, body: bytes, content_type: str, target: str = TARGET) -> tuple[dict[str, Any], bytes]:
    """Upload and accept: what the supervisor was asked, and the bytes that it found in the file."""
    asking = asyncio.create_task(stage.ask("PUT", target, body, content_type=content_type))
    request = await stage.supervisor.next("request")
    content = content_of(request)
    stage.supervisor.send("answer", id=request["id"], result={"name": "account", "version": 1, "created": True})
    response = await asking
    assert response.status == 201
    assert response.json == {"name": "account", "version": 1}
    return request, content


@pytest.mark.parametrize("order", [("component", "manifest"), ("manifest", "component")])
def test_a_multipart_deploy_is_streamed_to_a_file_in_either_order(order: tuple[str, str]) -> None:
    async def play() -> None:
        async with staged() as stage:
            contents = {"component": COMPONENT, "manifest": 'name = "account" # ü'.encode()}
            body = form(*((name, contents[name]) for name in order))
            request, content = await deploy(stage, body, FORM, f"{TARGET}?allow_breaking=true")

            arguments = request["operation"]
            assert (arguments.pop("operation"), content) == ("deploy", COMPONENT)
            assert Path(arguments.pop("component")).parent == stage.data / "uploads"
            assert arguments == {
                "tenant": "default",
                "function": "account",
                "manifest": 'name = "account" # ü',
                "allow_breaking": True,
                "adopt": False,
                "client": "127.0.0.1",
            }
            assert stage.uploads == []

    uvloop.run(play())


def test_a_bare_component_is_deployed_without_a_manifest() -> None:
    async def play() -> None:
        async with staged() as stage:
            request, content = await deploy(stage, COMPONENT, "application/wasm", f"{TARGET}?adopt=1")

            assert content == COMPONENT
            assert request["operation"]["manifest"] is None
            assert (request["operation"]["adopt"], request["operation"]["allow_breaking"]) == (True, False)

    uvloop.run(play())


@pytest.mark.parametrize(
    ("body", "content_type", "status", "error"),
    [
        (COMPONENT, "text/plain", 400, "BadRequestError"),
        (form(("manifest", b"x")), FORM, 400, "BadRequestError"),
        (form(("component", b"x"), ("component", b"x")), FORM, 400, "BadRequestError"),
        (form(("component", b"x"), ("other", b"x")), FORM, 400, "BadRequestError"),
        (form(("component", b"x"), ("manifest", b"\xff")), FORM, 422, "InvalidManifestError"),
        (form(("component", b"x"), ("manifest", b"x" * 300_000)), FORM, 413, "PayloadTooLargeError"),
        (b"no parts at all", FORM, 400, "BadRequestError"),
        (COMPONENT, "multipart/form-data", 400, "BadRequestError"),
        (form(("component", COMPONENT + b"1234")), FORM, 413, "PayloadTooLargeError"),
        (COMPONENT + b"1", "application/wasm", 413, "PayloadTooLargeError"),
    ],
)
def test_an_upload_that_is_none_is_refused_and_leaves_nothing(
    body: bytes, content_type: str, status: int, error: str
) -> None:
    async def play() -> None:
        async with staged(limits=Limits(component_bytes_max=len(COMPONENT))) as stage:
            response = await stage.ask("PUT", TARGET, body, content_type=content_type)

            assert (response.status, response.error) == (status, error)
            assert stage.supervisor.messages.empty()
            assert stage.uploads == []

    uvloop.run(play())


@pytest.mark.parametrize(
    "target", ["/v1/functions/Account", "/v1/functions/a%2Fb", f"{TARGET}?x=1", f"{TARGET}?adopt=7"]
)
def test_a_bad_function_name_or_flag_is_refused_before_anything_is_read(target: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("PUT", target, b"x", content_type="application/wasm")

            assert response.status == 400
            assert response.error == ("BadRequestError" if "?" in target else "InvalidNameError")

    uvloop.run(play())


@pytest.mark.parametrize("content_type", [FORM, "application/wasm"])
def test_a_client_that_goes_away_midway_leaves_nothing(content_type: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            body = form(("component", COMPONENT)) if content_type == FORM else COMPONENT
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("PUT", TARGET, body, content_type=content_type)[: -len(COMPONENT) // 2])
            await writer.drain()
            await until(lambda: stage.uploads and stage.uploads[0].stat().st_size)
            writer.transport.abort()
            await until(lambda: not stage.uploads)

            assert stage.supervisor.messages.empty()

    uvloop.run(play())


def test_a_client_that_goes_away_during_the_deploy_does_not_take_the_file_away() -> None:
    async def play() -> None:
        async with staged() as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("PUT", TARGET, COMPONENT, content_type="application/wasm"))
            request = await stage.supervisor.next("request")
            writer.transport.abort()
            await until(lambda: not stage.front._servers[0][1].open_requests)
            kept = content_of(request)
            stage.supervisor.send("answer", id=request["id"], result={})
            await until(lambda: not stage.uploads)

            assert kept == COMPONENT

    uvloop.run(play())


def test_what_a_dead_front_left_is_removed_by_its_successor_and_nobody_elses_is(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "front1-left.wasm").touch()
    (folder / "front11-busy.wasm").touch()
    UploadFolder(tmp_path, 1, Limits()).prepare()

    assert [each.name for each in folder.iterdir()] == ["front11-busy.wasm"]


def test_stages_are_streamed_as_they_happen_and_the_last_line_carries_the_status() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            headers = {"content_type": "application/wasm", "accept": "application/x-ndjson"}
            writer.write(request_bytes("PUT", TARGET, b"\0asm", **headers))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("progress", id=request["id"], stage="compiling")
            received = await reader.readuntil(b"}\n")
            stage.supervisor.send("progress", id=request["id"], stage="switching")
            stage.supervisor.send(
                "answer", id=request["id"], result={"version": 1, "created": True, "status": "deploy_ok"}
            )
            received += await reader.readuntil(b"0\r\n\r\n")
            writer.close()

            head, _, body = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"x-ndjson" in head
            assert b"aiohttp" not in head
            lines = [json.loads(line) for line in body.split(b"\r\n") if line.startswith(b"{")]
            assert lines == [
                {"stage": "compiling"},
                {"stage": "switching"},
                {"version": 1, "status": 201},
            ]

    uvloop.run(play())


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_refused_deploy_says_so_in_the_body_or_in_the_last_line(accept: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(
                stage.ask("PUT", TARGET, b"\0asm", content_type="application/wasm", accept=accept)
            )
            request = await stage.supervisor.next("request")
            error = {"name": "InvalidComponentError", "message": "no export", "code": None}
            stage.supervisor.send("answer", id=request["id"], error=error)
            response = await asking

            facts = {"name": "InvalidComponentError", "message": "no export", "retryable": False}
            if accept == "application/json":
                assert (response.status, response.json) == (422, {"error": facts})
            else:
                assert (response.status, response.json) == (200, {"error": facts, "status": 422})
            assert stage.uploads == []

    uvloop.run(play())


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_deploy_that_finds_no_place_in_the_line_is_told_when_to_come_again(accept: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(
                stage.ask("PUT", TARGET, b"\0asm", content_type="application/wasm", accept=accept)
            )
            request = await stage.supervisor.next("request")
            error = {"name": "DeployQueueFullError", "message": "64 deploys wait", "code": None}
            stage.supervisor.send("answer", id=request["id"], error=error)
            response = await asking

            assert (response.status, response.error) == (429, "DeployQueueFullError")
            assert response.json["error"]["retryable"] is True
            assert int(response.headers["retry-after"]) > 0

    uvloop.run(play())


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_the_supervisor_hears_of_a_client_that_hangs_up_and_the_file_stays_until_it_has_answered(accept: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("PUT", TARGET, b"\0asm", content_type="application/wasm", accept=accept))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("progress", id=request["id"], stage="queued")
            writer.close()

            assert (await stage.supervisor.next("withdraw"))["id"] == request["id"]
            assert content_of(request) == b"\0asm"
            error = {"name": "HostUnavailableError", "message": "hung up", "code": None}
            stage.supervisor.send("answer", id=request["id"], error=error)
            await until(lambda: stage.uploads == [])

    uvloop.run(play())


@pytest.mark.parametrize(
    ("method", "target", "body", "operation", "arguments"),
    [
        ("GET", "/v1/functions", b"", "functions", {}),
        ("GET", TARGET, b"", "function", {"function": "account"}),
        ("DELETE", TARGET, b"", "delete", {"function": "account"}),
        ("GET", f"{TARGET}/rollback", b"", "rollback_preview", {"function": "account", "version": None}),
        ("GET", f"{TARGET}/rollback?version=2", b"", "rollback_preview", {"function": "account", "version": 2}),
        ("POST", f"{TARGET}/rollback", b"", "rollback", {"function": "account", "version": None}),
        ("POST", f"{TARGET}/rollback", b'{"version":2}', "rollback", {"function": "account", "version": 2}),
    ],
)
def test_management_is_asked_of_the_supervisor(
    method: str, target: str, body: bytes, operation: str, arguments: dict[str, Any]
) -> None:
    async def play() -> None:
        async with staged() as stage:
            asking = asyncio.create_task(stage.ask(method, target, body))
            request = await stage.supervisor.next("request")
            stage.supervisor.send("answer", id=request["id"], result={"ü": 1})
            response = await asking

            assert request["operation"] == {"operation": operation, "tenant": "default", **arguments}
            assert (response.status, response.json) == (200, {"ü": 1})

    uvloop.run(play())


@pytest.mark.parametrize(
    "body", [b'{"version":0}', b'{"version":true}', b'{"version":"2"}', b'{"versoin":2}', b"[]", b"{"]
)
def test_a_bad_version_to_roll_back_to_is_refused(body: bytes) -> None:
    async def play() -> None:
        async with staged() as stage:
            response = await stage.ask("POST", f"{TARGET}/rollback", body)

            assert (response.status, response.error) == (400, "BadRequestError")

    uvloop.run(play())


def test_an_error_of_the_supervisor_keeps_its_name_and_status_and_an_unknown_one_is_ours() -> None:
    async def play() -> None:
        async with staged() as stage:
            names = []
            for name in ("FunctionReferencedError", "UnknownFunctionError", "ValueError", "HoldfastError"):
                asking = asyncio.create_task(stage.ask("DELETE", TARGET))
                request = await stage.supervisor.next("request")
                stage.supervisor.send("answer", id=request["id"], error={"name": name, "message": "m", "code": None})
                response = await asking
                names.append((response.status, response.error))

            assert names == [
                (409, "FunctionReferencedError"),
                (404, "UnknownFunctionError"),
                (500, "InternalError"),
                (500, "InternalError"),
            ]

    uvloop.run(play())


def test_a_supervisor_that_goes_away_answers_nobody_with_success() -> None:
    async def play() -> None:
        async with staged() as stage:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request_bytes("GET", "/v1/functions"))
            await stage.supervisor.next("request")
            stage.supervisor.close()
            response = await read_response(reader)
            writer.close()

            assert (response.status, response.error) == (503, "HostUnavailableError")

    uvloop.run(play())
