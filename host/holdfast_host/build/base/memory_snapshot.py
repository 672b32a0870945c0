"""A component that begins with another memory: that which a sandbox of it had."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final

from holdfast_host.core import wasm_binary as wasm
from holdfast_host.core.limits import KIB

_WASM_PAGE: Final = 64 * KIB
_BLOCK: Final = mmap.PAGESIZE
_ZEROS: Final = bytes(_BLOCK)
_MOVED_BYTES: Final = 17 * 4  # at the end of a memory that was added to: see `memory_image`


def with_memory(component: bytes, memory: bytes, added_bytes: int) -> bytes:
    """The component, its one memory beginning with this content.

    Args:
        component: what the sandbox was made from.
        memory: all of the sandbox's.
        added_bytes: by how much that began larger than the component asks; nothing of the guest's lies there but what
            it has grown by since.

    Raises:
        ValueError: it has no memory, or several, or the content is shorter than what it asks for.
    """
    [module] = [
        (start, end)
        for section, start, end in wasm.sections(component, 0, len(component))
        if section == wasm.COMPONENT_MODULE
        and any(each == wasm.MODULE_MEMORIES for each, _, _ in wasm.sections(component, start, end))
    ]
    written = _module(component, *module, memory, added_bytes)
    parts, begins = [component[: wasm.HEADER_BYTES]], wasm.HEADER_BYTES
    for section, start, end in wasm.sections(component, 0, len(component)):
        if start == module[0]:
            parts.append(wasm.section_bytes(section, written))
        else:
            parts.append(component[begins:end])
        begins = end
    return b"".join(parts)


def _module(component: bytes, start: int, end: int, memory: bytes, added_bytes: int) -> bytes:
    parts, begins = [component[start : start + wasm.HEADER_BYTES]], start + wasm.HEADER_BYTES
    content = memory
    for section, at, after in wasm.sections(component, start, end):
        if section == wasm.MODULE_MEMORIES:
            count, at = wasm.unsigned(component, at)
            flags = component[at]
            pages, at = wasm.unsigned(component, at + 1)
            if count != 1 or flags or at != after:
                raise ValueError("not one plain memory")
            content = _own(memory, pages * _WASM_PAGE, added_bytes)
            pages = len(content) // _WASM_PAGE
            parts.append(wasm.section_bytes(section, bytes([count, flags]) + wasm.unsigned_bytes(pages)))
        elif section == wasm.MODULE_DATA:
            segments = [*_segments(content)]
            parts.append(wasm.section_bytes(section, wasm.unsigned_bytes(len(segments)) + b"".join(segments)))
        else:
            parts.append(component[begins:after])
        begins = after
    return b"".join(parts)


def _own(memory: bytes, asked: int, added_bytes: int) -> bytes:
    """What of the sandbox's memory the component would have without what was added for the host's sake."""
    started = asked + added_bytes
    if len(memory) < started or len(memory) % _WASM_PAGE:
        raise ValueError(f"a memory of {len(memory)} bytes, where the component starts with {started}")
    if len(memory) == started:
        return memory[:asked]
    if not added_bytes:
        return memory
    return memory[: started - _MOVED_BYTES] + bytes(_MOVED_BYTES) + memory[started:]


def _segments(memory: bytes) -> Iterator[bytes]:
    """Data segments for all but pages of zeros."""
    place = 0
    while place < len(memory):
        ends = place
        while ends < len(memory) and memory[ends : ends + _BLOCK] != _ZEROS:
            ends += _BLOCK
        if ends > place:
            head = b"\0" + bytes([wasm.I32_CONST]) + wasm.signed_bytes(place) + bytes([wasm.END])
            yield head + wasm.unsigned_bytes(ends - place) + memory[place:ends]
        place = ends + _BLOCK
