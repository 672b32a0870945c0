"""The cases of Autobahn's test suite for servers, by their published numbers: sections 1 to 7, 10, and 9 where small.

The suite itself is a program for Python 2. Each row here sends what its case sends, as it was cut there, and says
what a server that echoes messages does: `text`, `binary`, `pong` with a payload; `close` with a code; `fail`, a
violation with a code.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from holdfast_host.front.sockets.protocol import (
    NO_STATUS,
    NOT_UTF8,
    PROTOCOL_ERROR,
    TOO_BIG,
    Closed,
    Event,
    Message,
    MessageReader,
    Part,
    Ping,
    Pong,
    Violation,
)
from tests.unit.front.sockets.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, fragments, frame

Outcome = tuple[str, bytes | int]

HELLO = b"Hello, world!"
BYTES = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
KOSME = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"  # the second letter has three bytes
BAD = b"\xed\xa0\x80"
END = ("close", 1000)
BREACH = ("fail", PROTOCOL_ERROR)
NOT_TEXT = ("fail", NOT_UTF8)
GREEK = "Hello-µ@ßöäüàá-UTF-8!!".encode()


def text(payload: bytes) -> bytes:
    return frame(TEXT, payload)


def said(payload: bytes) -> Outcome:
    return "text", payload


def octets(payload: bytes) -> list[bytes]:
    return [payload[at : at + 1] for at in range(len(payload))]


LENGTHS = (0, 125, 126, 127, 128, 65_535, 65_536)
RESERVED_PAYLOAD = b"reserved opcode payload"
Case = tuple[str, list[bytes], int, list[Outcome]]  # number, frames, octets of a piece (0: each frame), what comes


def sections_1_to_4() -> Iterable[Case]:
    for number, length in enumerate(LENGTHS, 1):
        yield f"1.1.{number}", [text(b"*" * length), close(1000)], 0, [said(b"*" * length), END]
        yield f"1.2.{number}", [frame(BINARY, b"\xfe" * length), close(1000)], 0, [("binary", b"\xfe" * length), END]
    yield "1.1.8", [text(b"*" * 65_536), close(1000)], 997, [said(b"*" * 65_536), END]
    yield "1.2.8", [frame(BINARY, b"\xfe" * 65_536), close(1000)], 997, [("binary", b"\xfe" * 65_536), END]
    for number, payload in enumerate((b"", HELLO, BYTES, b"\xfe" * 125), 1):
        yield f"2.{number}", [frame(PING, payload), close(1000)], 0, [("pong", payload), END]
    yield "2.5", [frame(PING, b"\xfe" * 126)], 0, [BREACH]
    yield "2.6", [frame(PING, b"\xfe" * 125), close(1000)], 1, [("pong", b"\xfe" * 125), END]
    unasked = b"unsolicited pong payload"
    yield "2.7", [frame(PONG), close(1000)], 0, [END]
    yield "2.8", [frame(PONG, unasked), close(1000)], 0, [END]
    yield "2.9", [frame(PONG, unasked), frame(PING, b"ping payload"), close(1000)], 0, [("pong", b"ping payload"), END]
    pings = [frame(PING, b"payload-%d" % each) for each in range(10)]
    pongs: list[Outcome] = [("pong", b"payload-%d" % each) for each in range(10)]
    yield "2.10", [*pings, close(1000)], 0, [*pongs, END]
    yield "2.11", [*pings, close(1000)], 1, [*pongs, END]
    ping = frame(PING)
    yield "3.1", [frame(TEXT, HELLO, reserved=1)], 0, [BREACH]
    for number, reserved, cut in ((2, 2, 0), (3, 3, 0), (4, 4, 1)):
        broken = frame(TEXT, HELLO, reserved=reserved)
        yield f"3.{number}", [text(HELLO), broken, ping], cut, [said(HELLO), BREACH]
    yield "3.5", [frame(BINARY, BYTES, reserved=5)], 0, [BREACH]
    yield "3.6", [frame(PING, HELLO, reserved=6)], 0, [BREACH]
    yield "3.7", [frame(CLOSE, reserved=7)], 0, [BREACH]
    for family, first in ((1, 3), (2, 11)):
        yield f"4.{family}.1", [frame(first)], 0, [BREACH]
        yield f"4.{family}.2", [frame(first + 1, RESERVED_PAYLOAD)], 0, [BREACH]
        for number, payload, cut in ((3, b"", 0), (4, RESERVED_PAYLOAD, 0), (5, RESERVED_PAYLOAD, 1)):
            reserved_one = frame(first + number - 1, payload)
            yield f"4.{family}.{number}", [text(HELLO), reserved_one, ping], cut, [said(HELLO), BREACH]


def section_5() -> Iterable[Case]:
    yield "5.1", fragments(PING, b"fragment1", b"fragment2"), 0, [BREACH]
    yield "5.2", fragments(PONG, b"fragment1", b"fragment2"), 0, [BREACH]
    two, both = fragments(TEXT, b"fragment1", b"fragment2"), said(b"fragment1fragment2")
    ping, pong = frame(PING, b"ping payload"), ("pong", b"ping payload")
    for number, cut in ((3, 0), (4, 0), (5, 1)):
        yield f"5.{number}", [*two, close(1000)], cut, [both, END]
    for number, cut in ((6, 0), (7, 0), (8, 1)):
        yield f"5.{number}", [two[0], ping, two[1], close(1000)], cut, [pong, both, END]
    for number, fin, cut in (
        (9, True, 0),
        (10, True, 0),
        (11, True, 1),
        (12, False, 0),
        (13, False, 0),
        (14, False, 1),
    ):
        alone = frame(CONTINUATION, b"non-continuation payload", fin=fin)
        yield f"5.{number}", [alone, text(HELLO)], cut, [BREACH]
    yield "5.15", [*two, frame(CONTINUATION, b"fragment3", fin=False), text(b"fragment4")], 0, [both, BREACH]
    for number, fin in ((16, False), (17, True)):
        again = [frame(CONTINUATION, b"fragment1", fin=fin), *fragments(TEXT, b"fragment2", b"fragment3")]
        yield f"5.{number}", again * 2, 0, [BREACH]
    yield "5.18", [frame(TEXT, b"fragment1", fin=False), text(b"fragment2")], 0, [BREACH]
    five = fragments(TEXT, *(b"fragment%d" % each for each in range(1, 6)))
    all_five = said(b"".join(b"fragment%d" % each for each in range(1, 6)))
    pinged = [five[0], five[1], ping, five[2], five[3], ping, five[4], close(1000)]
    for number in (19, 20):
        yield f"5.{number}", pinged, 0, [pong, pong, all_five, END]


# The texts of Autobahn's tables of UTF-8, after Markus Kuhn's, in hexadecimal: valid ones, then those that are not.
VALID = {
    "6.5": """
        48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121 ceba cebae1bdb9 cebae1bdb9cf83
        cebae1bdb9cf83cebc cebae1bdb9cf83cebcceb5
    """,
    "6.7": "00 c280 e0a080 f0908080",
    "6.9": "7f dfbf efbfbf f48fbfbf",
    "6.11": "ed9fbf ee8080 efbfbd f48fbfbf",
    "6.23": "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
}
NONCHARACTERS = " ".join(chr(plane << 16 | low).encode().hex() for plane in range(17) for low in (0xFFFE, 0xFFFF))
INVALID = {
    "6.6": "ce cebae1 cebae1bd cebae1bdb9cf cebae1bdb9cf83ce cebae1bdb9cf83cebcce",
    "6.8": "f888808080 fc8480808080",
    "6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "6.11": "f4908080",
    "6.12": """
        80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf 80bf80bf80bf80
        808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf
    """,
    "6.13": """
        c020c120c220c320c420c520c620c720c820c920ca20cb20cc20cd20ce20cf20d020d120d220d320d420d520d620d720d820d920da20db20dc20dd20de20df
        e020e120e220e320e420e520e620e720e820e920ea20eb20ec20ed20ee20ef f020f120f220f320f420f520f620f7
        f820f920fa20fb fc20fd
    """,
    "6.14": "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf",
    "6.15": "c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf",
    "6.16": "fe ff fefeffff",
    "6.17": "c0af e080af f08080af f8808080af fc80808080af",
    "6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    "6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
    "6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    "6.21": """
        eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080
        edafbfedbfbf
    """,
}


def section_6() -> Iterable[Case]:
    yield "6.1.1", [text(b""), close(1000)], 0, [said(b""), END]
    yield "6.1.2", [*fragments(TEXT, b"", b"", b""), close(1000)], 0, [said(b""), END]
    yield (
        "6.1.3",
        [*fragments(TEXT, b"", b"middle frame payload", b""), close(1000)],
        0,
        [said(b"middle frame payload"), END],
    )
    yield "6.2.1", [text(GREEK), close(1000)], 0, [said(GREEK), END]
    yield "6.2.2", [*fragments(TEXT, GREEK[:12], GREEK[12:]), close(1000)], 0, [said(GREEK), END]
    yield "6.2.3", [*fragments(TEXT, *octets(GREEK)), close(1000)], 0, [said(GREEK), END]
    yield "6.2.4", [*fragments(TEXT, *octets(KOSME)), close(1000)], 0, [said(KOSME), END]
    bad = KOSME + BAD + b"edited"
    yield "6.3.1", [text(bad)], 0, [NOT_TEXT]
    yield "6.3.2", fragments(TEXT, *octets(bad)), 0, [NOT_TEXT]
    # These say at which byte it must fail: what is not sent any more is what would have come after it.
    yield "6.4.1", fragments(TEXT, KOSME, b"\xf4\x90\x80\x80", b"edited")[:2], 0, [NOT_TEXT]
    yield "6.4.2", fragments(TEXT, KOSME + b"\xf4", b"\x90", b"\x80\x80edited")[:2], 0, [NOT_TEXT]
    whole = text(KOSME + b"\xf4\x90\x80\x80edited")
    yield "6.4.3", [whole[: 6 + len(KOSME) + 4]], 0, [NOT_TEXT]
    yield "6.4.4", [whole[: 6 + len(KOSME) + 2]], 1, [NOT_TEXT]
    for family, texts in {**VALID, "6.22": NONCHARACTERS}.items():
        for number, each in enumerate(map(bytes.fromhex, texts.split()), 1):
            yield f"{family}.{number}", [text(each), close(1000)], 0, [said(each), END]
            yield f"{family}.{number} in octets", [*fragments(TEXT, *octets(each)), close(1000)], 1, [said(each), END]
    for family, texts in INVALID.items():
        for number, each in enumerate(map(bytes.fromhex, texts.split()), 1):
            yield f"{family}.{number} invalid", [text(each)], 0, [NOT_TEXT]
            yield f"{family}.{number} invalid, in octets", fragments(TEXT, *octets(each)), 1, [NOT_TEXT]


def section_7() -> Iterable[Case]:
    ping = frame(PING, b"payload")
    two = fragments(TEXT, b"fragment1", b"fragment2")
    yield "7.1.1", [text(HELLO), close(1000)], 0, [said(HELLO), END]
    yield "7.1.2", [close(1000), close(1000)], 0, [END]
    yield "7.1.3", [close(1000), ping], 0, [END]
    yield "7.1.4", [close(1000), text(HELLO)], 0, [END]
    yield "7.1.5", [two[0], close(1000), two[1]], 0, [END]
    long = b"BAsd7&jh23" * 26_214
    yield "7.1.6", [text(long), close(1000), ping], 0, [said(long), END]
    yield "7.3.1", [close()], 0, [("close", NO_STATUS)]
    yield "7.3.2", [frame(CLOSE, b"a")], 0, [BREACH]
    yield "7.3.3", [close(1000)], 0, [END]
    yield "7.3.4", [close(1000, b"Hello World!")], 0, [END]
    yield "7.3.5", [close(1000, b"*" * 123)], 0, [END]
    yield "7.3.6", [close(1000, b"*" * 124)], 0, [BREACH]
    yield "7.5.1", [close(1000, KOSME + BAD + b"edited")], 0, [NOT_TEXT]
    for number, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
        yield f"7.7.{number}", [close(code)], 0, [("close", code)]
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield f"7.9.{number}", [close(code)], 0, [BREACH]
    yield "7.13.1", [close(5000)], 0, [BREACH]
    yield "7.13.2", [close(65_535)], 0, [BREACH]


def sections_9_and_10() -> Iterable[Case]:
    long = b"*" * (1 << 16)
    for number, opcode, kind in ((1, TEXT, "text"), (2, BINARY, "binary")):
        for case, count in ((1, 1), (2, 4), (3, 16)):
            yield f"9.{number}.{case}", [frame(opcode, long * count)], 0, [(kind, long * count)]
        yield f"9.{number}.4", [frame(opcode, long * 64)], 0, [("fail", TOO_BIG)]
        for case, piece in enumerate((64, 256, 1024, 4096, 16_384, 65_536), 1):
            cut = [long[at : at + piece] for at in range(0, len(long), piece)]
            yield f"9.{number + 2}.{case}", fragments(opcode, *cut), 0, [(kind, long)]
            yield f"9.{number + 4}.{case}", [frame(opcode, long)], piece, [(kind, long)]
    yield "10.1.1", fragments(TEXT, *(long[at : at + 1300] for at in range(0, len(long), 1300))), 0, [said(long)]


CASES = [*sections_1_to_4(), *section_5(), *section_6(), *section_7(), *sections_9_and_10()]


def outcome_of(event: Event) -> Outcome | None:
    match event:
        case Message():
            return ("binary" if event.binary else "text"), event.payload
        case Ping():
            return "pong", event.payload
        case Pong() | Part():
            return None
        case Closed():
            return "close", event.code
        case Violation():
            return "fail", event.code


@pytest.mark.parametrize(("number", "frames", "cut", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_case_of_autobahn_ends_as_it_is_to(
    number: str, frames: list[bytes], cut: int, expected: list[Outcome]
) -> None:
    sent = b"".join(frames)
    pieces = [sent[at : at + cut] for at in range(0, len(sent), cut)] if cut else frames
    reader, came = MessageReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            came.append(outcome_of(event))

    assert [each for each in came if each is not None] == expected
