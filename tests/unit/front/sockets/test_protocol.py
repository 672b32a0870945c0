"""Our reader and writer of WebSocket frames, against the `websockets` package and against themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from holdfast_host.front.sockets.protocol import (
    ABNORMAL,
    NO_STATUS,
    NOT_UTF8,
    PROTOCOL_ERROR,
    TOO_BIG,
    Closed,
    Event,
    Message,
    MessageReader,
    Ping,
    Pong,
    Violation,
    may_be_said,
    pack_close,
    pack_message,
    pack_ping,
    pack_pong,
    unmask,
)
from tests.harness.repeats import repeats
from tests.unit.front.sockets.frames import BINARY, CONTINUATION, PING, TEXT, close, fragments, frame

BYTES_MAX = 300
FUZZ = settings(max_examples=repeats(300, 5_000), deadline=None)


def read(reader: MessageReader, *pieces: bytes) -> list[Event]:
    """What comes of these pieces."""
    events: list[Event] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            events.append(event)
    return events


class Theirs:
    """The same by the other implementation, which knows frames: messages and their text are put together here."""

    def __init__(self, sent: bytes) -> None:
        protocol = ServerProtocol(state=State.OPEN, max_size=BYTES_MAX)
        protocol.receive_data(sent)
        self.events: list[Event] = []
        self.failure: int | None = None
        self._opcode: Opcode | None = None
        self._payload = b""
        for each in protocol.events_received():
            assert isinstance(each, Frame)
            self._take(each)
            if self.failure is not None:
                return
        if protocol.parser_exc is not None:
            too_big = isinstance(protocol.parser_exc, PayloadTooBig)
            not_utf8 = isinstance(protocol.parser_exc, UnicodeDecodeError)
            self.failure = TOO_BIG if too_big else NOT_UTF8 if not_utf8 else PROTOCOL_ERROR

    def _take(self, each: Frame) -> None:
        payload = bytes(each.data)
        match each.opcode:
            case Opcode.PING:
                self.events.append(Ping(payload))
            case Opcode.PONG:
                self.events.append(Pong(payload))
            case Opcode.CLOSE:
                read = Close.parse(payload)
                self.events.append(Closed(int(read.code), read.reason))
            case _:
                self._gather(each, payload)

    def _gather(self, each: Frame, payload: bytes) -> None:
        if each.opcode is not Opcode.CONT:
            self._opcode, self._payload = each.opcode, b""
        self._payload += payload
        if self._opcode is Opcode.TEXT and not _begins_text(self._payload, whole=each.fin):
            self.failure = NOT_UTF8
        elif each.fin:
            self.events.append(Message(self._payload, self._opcode is Opcode.BINARY))


def _begins_text(payload: bytes, *, whole: bool) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return not whole and error.reason == "unexpected end of data"
    return True


texts = st.text(max_size=12).map(str.encode) | st.sampled_from(
    [b"\xed\xa0\x80", b"\xce", b"\xba", b"\xf4\x90", b"\xff"]
)
payloads = texts | st.binary(max_size=140) | st.integers(120, 320).map(lambda n: b"z" * n)
masks = st.binary(min_size=4, max_size=4)
right_frames = st.builds(
    frame, st.sampled_from([TEXT, BINARY, PING, 10, CONTINUATION]), payloads, fin=st.booleans(), mask=masks
)
messages = st.builds(
    lambda opcode, parts, ping: b"".join(
        each + (frame(PING, b"!") if ping else b"") for each in fragments(opcode, *parts)
    ),
    st.sampled_from([TEXT, BINARY]),
    st.lists(texts, min_size=1, max_size=4),
    st.booleans(),
)
closes = st.builds(close, st.none() | st.integers(990, 1020) | st.integers(0, 65_535), texts)
odd_frames = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 2, 4]),
    mask=masks | st.just(None),
)
streams = st.lists(messages | right_frames | closes | odd_frames, max_size=8).map(b"".join)


@st.composite
def damaged(draw: Any) -> bytes:
    """A stream of which some bytes are others."""
    sent = bytearray(draw(streams))
    for _ in range(draw(st.integers(1, 3)) if sent else 0):
        sent[draw(st.integers(0, len(sent) - 1))] = draw(st.integers(0, 255))
    return bytes(sent)


@FUZZ
@given(sent=streams | damaged() | st.binary(max_size=60))
@example(sent=b"".join((frame(TEXT, b"a", fin=False), close(1000), frame(CONTINUATION, b"b"))))
@example(sent=frame(TEXT, b"x" * 301))
@example(sent=frame(PING, b"x" * 126))
def test_what_is_read_is_what_another_implementation_reads(sent: bytes) -> None:
    """Where they differ, and why: what is not the fewest bytes of a length, and a close between fragments."""
    events = read(MessageReader(BYTES_MAX), sent)
    theirs = Theirs(sent)
    last = events[-1] if events else None

    if isinstance(last, Closed) and theirs.failure is not None:
        assert theirs.events == events[:-1]  # the RFC lets a control frame stand between two fragments
        return
    if not isinstance(last, Violation):
        assert (events, None) == (theirs.events, theirs.failure)
        return
    assert events[:-1] == theirs.events[: len(events) - 1]
    if "fewest" in last.reason:
        return
    assert theirs.events == events[:-1]
    if theirs.failure is None:  # theirs looks at a frame when it is here as a whole
        assert _lacks_its_end(sent, events[:-1])
    elif TOO_BIG not in (last.code, theirs.failure):  # of two faults of one frame, each may name another
        assert theirs.failure == last.code


def _lacks_its_end(sent: bytes, events: list[Event]) -> bool:
    """Whether the stream ends within a frame: with more bytes, theirs comes to a verdict."""
    padded = Theirs(sent + bytes(BYTES_MAX + 14))
    return padded.failure is not None and padded.events == events


@FUZZ
@given(sent=streams | damaged(), cuts=st.lists(st.integers(1, 30), max_size=40))
def test_what_is_read_is_the_same_however_it_was_cut(sent: bytes, cuts: list[int]) -> None:
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(sent[at : at + cut])
        at += cut
    pieces.append(sent[at:])

    assert read(MessageReader(BYTES_MAX), *pieces) == read(MessageReader(BYTES_MAX), sent)
    in_octets = [sent[at : at + 1] for at in range(len(sent))]
    assert read(MessageReader(BYTES_MAX), *in_octets) == read(MessageReader(BYTES_MAX), sent)


@settings(max_examples=repeats(100, 1_000), deadline=None)
@given(payload=st.binary(max_size=200) | st.sampled_from([b"a" * 125, b"b" * 126, b"c" * 65_535, b"d" * 65_536]))
def test_what_is_written_is_read_by_another_implementation(payload: bytes) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    control = payload[:125]
    client.receive_data(pack_message(payload, binary=True) + pack_ping() + pack_pong(control))
    client.receive_data(pack_close(1000, "done"))

    assert client.parser_exc is None
    came = [(each.opcode, bytes(each.data)) for each in client.events_received() if isinstance(each, Frame)]
    assert came[:3] == [(Opcode.BINARY, payload), (Opcode.PING, b""), (Opcode.PONG, control)]
    assert client.close_rcvd == Close(1000, "done")


@given(data=st.binary(max_size=50), mask=masks)
def test_a_mask_is_taken_off_byte_by_byte(data: bytes, mask: bytes) -> None:
    assert unmask(data, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


@FUZZ
@given(streams)
def test_what_is_read_as_a_whole_is_what_is_read_piece_by_piece(sent: bytes) -> None:
    reader = MessageReader(BYTES_MAX)
    whole = reader.read_whole(sent)

    assert not reader.has_more
    assert whole is None or read(MessageReader(BYTES_MAX), sent) == [whole]


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", "é".encode(), b"x" * 125, b"x" * 126, b"x" * BYTES_MAX],
    ids=len,
)
def test_one_message_that_came_by_itself_is_read_as_a_whole(payload: bytes) -> None:
    for opcode in (TEXT, BINARY):
        assert MessageReader(BYTES_MAX).read_whole(frame(opcode, payload)) == Message(payload, opcode == BINARY)


def test_nothing_is_read_as_a_whole_behind_the_begin_of_something_else() -> None:
    later = frame(TEXT, b"later")
    for before in (frame(TEXT, b"a")[:3], frame(TEXT, b"a", fin=False), close(1000)):
        reader = MessageReader(BYTES_MAX)
        read(reader, before)

        assert reader.read_whole(later) is None


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 128, 133, 255, 256, 300, 65_535, 65_536, 70_000])
def test_no_piece_of_a_frame_is_read_as_a_whole(opcode: int, length: int) -> None:
    """Wherever the network cuts a frame, its begin is no message: also where it is as long as a byte of it says."""
    sent = frame(opcode, bytes(length))

    assert [at for at in range(min(len(sent), 400)) if MessageReader().read_whole(sent[:at]) is not None] == []
    assert MessageReader().read_whole(sent) in {None, Message(bytes(length), opcode == BINARY)}


def test_one_whose_length_is_written_at_length_is_not_read_as_a_whole() -> None:
    for length_bytes in (2, 8):
        for length in range(140):
            sent = frame(BINARY, bytes(length), length_bytes=length_bytes)

            assert MessageReader().read_whole(sent) == (
                Message(bytes(length), binary=True) if length_bytes == 2 and length >= 126 else None
            )


@pytest.mark.limit("socket_message_bytes_max")
def test_a_message_past_the_limit_is_refused_before_it_is_here() -> None:
    head = frame(BINARY, b"x" * 301)[:8]
    first, second = fragments(TEXT, b"x" * 200, b"y" * 101)

    assert read(MessageReader(BYTES_MAX), head) == [Violation(TOO_BIG, "a message has at most 300 bytes")]
    assert read(MessageReader(BYTES_MAX), first, second[:8])[0] == Violation(TOO_BIG, "a message has at most 300 bytes")
    assert read(MessageReader(BYTES_MAX), frame(BINARY, b"x" * 300)) == [Message(b"x" * 300, binary=True)]


@pytest.mark.parametrize(
    ("payload", "length_bytes"), [(b"x" * 125, 2), (b"x" * 125, 8), (b"x" * 126, 8), (b"x" * 65_535, 8), (b"", 2)]
)
def test_a_length_that_is_not_written_in_the_fewest_bytes_is_a_violation(payload: bytes, length_bytes: int) -> None:
    came = read(MessageReader(), frame(BINARY, payload, length_bytes=length_bytes))

    assert came == [Violation(PROTOCOL_ERROR, "a length is not written in the fewest bytes")]


def test_events_come_one_by_one_and_the_rest_is_held() -> None:
    reader = MessageReader()
    sent = frame(TEXT, b"a") + frame(TEXT, b"b") + frame(TEXT, b"c")[:5]
    reader.feed(sent)

    assert reader.next() == Message(b"a", binary=False)
    reader.feed(frame(TEXT, b"c")[5:])
    assert [reader.next(), reader.next(), reader.next()] == [Message(b"b", False), Message(b"c", False), None]
    assert reader.held_bytes == 0


def test_nothing_is_held_of_what_comes_after_the_end() -> None:
    reader = MessageReader()
    read(reader, close(1000), b"x" * 1_000)

    assert (reader.held_bytes, reader.next()) == (0, None)


def test_the_codes_that_say_that_nothing_was_said_are_never_sent() -> None:
    assert pack_close(NO_STATUS) == b"\x88\x00"
    assert not may_be_said(NO_STATUS)
    assert not may_be_said(ABNORMAL)


def test_a_reason_that_is_too_long_is_cut_between_two_characters() -> None:
    assert pack_close(4000, "é" * 80) == b"\x88\x7c\x0f\xa0" + "é".encode() * 61
