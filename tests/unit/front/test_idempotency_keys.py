"""The header `Idempotency-Key`: what it may say, and that it gets to the worker whichever way a request goes."""

from __future__ import annotations

import pytest
import uvloop

from holdfast_host.front.calls.idempotency_keys import read_key
from tests.unit.front.stage import request_bytes, staged
from tests.unit.front.test_direct import TARGET, answer_bytes


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("order-17", b"order-17"),
        ("  order-17\t", b"order-17"),
        ('"order-17"', b"order-17"),
        ("a b", b"a b"),
        ('"a b "', b"a b "),
        (r'"a\"b\\c"', b'a"b\\c'),
        ("x" * 255, b"x" * 255),
        (f'"{"x" * 255}"', b"x" * 255),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", b"8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ],
)
def test_a_key_is_read_bare_or_in_quotes(value: str, key: bytes) -> None:
    assert read_key(value.encode()) == b"c" + key


@pytest.mark.parametrize(
    "value",
    ["", " ", '""', '"', '"a', '"a"b', '"a";p=1', r'"a\n"', "x" * 256, f'"{"x" * 256}"', "a\tb", "a\0b", "\xe9", "名"],
)
def test_what_is_no_key_is_read_as_none(value: str) -> None:
    assert read_key(value.encode()) is None


def post(body: bytes = b"[1]", **headers: str) -> bytes:
    return request_bytes("POST", TARGET, body, **headers)


def test_a_call_has_its_key_whether_its_head_is_known_or_not_and_each_head_is_known_without_it() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.record(b"1")
            sent = [post(), *(post(idempotency_key=f"k{number}", x="1") for number in range(4)), post(), post(x="1")]
            for raw in sent:
                await stage.exchange(raw)
            keys = [call.key for call in stage.worker.recorded()]

            assert keys == [b"", b"ck0", b"ck1", b"ck2", b"ck3", b"", b""]
            assert stage.direct_calls == 5
            assert len(stage.front._direct._heads) == 2

    uvloop.run(play())


@pytest.mark.parametrize("known", [False, True])
def test_a_bad_key_is_refused_with_what_a_key_is(known: bool) -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.record(b"1")
            if known:
                for _ in range(2):
                    await stage.exchange(post())
            stage.worker.recorded()
            bad = await stage.exchange(post(idempotency_key="\xe9"))
            two = post(idempotency_key="k").replace(b"content-length", b"Idempotency-KEY: l\r\ncontent-length", 1)
            twice = [await stage.exchange(two) for _ in range(3)]

            assert bad.status == 400
            assert "1 to 255 printable ASCII characters" in bad.body.decode()
            assert [each.status for each in twice] == [400] * 3
            assert "2 Idempotency-Key headers: a call has one key" in twice[0].body.decode()
            assert stage.worker.recorded() == []
            after = await stage.exchange(two.replace(b"idempotency-key: k\r\n", b"", 1))
            assert after.status == 200

    uvloop.run(play())


def test_an_answer_that_was_kept_says_so_on_both_ways() -> None:
    async def play() -> None:
        async with staged() as stage:
            stage.worker.answer = b"1"
            stage.worker.status = 200 | 1 << 15
            answers = [await answer_bytes(stage, post(idempotency_key="k")) for _ in range(2)]

            assert stage.direct_calls == 1
            assert answers[0] == answers[1]
            assert b"HTTP/1.1 200 OK\r\n" in answers[0]
            assert b"\r\nIdempotency-Replayed: true\r\n" in answers[0]
            assert answers[0].endswith(b"\r\n\r\n1")

    uvloop.run(play())
