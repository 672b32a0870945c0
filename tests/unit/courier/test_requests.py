"""A guest's request as the courier reads it."""

from __future__ import annotations

import json

import pytest

from holdfast_host.core.limits import Limits
from holdfast_host.courier.requests import read_request
from holdfast_host.wire.calls.trace_context import NO_CONTEXT, read_traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.mark.parametrize(
    ("headers", "context", "sent"),
    [
        ([], PARENT, [("traceparent", PARENT)]),
        ([["Accept", "a/b"]], PARENT, [("Accept", "a/b"), ("traceparent", PARENT)]),
        ([["Traceparent", OWN]], PARENT, [("Traceparent", OWN)]),
        ([], "", []),
        ([["traceparent", OWN]], "", [("traceparent", OWN)]),
    ],
)
def test_a_request_carries_the_context_of_its_turn_unless_its_guest_gave_it_one(
    headers: list[list[str]], context: str, sent: list[tuple[str, str]]
) -> None:
    text = json.dumps({"method": "GET", "url": "https://api.test/", "headers": headers}).encode()

    assert read_request(text, Limits(), read_traceparent(context) or NO_CONTEXT).headers == sent
