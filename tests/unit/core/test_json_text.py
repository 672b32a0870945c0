"""Judging the text of requests and responses without taking it apart."""

from __future__ import annotations

import base64
import json
import math
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.core import json_text
from holdfast_host.core.json_text import NumberTooLargeError, body_bytes_at_most, check_numbers, is_json

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


INTEGERS = st.integers(0, 999_999).map(str) | st.builds(
    lambda digit, zeros: f"{digit}{'0' * zeros}", st.integers(1, 9), st.integers(297, 311)
)
NUMBERS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-"]),
        INTEGERS,
        st.just("") | st.integers(0, 999).map(".{}".format),
        st.just("")
        | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 9999)),
    ),
)


@given(number=NUMBERS, before=st.text(max_size=20))
def test_a_number_is_too_large_where_a_reader_would_take_it_for_an_infinity(number: str, before: str) -> None:
    text = json.dumps([before, "1e999", "9" * 400])[:-1] + f", {number}]"
    large = math.isinf(float(number)) and not number.lstrip("-").isdigit()

    if large:
        with pytest.raises(NumberTooLargeError):
            check_numbers(text.encode())
    else:
        check_numbers(text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(value=JSON, indent=st.sampled_from([None, 1]), ascii_only=st.booleans(), cut=st.integers(0, 5))
def test_json_is_what_the_standard_library_takes_for_it(
    value: object, indent: int | None, ascii_only: bool, cut: int
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    text = text[:cut] + text[cut + 1 :] if cut else text

    assert is_json(text.encode("utf-8", "surrogatepass")) is _is_json(text)


def _is_json(text: str) -> bool:
    try:
        text.encode()
        json.loads(text, parse_constant=_refuse, parse_int=str)
    except ValueError:
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)


@given(
    parts=st.lists(st.sampled_from([b"[", b"]", b'"', b"\\", b'\\"', b"a", b"{", b"}", b"x" * 100]), max_size=400),
    levels=st.integers(1, 5),
)
def test_nesting_in_pieces_is_the_nesting_of_the_whole(parts: list[bytes], levels: int) -> None:
    text = b"".join(parts)
    depth = deepest = 0
    in_string = escaped = False
    place = None
    for at, byte in enumerate(text):
        if in_string:
            escaped, in_string = (byte == 92 and not escaped), (byte != 34 or escaped)
            continue
        if byte == 92:
            break  # no JSON from here on
        in_string = byte == 34
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > levels and place is None:
            place = at
        deepest = max(deepest, depth)

    with patch.object(json_text, "_PIECE_BYTES", 7):
        found = json_text.place_nested_deeper(text, levels)
    if deepest > levels:
        assert found == place
    elif b"\\" not in text:
        assert found is None


@pytest.mark.parametrize("escape", ["\\ud800", "\\uDfff", "\\\\\\ud800", '\\"\\ud800'])
def test_a_lone_surrogate_is_text_wherever_a_piece_of_it_ends(escape: str) -> None:
    for length in range(32 * 1024 - 16, 32 * 1024 + 1):
        assert is_json(f'"{"x" * length}{escape}"'.encode()), f"behind {length} characters"


@pytest.mark.parametrize("text", ['"\\', '"\\u', '"\\ud', '"\\ud800', "\\u"])
def test_an_escape_that_the_text_ends_in_is_no_json(text: str) -> None:
    assert not is_json(text.encode())
    assert not is_json(b'"' + b"x" * (32 * 1024 - len(text)) + text[1:].encode())


@pytest.mark.parametrize("exponent", ["e99", "E+99", "e309", "e00000309", ""])
def test_no_number_that_readers_take_for_an_infinity_passes_however_it_is_written(exponent: str) -> None:
    for digits in range(1, 400):
        text = "1" * digits + (exponent and f".5{exponent}")
        if exponent and json.loads(text) == float("inf"):
            with pytest.raises(NumberTooLargeError):
                check_numbers(f"[{text}]".encode())
        elif exponent or digits < 300:
            check_numbers(f"[{text}]".encode())
