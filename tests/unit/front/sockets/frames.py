"""A client's frames, written by the tests themselves: right ones, and such as no client sends."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x12\x34\x56\x78"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length_bytes: int | None = None,
) -> bytes:
    """One frame.

    Args:
        opcode: of 0 to 15.
        payload: before it is masked.
        fin: whether its message ends with it.
        reserved: the three bits, as a number.
        mask: four bytes; None: it is not masked.
        length_bytes: how many bytes the length takes (0, 2 or 8); None: the fewest.
    """
    count = len(payload)
    if length_bytes is None:
        length_bytes = 0 if count < 126 else 2 if count < 1 << 16 else 8
    first = {0: count, 2: 126, 8: 127}[length_bytes]
    head = bytes((fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | first))
    if length_bytes:
        head += count.to_bytes(length_bytes, "big")
    if mask is None:
        return head + payload
    repeated = (mask * (count // 4 + 1))[:count]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")  # as one number: some are of megabytes
    return head + mask + masked.to_bytes(count, "big")


def fragments(opcode: int, *payloads: bytes) -> list[bytes]:
    """One message in as many frames."""
    last = len(payloads) - 1
    return [
        frame(opcode if number == 0 else CONTINUATION, payload, fin=number == last)
        for number, payload in enumerate(payloads)
    ]


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)
