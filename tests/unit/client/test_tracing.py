"""The trace context that calls carry along."""

from __future__ import annotations

import asyncio
import contextvars

import httpx
import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from holdfast.client import AsyncClient, Client, carry_trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SPAN = NonRecordingSpan(
    SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=False, trace_flags=TraceFlags(1))
)


def carried() -> str | None:
    """What a call carries that is made here."""
    found: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append(request.headers.get("traceparent"))
        return httpx.Response(200, text="7")

    with Client("http://h", transport=httpx.MockTransport(answer)) as client:
        assert client.actor("Account", "alice").balance() == 7
    return found[0]


def test_a_call_carries_what_its_context_has_and_no_other_context_does() -> None:
    def serve() -> str | None:
        carry_trace(PARENT)
        return carried()

    assert contextvars.copy_context().run(serve) == PARENT
    assert carried() is None


BAD = ["", "00-0af7", f"{PARENT}\r\nX-Mine: 1", PARENT.upper(), "ä", f"ff{PARENT[2:]}"]
ZEROS = [f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"]


@pytest.mark.parametrize("text", [*BAD, *ZEROS])
def test_what_is_no_trace_context_is_not_carried(text: str) -> None:
    def serve() -> str | None:
        carry_trace(text)
        return carried()

    assert contextvars.copy_context().run(serve) is None


def test_a_call_carries_the_span_of_opentelemetry_unless_it_is_told_another() -> None:
    def serve() -> str | None:
        carry_trace(PARENT.replace("01", "00"))
        return carried()

    with use_span(SPAN):
        assert carried() == PARENT
        assert contextvars.copy_context().run(serve) == PARENT.replace("01", "00")


def test_calls_from_a_loop_carry_that_of_their_task() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=f'"{request.headers.get("traceparent", "")}"')

    async def serve(client: AsyncClient, text: str) -> object:
        carry_trace(text)
        await asyncio.sleep(0)
        return await client.actor("Account", "alice").balance()

    async def all_of_them() -> list[object]:
        async with AsyncClient("http://h", transport=httpx.MockTransport(answer)) as client:
            return [*await asyncio.gather(serve(client, PARENT), serve(client, "none"))]

    assert asyncio.run(all_of_them()) == [PARENT, ""]
