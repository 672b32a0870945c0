"""Judging the text of requests and responses without taking it apart."""

from __future__ import annotations

import base64
import json

import pytest

from holdfast_host.core.json_text import body_bytes_at_most

SIZE = 300_000
HEAD = '{"status":200,"headers":[["X-A","a\\"b"]]'


def in_base64(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


@pytest.mark.limit("fetch_body_bytes_max")
@pytest.mark.parametrize("size", range(SIZE, SIZE + 3))
@pytest.mark.parametrize("head", ["{", HEAD + ","])
def test_base64_that_stands_last_counts_as_the_bytes_it_encodes(size: int, head: str) -> None:
    assert body_bytes_at_most(f'{head}"body_base64":"{in_base64(size)}"}}'.encode()) == size


def test_text_that_stands_last_counts_as_it_is_written() -> None:
    assert body_bytes_at_most(f'{HEAD},"body":"{"x" * SIZE}"}}'.encode()) == SIZE


@pytest.mark.parametrize(
    "text",
    [
        f'{{"body":"{"x" * SIZE}","body_base64":""}}',
        f'{{"body_base64":"{in_base64(SIZE)}","status":200}}',
        f'{{"body_base64":"AAAA","body":"{"x" * SIZE}"}}',
        f'{{"body_base64":"AAAA","bod\\u0079":"{"x" * SIZE}"}}',
        f'{{"x":{{"body_base64":""}},"body":"{"x" * SIZE}"}}',
        f'{{"headers":[["X-A","{"x" * SIZE}"]],"body_base64":"{in_base64(SIZE)}"}}',
        json.dumps({"body": "\\" * SIZE}),
    ],
)
def test_no_way_to_write_a_body_makes_it_count_less(text: str) -> None:
    facts = json.loads(text)
    largest = max(len(facts.get("body", "")), len(base64.b64decode(facts.get("body_base64", ""))))

    assert body_bytes_at_most(text.encode()) >= largest >= SIZE
