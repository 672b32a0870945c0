from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.wire.calls.trace_context import (
    CONTEXT_BYTES,
    NO_CONTEXT,
    as_link,
    is_link,
    is_sampled,
    pack_context,
    read_traceparent,
    span_id_of,
    trace_id_of,
    traceparent_of,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_ids = st.binary(min_size=16, max_size=16).filter(any), st.binary(min_size=8, max_size=8).filter(any)


@given(*_ids, st.booleans())
def test_a_context_comes_out_of_its_header_as_it_went_in(trace_id: bytes, span_id: bytes, sampled: bool) -> None:
    context = pack_context(trace_id, span_id, sampled=sampled)

    assert len(context) == CONTEXT_BYTES
    assert read_traceparent(traceparent_of(context)) == context
    assert (trace_id_of(context), span_id_of(context), is_sampled(context)) == (trace_id, span_id, sampled)
    assert not is_link(context)
    assert is_link(as_link(context))
    assert traceparent_of(as_link(context)) == traceparent_of(context)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
    ],
)
def test_what_breaks_the_rule_is_no_context(text: str) -> None:
    assert read_traceparent(text) == NO_CONTEXT


def test_a_later_version_is_read_as_far_as_this_one_goes() -> None:
    context = read_traceparent(f"cc-{TRACE}-{SPAN}-03-what-comes-later")

    assert traceparent_of(context) == f"00-{TRACE}-{SPAN}-01"
