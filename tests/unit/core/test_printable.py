"""What a terminal may be shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.core.terminal_text import printable

ANY = st.text(st.characters())  # lone surrogates included
VALUES = st.recursive(st.none() | st.integers() | ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner))


@given(ANY)
def test_nothing_that_steers_a_terminal_or_ends_a_line_passes(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@given(ANY, st.sampled_from(["ascii", "latin-1", "utf-8", "cp1251"]))
def test_every_stream_can_take_it(text: str, encoding: str) -> None:
    printable(text, encoding=encoding).encode(encoding)


@given(VALUES, st.sampled_from(["ascii", "utf-8"]))
def test_a_json_text_stays_the_same_json(value: object, encoding: str) -> None:
    assert json.loads(printable(json.dumps(value, ensure_ascii=False), encoding=encoding)) == value


@pytest.mark.parametrize("text", ["", "alice", "名前", "naïve, ¿qué?", "مرحبا", "🙂", "a\\u001b"])
def test_plain_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_spelled_out_is_spelled_as_json_does() -> None:
    assert printable("\x1b[2J\x9b\r\n\x7f\u202e\u2066\u200b\u2028\udc9b\xa0\U000e0001\t") == (
        "\\u001b[2J\\u009b\\r\\n\\u007f\\u202e\\u2066\\u200b\\u2028\\udc9b\\u00a0\\udb40\\udc01\\t"
    )
    assert printable("a\tb", keep="\t") == "a\tb"
