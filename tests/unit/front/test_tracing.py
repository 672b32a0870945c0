"""The trace context of requests: what of it goes to a worker."""

from __future__ import annotations

import uvloop

from holdfast_host.wire.calls.trace_context import NO_CONTEXT, read_traceparent
from holdfast_host.wire.control.catalog import Catalog, Deployment
from tests.unit.front.stage import ACCOUNT, request_bytes, staged

TARGET = "/v1/actors/Account/alice/deposit"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = b'{"type":"Account","name":"alice","method":"deposit"}'
WAYS = {
    "a call by its path": request_bytes("POST", TARGET, traceparent=PARENT),
    "a call by its body": request_bytes("POST", "/v1/call", BODY, traceparent=PARENT),
    "a request for a function": request_bytes("GET", "/fn/bank/a", traceparent=PARENT),
    "a handshake": request_bytes(
        "GET", "/v1/actors/Account/alice/ws", traceparent=PARENT, connection="Upgrade", upgrade="websocket",
        sec_websocket_version="13", sec_websocket_key="MDEyMzQ1Njc4OTAxMjM0NQ==",
    ),
}  # fmt: skip

CATALOG = Catalog(1, (Deployment("bank", "fn_1", 3, "ab", "/x.cwasm", (ACCOUNT,), handlers=("fetch",)),))


async def contexts(requests: list[bytes], *, traces: bool) -> list[bytes]:
    """What the worker is told for each of them."""
    async with staged(traces=traces, catalog=CATALOG) as stage:
        for worker in stage.workers:
            worker.record(b"1")
        for request in requests:
            await stage.exchange(request)
        return [call.trace for call in stage.workers[0].recorded()]


def test_the_context_of_a_request_goes_along_whichever_way_it_comes() -> None:
    assert uvloop.run(contexts([*WAYS.values()], traces=True)) == [read_traceparent(PARENT)] * len(WAYS)


def test_a_front_that_traces_nothing_passes_nothing_on() -> None:
    assert uvloop.run(contexts([*WAYS.values()], traces=False)) == [NO_CONTEXT] * len(WAYS)


def test_a_context_that_breaks_the_rule_or_comes_twice_counts_as_none() -> None:
    twice = WAYS["a call by its path"].replace(b"\r\n\r\n", f"\r\ntraceparent: {PARENT}\r\n\r\n".encode())
    requests = [twice, *(request_bytes("POST", TARGET, traceparent=each) for each in ("", "00-1-2-01", f"{PARENT}-x"))]

    assert uvloop.run(contexts(requests, traces=True)) == [NO_CONTEXT] * 4


def test_a_call_of_a_trace_is_none_of_those_whose_heads_are_known() -> None:
    """Its head, but for the context, has passed before: with it it must not be taken for that one."""
    plain, traced = request_bytes("POST", TARGET), WAYS["a call by its path"]

    assert uvloop.run(contexts([plain, plain, traced, plain], traces=True)) == [
        NO_CONTEXT, NO_CONTEXT, read_traceparent(PARENT), NO_CONTEXT,
    ]  # fmt: skip
