from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.wire.calls.frames import (
    FRAME_BYTES_MAX,
    Call,
    CallFlag,
    CallKind,
    FrameReader,
    Kind,
    ProtocolError,
    pack_call,
    pack_cancel,
    pack_event,
    pack_json,
    pack_reply,
    split,
    unpack_call,
    unpack_json,
    unpack_reply,
    unpack_slot,
)

_U32 = st.integers(0, 2**32 - 1)
_SHORT = st.binary(max_size=300)

calls = st.builds(
    Call,
    slot=_U32,
    type_id=_U32,
    budget_ms=_U32,
    kind=st.sampled_from(CallKind).map(int),
    flags=st.sampled_from([0, CallFlag.TYPED_ARGUMENTS, CallFlag.TYPED_RESULT]).map(int),
    name=_SHORT,
    method=_SHORT,
    origin=_SHORT,
    body=st.binary(max_size=3000),
    key=st.one_of(st.just(b""), st.binary(max_size=256)),
    offer=st.one_of(st.just(0), st.integers(1, 2**64 - 1)),
    trace=st.one_of(st.just(b""), st.binary(min_size=25, max_size=25)),
)
replies = st.tuples(_U32, st.integers(100, 599), st.binary(max_size=3000))


def _payload(frame: bytes) -> tuple[int, bytes]:
    frames, rest = split(frame)
    assert rest == b""
    [only] = frames
    return only


@given(calls)
def test_a_call_comes_out_as_it_went_in(call: Call) -> None:
    kind, payload = _payload(pack_call(call))

    assert kind == Kind.CALL
    assert unpack_call(payload) == call


@given(_U32, _U32, _SHORT, _SHORT, st.binary(max_size=3000))
def test_the_call_of_an_event_is_the_one_that_any_call_is(
    slot: int, type_id: int, name: bytes, method: bytes, body: bytes
) -> None:
    event = Call(slot, type_id, 0, int(CallKind.SOCKET), 0, name, method, b"", body)

    assert pack_event(slot, type_id, name, method, body) == pack_call(event)


@given(replies)
def test_a_reply_comes_out_as_it_went_in(reply: tuple[int, int, bytes]) -> None:
    kind, payload = _payload(pack_reply(*reply))

    assert (kind, unpack_reply(payload)) == (Kind.REPLY, reply)


@given(_U32)
def test_a_cancel_carries_its_slot(slot: int) -> None:
    kind, payload = _payload(pack_cancel(slot))

    assert (kind, unpack_slot(payload)) == (Kind.CANCEL, slot)


def test_a_rare_frame_is_json() -> None:
    kind, payload = _payload(pack_json(Kind.HELLO, {"protocol": 1, "ü": [None]}))

    assert (kind, unpack_json(payload)) == (Kind.HELLO, {"protocol": 1, "ü": [None]})


@given(st.lists(calls.map(pack_call) | replies.map(lambda reply: pack_reply(*reply)), max_size=6), st.data())
def test_frames_survive_any_cutting_of_the_stream(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found: list[tuple[int, bytes]] = []
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        whole, rest = split(rest + stream[start:end])
        found += whole

    assert rest == b""
    assert found == [_payload(frame) for frame in frames]


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match=str(length)):
        split(length.to_bytes(4, "little") + b"\x03")


def test_the_longest_frame_may_begin() -> None:
    start = FRAME_BYTES_MAX.to_bytes(4, "little") + b"\x03"

    assert split(start) == ([], start)


@given(st.binary(max_size=60))
def test_a_call_whose_lengths_do_not_add_up_is_refused_or_read_within_its_bytes(payload: bytes) -> None:
    try:
        call = unpack_call(payload)
    except ProtocolError:
        return

    assert payload.endswith(call.name + call.method + call.origin + call.body)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff"])
def test_a_rare_frame_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_json(payload)


@given(st.lists(st.binary(max_size=2_000), max_size=8), st.lists(st.integers(1, 3_000), min_size=1, max_size=40))
def test_a_reader_gives_the_same_frames_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pack_reply(slot, 200, body) for slot, body in enumerate(bodies))
    whole, rest = split(stream)
    reader = FrameReader()
    found: list[tuple[int, bytes]] = []
    while stream:
        size = cuts[len(found) % len(cuts)]
        found += reader.feed(stream[:size])
        stream = stream[size:]

    assert (found, rest) == (whole, b"")


def test_a_reader_refuses_a_length_that_no_frame_has() -> None:
    reader = FrameReader()

    assert reader.feed((FRAME_BYTES_MAX + 1).to_bytes(4, "little")) == []
    with pytest.raises(ProtocolError):
        reader.feed(b"\1")


@pytest.mark.parametrize("size", range(6))
def test_a_reply_that_is_cut_short_is_refused(size: int) -> None:
    """Any other exception would end the worker that waits for it."""
    with pytest.raises(ProtocolError, match=f"a REPLY of {size} bytes"):
        unpack_reply(bytes(size))


@pytest.mark.parametrize("tail", [b"", b"\x05", b"\x00\x00body", b"\x05\x00cabc"])
def test_a_call_that_says_it_has_a_key_and_has_none_breaks_the_protocol(tail: bytes) -> None:
    _, payload = _payload(pack_call(Call(1, 2, 3, 0, int(CallFlag.KEYED), b"n", b"m", b"", tail)))

    with pytest.raises(ProtocolError, match="key"):
        unpack_call(payload)


def test_a_call_that_says_it_is_traced_and_has_no_context_breaks_the_protocol() -> None:
    _, payload = _payload(pack_call(Call(1, 2, 3, 0, int(CallFlag.TRACED), b"n", b"m", b"", b"x" * 24)))

    with pytest.raises(ProtocolError, match="trace context"):
        unpack_call(payload)
