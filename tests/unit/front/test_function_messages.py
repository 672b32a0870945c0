"""What a function's response may be, before anything of it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.front.functions.messages import BadResponseError, FunctionAnswer, read_response


@pytest.mark.limit("fetch_body_bytes_max", "fetch_headers_bytes_max")
@pytest.mark.parametrize(
    ("limit", "of_size"),
    [
        ("fetch_body_bytes_max", lambda size: {"body": "x" * size}),
        ("fetch_headers_bytes_max", lambda size: {"headers": [["x-a", "y" * (size - 53)], ["x-b", "é" * 22 + "abc"]]}),
    ],
)
def test_a_response_at_a_limit_passes_and_one_past_it_does_not(limit: str, of_size: Callable[[int], Any]) -> None:
    limits = Limits().replace(**{limit: 500})

    def read(size: int) -> FunctionAnswer:
        return read_response(json.dumps({"status": 200, **of_size(size)}).encode(), "GET", limits)

    assert read(500).status == 200
    with pytest.raises(BadResponseError, match=r"501 bytes .*the limit of 500 bytes"):
        read(501)


@pytest.mark.parametrize("character", [chr(code) for code in (*range(9), *range(10, 32), 127)])
def test_no_header_of_a_response_holds_a_control_character(character: str) -> None:
    reply = json.dumps({"status": 200, "headers": [["x-a", f"y{character}z"]], "body": ""}).encode()

    with pytest.raises(BadResponseError, match="holds a character that no header may hold"):
        read_response(reply, "GET", Limits())


def test_a_header_of_a_response_may_hold_a_tab() -> None:
    assert read_response(b'{"status":200,"headers":[["x-a","y\\tz"]],"body":""}', "GET", Limits()).status == 200


@pytest.mark.parametrize("before", ["", "x" * 600_000], ids=["short", "long"])
def test_a_body_that_utf_8_cannot_hold_is_refused(before: str) -> None:
    """It had left as bytes that are no UTF-8, under `charset=utf-8`."""
    reply = b'{"status":200,"body":"%b\\ud800"}' % before.encode()

    with pytest.raises(BadResponseError, match="lone surrogate"):
        read_response(reply, "GET", Limits())
