"""The text of several calls at once: what it may say, and what is said of what became of them."""

from __future__ import annotations

import json

import pytest

from holdfast_host.core.errors import ActorError, BadRequestError, LimitError
from holdfast_host.sandbox.gathered_calls import TEXT_BYTES_MAX, GatheredCall, read_calls, write_outcomes


def test_calls_are_read_with_their_arguments_untouched() -> None:
    text = (
        b'[{"binding":"A","name":"n","method":"m"},'
        b'{"method":"m","arguments":[1.10, {"$hf":"int","v":"1f"}],"name":"\xc3\xa9","binding":"A","key":"k","x":1}]'
    )

    assert read_calls(text) == [
        GatheredCall(("A", "n", "m"), b"", b""),
        GatheredCall(("A", "\u00e9", "m"), b'[1.10, {"$hf":"int","v":"1f"}]', b"k"),
    ]
    assert read_calls(b"[]") == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"binding":"A","name":"n"}]',
        b'[{"binding":1,"name":"n","method":"m"}]',
        b'[{"binding":"A","name":"n","method":"m","arguments":[1}]',
        b'[{"binding":"A","name":"n","method":"m","key":5}]',
        b'[{"binding":"A","name":"n","method":"m","key":""}]',
        b'[{"binding":"A","name":"\\ud800","method":"m"}]',
        b'[{"binding":"A","name":"\xff","method":"m"}]',
        b"[" * 100_000,
        b"[%b]" % b",".join([b'{"binding":"A","name":"n","method":"m"}'] * 65),
    ],
)
def test_what_is_no_array_of_calls_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"calls\.call-many takes an array of calls|an idempotency key has"):
        read_calls(text)


def test_calls_and_results_have_a_limit_of_all_together() -> None:
    with pytest.raises(LimitError, match=f"calls of {TEXT_BYTES_MAX + 1} bytes at once, the limit is {TEXT_BYTES_MAX}"):
        read_calls(b"[" + b" " * TEXT_BYTES_MAX)

    large = b'"' + b"x" * (TEXT_BYTES_MAX // 2 - 2) + b'"'
    outcomes = json.loads(write_outcomes([large, large, b"1", ActorError("no", code="c", status=409)]))

    assert [next(iter(each)) for each in outcomes] == ["result", "result", "error", "error"]
    assert outcomes[2]["error"]["name"] == "LimitError"
    assert "does not fit beside the others" in outcomes[2]["error"]["message"]
    assert (outcomes[3]["error"]["code"], outcomes[3]["error"]["status"]) == ("c", 409)
