"""The frames about an answer that is followed."""

from __future__ import annotations

import pytest

from holdfast_host.wire.calls.frames import FrameReader, ProtocolError
from holdfast_host.wire.calls.outbound import (
    Ask,
    OutboundKind,
    pack_ask,
    pack_follow,
    pack_forget,
    unpack_ask,
    unpack_follow,
    unpack_forget,
)

JOB = bytes(range(16))
TRACE = bytes(range(25))


@pytest.mark.parametrize("request_", [b"", b'{"method":"GET"}'])
def test_what_is_followed_and_forgotten_comes_out_as_it_went_in(request_: bytes) -> None:
    ask = Ask(7, 30_000, "fünktion", request_, job=JOB, after=3, trace=TRACE)
    frames = FrameReader().feed(pack_follow(ask) + pack_forget(JOB))

    assert [kind for kind, _ in frames] == [OutboundKind.FOLLOW, OutboundKind.FORGET]
    assert unpack_follow(frames[0][1]) == ask
    assert unpack_forget(frames[1][1]) == JOB


@pytest.mark.parametrize("trace", [b"", TRACE])
@pytest.mark.parametrize("streams", [False, True])
def test_a_request_comes_out_with_its_trace_as_it_went_in(trace: bytes, streams: bool) -> None:
    ask = Ask(7, 30_000, "fünktion", b'{"method":"GET"}', streams, trace=trace)
    [(_, payload)] = FrameReader().feed(pack_ask(ask))

    assert unpack_ask(payload, streams=streams) == ask
    with pytest.raises(ProtocolError):
        unpack_ask(payload[: -len(ask.request) - 1])


@pytest.mark.parametrize("size", [0, 19, 20, 29, 33])
def test_a_follow_that_is_cut_is_no_frame(size: int) -> None:
    _, payload = FrameReader().feed(pack_follow(Ask(7, 1, "function", b"", job=JOB, after=3)))[0]

    with pytest.raises(ProtocolError):
        unpack_follow(bytes(payload[:size]))
