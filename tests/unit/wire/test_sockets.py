"""What fronts and workers say of sockets comes out as it went in, and damage is refused."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_host.wire.calls.frames import Call, CallFlag, CallKind, Kind, ProtocolError, pack_call, split, unpack_call
from holdfast_host.wire.pages.send_page import EVERYBODY
from holdfast_host.wire.sockets.frames import (
    Auto,
    Close,
    Closed,
    Message,
    Open,
    Send,
    SendKind,
    front_of,
    pack_taken,
    read_socket,
    serial_of,
    socket_number,
    socket_text,
    unpack_taken,
)
from holdfast_host.wire.sockets.standing import Closing, StandingSockets

if TYPE_CHECKING:
    from collections.abc import Callable


class _Packed(Protocol):
    def pack(self) -> bytes: ...


_U32 = st.integers(0, 2**32 - 1)
_U64 = st.integers(0, 2**64 - 1)
_CODES = st.integers(0, 2**16 - 1)
_NAMES = st.binary(max_size=300)
_TEXTS = st.text(max_size=200)
_SLOTS = st.integers(0, EVERYBODY)
_SERIALS = st.lists(_U32, max_size=20).map(tuple)

events = st.one_of(
    st.builds(Message, _U64, st.booleans(), st.binary(max_size=2000)),
    st.builds(Closed, _U64, _CODES, st.booleans(), _TEXTS),
)
frames = st.one_of(
    st.builds(Open, _U64, st.booleans(), _U32, _NAMES, _TEXTS, st.booleans()),
    st.builds(
        Send,
        st.sampled_from(SendKind).map(int),
        _SERIALS,
        st.binary(max_size=2000),
        _NAMES,
        _NAMES,
        _U32,
        _NAMES,
        _SLOTS,
    ),
    st.builds(Close, _CODES, _SERIALS, _TEXTS, _U32, _NAMES, _SLOTS),
    st.builds(Auto, _U32, _NAMES, st.none(), slot=_SLOTS),
    st.builds(Auto, _U32, _NAMES, _TEXTS, _TEXTS, _SLOTS),
    st.builds(
        StandingSockets,
        _U32,
        st.lists(_U32, max_size=5),
        st.dictionaries(_U32, _U64, max_size=5).map(lambda marks: dict(sorted(marks.items()))),
        st.lists(
            st.builds(Closing, _U32, _U64, _CODES, st.booleans(), st.booleans(), st.text(max_size=40)), max_size=5
        ),
    ),
)
_KINDS = {
    Open: Kind.OPEN, Send: Kind.SEND, Close: Kind.CLOSE, Auto: Kind.AUTO, StandingSockets: Kind.SOCKETS,
}  # fmt: skip


def _payload(frame: bytes) -> tuple[int, bytes]:
    [only], rest = split(frame)
    assert rest == b""
    return only


@given(events)
def test_an_event_comes_out_as_it_went_in(event: Message | Closed) -> None:
    assert type(event).unpack(event.pack()) == event


@given(frames)
def test_a_frame_comes_out_as_it_went_in(frame: Open | Send | Close | Auto | StandingSockets) -> None:
    kind, payload = _payload(frame.pack())

    assert kind == _KINDS[type(frame)]
    found = type(frame).unpack(payload)
    if isinstance(found, StandingSockets):
        found = replace(found, offers=[*found.offers])
    assert found == frame


@given(_U64)
def test_what_was_taken_comes_out_as_it_went_in(taken: int) -> None:
    kind, payload = _payload(pack_taken(taken))

    assert (kind, unpack_taken(payload)) == (Kind.TAKEN, taken)


@pytest.mark.parametrize(
    "unpack",
    [
        Message.unpack,
        Closed.unpack,
        Open.unpack,
        Send.unpack,
        Close.unpack,
        Auto.unpack,
        StandingSockets.unpack,
    ],
)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(unpack: Callable[[bytes], _Packed], data: bytes) -> None:
    """A damaged frame ends its link by name, and never the process."""
    with contextlib.suppress(ProtocolError):
        unpack(data).pack()


def test_sockets_that_stand_are_found_by_their_serials_and_no_other_is() -> None:
    _, payload = _payload(StandingSockets(9, open={2: 20, 5: 50, 8: 80}).pack())
    found = StandingSockets.unpack(payload).open

    assert {serial: found.get(serial) for serial in range(10) if serial in found} == {2: 20, 5: 50, 8: 80}


@pytest.mark.parametrize("serials", [(5, 2), (2, 2)])
def test_sockets_that_stand_in_no_order_are_refused(serials: tuple[int, int]) -> None:
    """They are looked up as an ordered list."""
    _, payload = _payload(StandingSockets(9, open={1: 10, 2: 20}).pack())
    head, marks = payload[:16], payload[24:]

    with pytest.raises(ProtocolError, match="SOCKETS"):
        StandingSockets.unpack(head + struct.pack("<II", *serials) + marks)


def test_a_count_past_the_frame_is_refused_before_room_is_made_for_it() -> None:
    damaged = Send(0, (), b"").pack()[5:12] + b"\xff\xff\xff\xff" + b"123"

    with pytest.raises(ProtocolError, match="SEND"):
        Send.unpack(damaged)


@given(_U32, _U32)
def test_a_number_says_which_of_whose_sockets_it_is(front: int, serial: int) -> None:
    socket = socket_number(front, serial)

    assert (front_of(socket), serial_of(socket)) == (front, serial)
    assert read_socket(socket_text(socket)) == socket


@pytest.mark.parametrize("text", ["", "1", "0x00000000000001", "000000010000000G", "00000001000000\n1", "0" * 17])
def test_what_is_no_socket_reads_as_none(text: str) -> None:
    assert read_socket(text) == 0


def test_an_offer_stands_behind_the_key_and_before_the_body() -> None:
    flags = int(CallFlag.TYPED_RESULT)
    call = Call(1, 2, 3, int(CallKind.FETCH), flags, b"n", b"", b"", b"{}", key=b"ck", offer=5)

    _, payload = _payload(pack_call(call))

    assert payload.endswith(b"\x02\0ck" + (5).to_bytes(8, "little") + b"{}")
    assert unpack_call(payload) == call


def test_an_offer_that_is_cut_off_is_refused() -> None:
    call = Call(1, 2, 3, int(CallKind.FETCH), int(CallFlag.OFFER), b"n", b"", b"", b"1234567")

    with pytest.raises(ProtocolError, match="offer"):
        unpack_call(_payload(pack_call(call))[1])
