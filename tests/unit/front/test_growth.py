"""Requests of strange shapes take a front no longer than their length says; the texts in them are in tests/unit."""

from __future__ import annotations

import gc
import time

import pytest
import uvloop

from tests.unit.front.stage import Stage, request_bytes, staged

SMALL_BYTES, FACTOR = 16 << 10, 16
LARGE_S = 0.1
GROWTH_MAX = 4 * FACTOR
HEAD_S_MAX = 0.05

PARTS = {
    "parts": b'--x\r\ncontent-disposition: form-data; name="q"\r\n\r\n\r\n',
    "manifests": b'--x\r\ncontent-disposition: form-data; name="manifest"\r\n\r\na\r\n',
    "parts without a head": b"--x\r\n\r\n\r\n",
    "boundaries": b"--x\r\n",
    "ends": b"--x--\r\n",
    "nearly boundaries": b"\r\n--",
    "line ends": b"\r\n",
    "dashes": b"-",
    "semicolons": b";",
    "quotes": b'"',
    "headers": b"a: b\r\n",
    "components": b"x",
}
COMPONENT = b'--x\r\ncontent-disposition: form-data; name="component"\r\n\r\n'
CONTENT_TYPES = {
    "semicolons": "a/b" + ";" * 8000,
    "quotes": "a/b" + '"' * 8000,
    "quotes and semicolons": 'multipart/form-data; boundary="' + '";' * 4000,
    "parameters": "multipart/form-data; boundary=x" + "; a=b" * 1500,
    "parts of parameters": "multipart/form-data; boundary=x" + "".join(f";a*{number}=b" for number in range(800)),
    "backslashes": 'multipart/form-data; boundary="' + "\\" * 8000,
}


async def _took_s(stage: Stage, request: bytes) -> float:
    """The shortest of three times."""
    took = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            began = time.thread_time()
            response = await stage.exchange(request)
            took.append(time.thread_time() - began)
            assert response.status in {400, 413, 415}
    finally:
        gc.enable()
    return min(took)


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"", COMPONENT, b"--x\r\na: "])
@pytest.mark.parametrize("what", PARTS)
def test_no_multipart_body_takes_more_than_its_length_says(what: str, head: bytes) -> None:
    def deploying(size: int) -> bytes:
        body = head + PARTS[what] * (size // len(PARTS[what]))
        if (what, head) == ("ends", COMPONENT):
            body = body[2:]  # else it would be a deploy
        return request_bytes("PUT", "/v1/functions/a", body, content_type="multipart/form-data; boundary=x")

    async def play() -> None:
        async with staged() as stage:
            small_s = await _took_s(stage, deploying(SMALL_BYTES))
            large_s = await _took_s(stage, deploying(SMALL_BYTES * FACTOR))

            assert large_s <= max(LARGE_S, GROWTH_MAX * small_s), f"{small_s:.4f} s, then {large_s:.4f} s"

    uvloop.run(play())


@pytest.mark.parametrize("what", CONTENT_TYPES)
def test_no_content_type_takes_long_to_read(what: str) -> None:
    async def play() -> None:
        async with staged() as stage:
            headers = {"content_type": CONTENT_TYPES[what]}
            deploy_s = await _took_s(stage, request_bytes("PUT", "/v1/functions/a", b"x", **headers))
            key = request_bytes("PUT", "/v1/instances/Account/alice/storage/k", b"x", **headers)
            call = request_bytes("POST", "/v1/actors/Account/alice/deposit", b"x", **headers)

            assert max(deploy_s, await _took_s(stage, key), await _took_s(stage, call)) < HEAD_S_MAX

    uvloop.run(play())
