"""A component's code apart from the memory it starts with: what is compiled once, and what each version brings.

What the Python SDK builds from two projects is the same code: interpreter, libraries, bindings. It differs in the
memory that the interpreter was left with, and in where parts of that memory were put. So `split` brings a component
into a form in which nothing else differs, and which does the same:

- the data of the module that has the memory become one segment, from its first page to its end. The memory's size is
  rounded up, so that small changes do not change it;
- an address in a global of another module, such as the stack of an adapter, is put at the end of that memory instead;
  the module's new start function takes it from there.

wasmtime lays such a segment into the compiled file as it is. So the compiled file of one version becomes that of
another when those bytes are replaced: a test holds it against what wasmtime itself compiles, byte for byte, and
wasmtime is pinned exactly. What is hostile gains nothing: the bytes that are replaced are the guest's own memory, all
others were compiled from what was checked. Imports no wasmtime.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from holdfast_host.core import wasm_binary as wasm
from holdfast_host.core.limits import KIB, MIB
from holdfast_host.sandbox.components.compiled_store import MEMORY_ADDED_BYTES_MAX

DATA_BYTES_MIN: Final = MIB  # of a memory; what has less compiles fast enough

_WASM_PAGE: Final = 64 * KIB
_SIZE_STEP: Final = MEMORY_ADDED_BYTES_MAX  # a memory's size is a multiple of this
_SPREAD_MAX: Final = 8  # times the data: what lies between is zeros that the compiled file holds; the SDK's have 1.6
_SEGMENTS_MAX: Final = 100_000  # each costs a microsecond; the SDK's components have 3,000
_ADDRESSES_MAX: Final = 16
_LAST_WORD: Final = 0x54534C48  # of the image: wasmtime leaves out pages of zeros at both ends
_NO_MAXIMUM, _WITH_MAXIMUM = 0, 1  # flags of a memory
_FUNCTION, _TABLE, _MEMORY, _GLOBAL = 0, 1, 2, 3  # kinds of imports
_I32, _MUTABLE = 0x7F, 1
_FUNCTION_TYPE: Final = 0x60
_TYPES_OF_ONE_BYTE: Final = range(0x69, 0x80)  # of values; all others say more than one byte
_I32_LOAD, _GLOBAL_SET = b"\x28\x02\x00", b"\x24"  # at an address that is a multiple of four
_NO_ARGUMENTS_NO_RESULTS: Final = b"\x60\x00\x00"


@dataclass(frozen=True)
class SplitComponent:
    """A component of equal meaning: `before` and `after` are its code, `image` the memory between them.

    Its memory starts `added_bytes` larger than the component's own, which nothing of it uses.
    """

    before: bytes
    image: bytes
    after: bytes
    added_bytes: int

    @cached_property
    def key(self) -> str:
        """A hash of all but the image's content."""
        digest = hashlib.sha256(f"{len(self.before)} {len(self.image)} {len(self.after)} ".encode())
        digest.update(self.before)
        digest.update(self.after)
        return digest.hexdigest()

    @property
    def whole(self) -> bytes:
        """The component."""
        return b"".join((self.before, self.image, self.after))


def split(component: bytes) -> SplitComponent | None:
    """Its code and its memory; None where it is not of that kind, is small, or does not read."""
    try:
        return _split(component)
    except (ValueError, LookupError, struct.error):
        return None


def _split(component: bytes) -> SplitComponent | None:
    modules = [_Module(component, *span) for span in _modules(component)]
    [main] = [module for module in modules if wasm.MODULE_MEMORIES in module.places]
    pages, flags = main.memory()
    segments = main.segments()
    data = sum(size for _, _, size in segments)
    if data < DATA_BYTES_MIN:
        return None
    size = (pages * _WASM_PAGE // _SIZE_STEP + 1) * _SIZE_STEP
    start = min(address for address, _, _ in segments) & -mmap.PAGESIZE
    if start < 0 or max(address + size for address, _, size in segments) > pages * _WASM_PAGE:
        return None
    if size - start > _SPREAD_MAX * data:
        return None
    image = bytearray(size - start)
    for address, at, length in segments:
        image[address - start : address - start + length] = component[at : at + length]
    struct.pack_into("<I", image, len(image) - 4, _LAST_WORD)
    if not any(image[: mmap.PAGESIZE]):
        return None
    addresses = _Addresses(start, size - 4)
    written = {module.start: module.loading(addresses) for module in modules if module is not main}
    addresses.write(image)
    before, after = main.around(start, len(image), flags, size // _WASM_PAGE)
    head, tail = _joined(component, written, main.start, (before, bytes(image), after))
    return SplitComponent(head, bytes(image), tail, size - pages * _WASM_PAGE)


def _joined(
    component: bytes, written: dict[int, bytes], main: int, parts: tuple[bytes, bytes, bytes]
) -> tuple[bytes, bytes]:
    """What stands before and behind the image, with all modules as they are written now; `main` is where its own is."""
    before, image, after = parts
    head, tail = [component[: wasm.HEADER_BYTES]], list[bytes]()
    into, begins = head, wasm.HEADER_BYTES
    for section, start, end in wasm.sections(component, 0, len(component)):
        if section != wasm.COMPONENT_MODULE:
            into.append(component[begins:end])
        elif start != main:
            into.append(wasm.section_bytes(wasm.COMPONENT_MODULE, written[start]))
        else:
            length = len(before) + len(image) + len(after)
            into += [bytes([wasm.COMPONENT_MODULE]), wasm.unsigned_bytes(length), before]
            into = tail
            into.append(after)
        begins = end
    return b"".join(head), b"".join(tail)


def _modules(component: bytes) -> Iterator[tuple[int, int]]:
    """Where the modules of a component lie; ValueError where a component in it has any, which could be used twice."""
    for section, start, end in wasm.sections(component, 0, len(component)):
        if section == wasm.COMPONENT_MODULE:
            yield start, end
        elif section == wasm.COMPONENT_COMPONENT and _has_module(component, start, end):
            raise ValueError("a component in it has modules of its own")


def _has_module(component: bytes, start: int, end: int) -> bool:
    # Two levels are looked at: what is deeper could be as deep as this stack.
    return any(
        section in (wasm.COMPONENT_MODULE, wasm.COMPONENT_COMPONENT)
        for section, _, _ in wasm.sections(component, start, end)
    )


class _Addresses:
    """Where at the end of the memory the addresses go that modules keep in globals."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self.found: list[int] = []

    def is_one(self, value: int) -> bool:
        """True for a number that may be an address in what the image holds."""
        return self._start <= value < self._end

    def put(self, address: int) -> int:
        """Where it will be found."""
        if len(self.found) == _ADDRESSES_MAX:
            raise ValueError("more addresses than there is room for")
        self.found.append(address)
        return self._end - 4 * len(self.found)

    def write(self, image: bytearray) -> None:
        """Put them all where they will be found."""
        for at, address in enumerate(self.found, start=1):
            struct.pack_into("<I", image, self._end - self._start - 4 * at, address)


class _Module:
    """A core module in a component's bytes."""

    def __init__(self, component: bytes, start: int, end: int) -> None:
        self.start = start
        self._bytes, self._end = component, end
        self.places: dict[int, tuple[int, int]] = {}  # of sections by id, but for custom ones
        self._sections: list[tuple[int, int, int]] = []  # id, where it begins, where it ends
        begins = start + wasm.HEADER_BYTES
        for section, at, after in wasm.sections(component, start, end):
            if section in self.places:
                raise ValueError(f"two sections {section} in one module")
            if section:
                self.places[section] = at, after
            self._sections.append((section, begins, after))
            begins = after

    def memory(self) -> tuple[int, bytes]:
        """Its only memory: the pages it starts with, and how to say its kind before another number of them."""
        count, at = self._number(self.places[wasm.MODULE_MEMORIES][0])
        flags = self._bytes[at]
        pages, at = self._number(at + 1)
        if count != 1 or flags != _NO_MAXIMUM or self._imported().get(_MEMORY):
            raise ValueError("not one plain memory")
        return pages, bytes([1, flags])

    def segments(self) -> list[tuple[int, int, int]]:
        """(address, place in the file, size) of its data, in their order; ValueError where one is not plain."""
        if wasm.MODULE_DATA_COUNT in self.places:
            raise ValueError("its code may name its segments")
        count, at = self._number(self.places[wasm.MODULE_DATA][0])
        if count > _SEGMENTS_MAX:
            raise ValueError("too many segments")
        found = []
        for _ in range(count):
            if self._bytes[at] != 0 or self._bytes[at + 1] != wasm.I32_CONST:
                raise ValueError("a segment whose place is not a number")
            address, at = wasm.signed(self._bytes, at + 2)
            if self._bytes[at] != wasm.END:
                raise ValueError("a segment whose place is not a number")
            size, at = self._number(at + 1)
            found.append((address, at, size))
            at += size
        self._check_read(wasm.MODULE_DATA, at)
        return found

    def around(self, start: int, size: int, memory: bytes, pages: int) -> tuple[bytes, bytes]:
        """What stands before and behind its data, when they are one segment and its memory has so many pages."""
        before, after = [self._bytes[self.start : self.start + wasm.HEADER_BYTES]], list[bytes]()
        into = before
        for section, begins, ends in self._sections:
            if section == wasm.MODULE_MEMORIES:
                into.append(wasm.section_bytes(section, memory + wasm.unsigned_bytes(pages)))
            elif section == wasm.MODULE_DATA:
                head = b"\x01\x00" + bytes([wasm.I32_CONST]) + wasm.signed_bytes(start) + bytes([wasm.END])
                head += wasm.unsigned_bytes(size)
                into += [bytes([section]), wasm.unsigned_bytes(len(head) + size), head]
                into = after
            else:
                into.append(self._bytes[begins:ends])
        return b"".join(before), b"".join(after)

    def loading(self, addresses: _Addresses) -> bytes:
        """The module with the addresses in its globals loaded when it starts; as it is where it has none."""
        has = self.places.keys()
        needed = {wasm.MODULE_TYPES, wasm.MODULE_FUNCTIONS, wasm.MODULE_GLOBALS, wasm.MODULE_CODE}
        if not has >= needed or wasm.MODULE_START in has:
            return self._bytes[self.start : self._end]
        imported = self._imported()
        body, globals_ = b"\x00", bytearray()
        count, at = self._number(self.places[wasm.MODULE_GLOBALS][0])
        for index in range(imported.get(_GLOBAL, 0), imported.get(_GLOBAL, 0) + count):
            kind = self._bytes[at : at + 2]
            if self._bytes[at + 2] != wasm.I32_CONST:
                return self._bytes[self.start : self._end]
            value, after = wasm.signed(self._bytes, at + 3)
            if self._bytes[after] != wasm.END:
                return self._bytes[self.start : self._end]
            if kind == bytes([_I32, _MUTABLE]) and addresses.is_one(value) and imported.get(_MEMORY) == 1:
                place = wasm.signed_bytes(addresses.put(value))
                body += bytes([wasm.I32_CONST]) + place + _I32_LOAD + _GLOBAL_SET + wasm.unsigned_bytes(index)
                value = 0
            globals_ += kind + bytes([wasm.I32_CONST]) + wasm.signed_bytes(value) + bytes([wasm.END])
            at = after + 1
        self._check_read(wasm.MODULE_GLOBALS, at)
        if body == b"\x00":
            return self._bytes[self.start : self._end]
        return self._started_by(body + bytes([wasm.END]), bytes(globals_), imported.get(_FUNCTION, 0))

    def _started_by(self, body: bytes, globals_: bytes, functions_imported: int) -> bytes:
        """The module with these globals and one more function, which starts it."""
        types, functions = self._types(), self._count(wasm.MODULE_FUNCTIONS)
        start = wasm.section_bytes(wasm.MODULE_START, wasm.unsigned_bytes(functions_imported + functions))
        added = {
            wasm.MODULE_TYPES: _NO_ARGUMENTS_NO_RESULTS,
            wasm.MODULE_FUNCTIONS: wasm.unsigned_bytes(types),
            wasm.MODULE_CODE: wasm.unsigned_bytes(len(body)) + body,
        }
        written = [self._bytes[self.start : self.start + wasm.HEADER_BYTES]]
        for section, begins, ends in self._sections:
            if start and section in (wasm.MODULE_ELEMENTS, wasm.MODULE_DATA_COUNT, wasm.MODULE_CODE):
                written.append(start)
                start = b""
            if section == wasm.MODULE_GLOBALS:
                count = self._count(section)
                written.append(wasm.section_bytes(section, wasm.unsigned_bytes(count) + globals_))
            elif section in added:
                count, at = self._number(self.places[section][0])
                content = wasm.unsigned_bytes(count + 1) + self._bytes[at:ends] + added[section]
                written.append(wasm.section_bytes(section, content))
            else:
                written.append(self._bytes[begins:ends])
        return b"".join(written)

    def _imported(self) -> dict[int, int]:
        """How many it imports of each kind; ValueError for kinds that are not known here."""
        found: dict[int, int] = {}
        if wasm.MODULE_IMPORTS not in self.places:
            return found
        count, at = self._number(self.places[wasm.MODULE_IMPORTS][0])
        for _ in range(count):
            for _ in ("module", "name"):
                length, at = self._number(at)
                at += length
            kind = self._bytes[at]
            found[kind] = found.get(kind, 0) + 1
            at = self._behind_type(kind, at + 1)
        self._check_read(wasm.MODULE_IMPORTS, at)
        return found

    def _behind_type(self, kind: int, at: int) -> int:
        if kind == _FUNCTION:
            return self._number(at)[1]
        if kind not in (_TABLE, _MEMORY, _GLOBAL):
            raise ValueError(f"an import of kind {kind}")
        if kind != _MEMORY and self._bytes[at] not in _TYPES_OF_ONE_BYTE:
            raise ValueError("an import of an unusual type")
        if kind == _GLOBAL:
            return at + 2
        at += kind == _TABLE  # the type of what it holds
        flags = self._bytes[at]
        _, at = self._number(at + 1)
        if flags == _WITH_MAXIMUM:
            return self._number(at)[1]
        if flags != _NO_MAXIMUM:
            raise ValueError("a table or memory of an unusual kind")
        return at

    def _types(self) -> int:
        """How many types it has; ValueError where one is no plain function's: several may be one entry, as a group."""
        count, at = self._number(self.places[wasm.MODULE_TYPES][0])
        for _ in range(count):
            if self._bytes[at] != _FUNCTION_TYPE:
                raise ValueError("a type that is no plain function's")
            at += 1
            for _ in ("parameters", "results"):
                length, at = self._number(at)
                if any(each not in _TYPES_OF_ONE_BYTE for each in self._bytes[at : at + length]):
                    raise ValueError("a function's type with unusual types in it")
                at += length
        self._check_read(wasm.MODULE_TYPES, at)
        return count

    def _check_read(self, section: int, at: int) -> None:
        """ValueError where what was read of a section does not end with it: then it was something else."""
        if at != self.places[section][1]:
            raise ValueError(f"section {section} ends elsewhere than what is in it")

    def _count(self, section: int) -> int:
        return self._number(self.places[section][0])[0]

    def _number(self, at: int) -> tuple[int, int]:
        return wasm.unsigned(self._bytes, at)
