"""Values across the boundary, at the level of C: exactly the signatures of `signatures`, nothing general.

wasmtime for Python reads a function's type again on every call, in Python; that is two thirds of a short call. Here the
types are known, so C values are read and filled in place. The layout is that of the wasmtime version in
`settings.WASMTIME_PINNED`; with
another one `marshal_public` does the same through the public interface, slower.

Ownership: parameters of a call are borrowed (wasmtime copies them); a call's result is ours to delete; parameters of a
host function are wasmtime's; a host function's result, and an error it returns, are wasmtime's from then on.

Short C functions are called through PyDLL, holding the interpreter lock: giving it up for a microsecond would cost a
wait of a switch interval beside any busy thread. The guest itself runs without the lock.

A function of ctypes costs a third where its arguments are C values already, and reading C memory through a view of all
of it a quarter of `string_at`: so declared parameters and `string_at` are not on a call's way.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable
from ctypes import addressof, byref, c_char, c_size_t, c_uint8, c_uint64, c_void_p
from functools import partial
from typing import Any, Final

from wasmtime import Store, WasmtimeError, _ffi
from wasmtime.component import Func, LinkerInstance

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.sandbox.guest import Guests
from holdfast_host.sandbox.imports import Handler, error_text
from holdfast_host.sandbox.signatures import Kind, Signature

_BOOL, _U32, _S64, _STRING, _OPTION, _RESULT = 0, 6, 7, 12, 18, 19
_KIND_CODES: Final = {
    Kind.BOOL: _BOOL,
    Kind.U32: _U32,
    Kind.S64: _S64,
    Kind.TEXT: _STRING,
    Kind.OPTIONAL_TEXT: _OPTION,
}
_VALUE_BYTES: Final = 32
_KIND_BYTES: Final = 8  # with what lies unused behind it
_VALUE_FORMAT: Final = "B7x3Q"
_VALUE_WORDS: Final = struct.Struct("<" + _VALUE_FORMAT)
_TEXT_WORDS: Final = struct.Struct("<2Q")  # size and data, behind the kind
_RESULT_WORDS: Final = struct.Struct("<B7xB7xQ")  # the kind, is_ok, and the payload's address
_NO_RESULT = (True, b"")

# All of this process's memory, to read and write what wasmtime points to: as careful as the addresses are.
_MEMORY: Final = memoryview((c_char * ((1 << 63) - 1)).from_address(0)).cast("B")
_BYTES_HEADER: Final = bytes.__basicsize__ - 1  # of a bytes object, before its data

Call = Callable[..., tuple[bool, bytes]]
HostFunctionType: Final = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)


class _Value(ctypes.Structure):
    """wasmtime_component_val_t: a kind, and words that mean size and data, or is_ok and a pointer, or a number."""

    _fields_ = (("kind", c_uint8), ("first", c_uint64), ("second", c_uint64), ("third", c_uint64))


assert ctypes.sizeof(_Value) == _VALUE_BYTES
_probe = b"where a bytes object's data lies"
assert _MEMORY[id(_probe) + _BYTES_HEADER :][: len(_probe)] == _probe

_quick = ctypes.PyDLL(_ffi.dll._name)  # noqa: SLF001 - the library that wasmtime has loaded
_long = ctypes.CDLL(_ffi.dll._name)  # noqa: SLF001


def _function(library: ctypes.CDLL, name: str, result: Any = None) -> Callable[..., Any]:
    """A function whose arguments are C values (or bytes, for a pointer): a plain int would pass as a C int."""
    function = library[name]
    function.restype = result
    return function


_new_bytes = _function(_quick, "wasm_byte_vec_new")
_new_value = _function(_quick, "wasmtime_component_val_new", c_void_p)
_delete_value = _function(_quick, "wasmtime_component_val_delete")
_new_error = _function(_quick, "wasmtime_error_new", c_void_p)
_set_deadline = _function(_quick, "wasmtime_context_set_epoch_deadline")
_add_function = _function(_quick, "wasmtime_component_linker_instance_add_func", c_void_p)
_call = _function(_long, "wasmtime_component_func_call", c_void_p)

_ONE_ADVANCE: Final = c_uint64(1)
_ONE: Final = c_size_t(1)


def deadline(context: int) -> Callable[[], None]:
    """A function that has the guest's next tick come when the epoch advances once more."""
    return partial(_set_deadline, c_void_p(context), _ONE_ADVANCE)


def new_trap(message: bytes) -> int:
    """An error for a host function to return; wasmtime owns it then."""
    pointer: int = _new_error(message)
    return pointer


def address_of_context(store: Any) -> int:
    """What wasmtime hands to host functions as their context: a store has the same one all its life."""
    address = ctypes.cast(store._context(), c_void_p).value  # noqa: SLF001 - no public way to it
    assert address is not None
    return address


def define(instance: LinkerInstance, name: str, signature: Signature, function: Any) -> None:
    """Link a host function that `host_function` made; the caller keeps it alive as long as the linker."""
    encoded = name.encode()
    error = _add_function(instance.ptr(), encoded, c_size_t(len(encoded)), function, None, None)
    if error:
        raise _error_at(error)


def host_function(guests: Guests, signature: Signature, handler: Handler, blocking: bool) -> Any:
    """The C callback of one import. It never raises: what fails is the guest's `err`, or a trap that says why."""
    count_expected = len(signature.parameters)
    codes = tuple(_KIND_CODES[kind] for kind in signature.parameters)
    unpack, read = struct.Struct("<" + _VALUE_FORMAT * count_expected).unpack_from, _reader(signature.parameters)
    write_ok, fallible = _WRITERS[signature.ok], signature.fallible
    shape = count_expected, 1 if fallible else 0

    def serve(_data: int, context: int, _type: int, values: int, count: int, results: int, results_count: int) -> int:
        guest = None
        try:
            guest = guests[context]
            turn = guest.turn
            assert turn is not None
            if not turn.host_call():
                guest.ended = True
                return new_trap(b"the turn was ended")
            if (count, results_count) != shape:
                return new_trap(b"a host function was linked with another signature")
            words = unpack(_MEMORY, values) if count else ()
            if words[::4] != codes:
                return new_trap(b"a host function was linked with another signature")
            try:
                value = handler(turn, *read(words))
            except HoldfastError as error:
                if fallible:
                    _write_text(results, 0, error_text(error))
            else:
                if fallible:
                    write_ok(results, value)
            if blocking:
                _set_deadline(c_void_p(context), _ONE_ADVANCE)
            return 0
        except BaseException as fault:  # one that escaped would be read as a pointer
            if guest is not None:
                guest.fault = fault
            return new_trap(b"a host function failed")

    return HostFunctionType(serve)


def bind(store: Store, function: Func, signature: Signature) -> Call:
    """The export as a Python function: parameters as the signature says, back come is_ok and the text.

    It may be called by one thread at a time, and not from within itself.

    Raises (the returned function):
        WasmtimeError: the guest trapped.
        UnicodeDecodeError: a text is not UTF-8; nothing was called.
    """
    raw = function._func  # noqa: SLF001 - the C structure is what we are here for
    address, context = c_void_p(addressof(raw)), c_void_p(address_of_context(store))
    count = len(signature.parameters)
    parameters, parameters_count = (_Value * count)(), c_size_t(count)
    for slot, kind in zip(parameters, signature.parameters, strict=True):
        slot.kind = _KIND_CODES[kind]
    # where the size and the data of a text, or a flag, go: behind the kind
    places = [(at, _VALUE_BYTES * at + _KIND_BYTES, kind) for at, kind in enumerate(signature.parameters)]
    texts = tuple((at, place) for at, place, kind in places if kind is Kind.TEXT)
    flags = tuple((at, place) for at, place, kind in places if kind is Kind.BOOL)
    assert len(texts) + len(flags) == count, "exports take texts and flags"
    result = _Value()
    result_reference = byref(result)
    filled, answered = memoryview(parameters).cast("B"), memoryview(result).cast("B")
    fill, read = _TEXT_WORDS.pack_into, _RESULT_WORDS.unpack_from

    def call(*values: Any) -> tuple[bool, bytes]:
        for at, place in texts:
            text: bytes = values[at]
            if type(text) is not bytes:
                raise TypeError(f"a text for a guest comes as bytes, not {type(text).__name__}")
            if not text.isascii():
                text.decode()  # wasmtime takes a text's word for it and would abort the process
            fill(filled, place, len(text), id(text) + _BYTES_HEADER)
        for at, place in flags:
            filled[place] = values[at]
        error = _call(address, context, parameters, parameters_count, result_reference, _ONE)
        if error:
            raise _error_at(error)
        answer = _read_result(*read(answered))
        _delete_value(result_reference)
        answered[0] = _BOOL  # the next call drops what stands here
        return answer

    call.__dict__["function"] = function  # keeps the C structure alive
    return call


def _read_result(kind: int, is_ok: int, payload: int) -> tuple[bool, bytes]:
    assert kind == _RESULT
    if not payload:
        return _NO_RESULT
    kind, size, data, _ = _VALUE_WORDS.unpack_from(_MEMORY, payload)
    assert kind == _STRING
    return bool(is_ok), _MEMORY[data : data + size].tobytes()


def _error_at(address: int) -> WasmtimeError:
    typed = ctypes.cast(address, ctypes.POINTER(_ffi.wasmtime_error_t))
    return WasmtimeError._from_ptr(typed)  # noqa: SLF001 - takes ownership, reads an exit status


def _read_text(words: tuple[int, ...], at: int) -> bytes:
    data = words[at + 2]
    return _MEMORY[data : data + words[at + 1]].tobytes()


def _read_optional_text(words: tuple[int, ...], at: int) -> bytes | None:
    pointer = words[at + 1]
    if not pointer:
        return None
    kind, size, data, _ = _VALUE_WORDS.unpack_from(_MEMORY, pointer)
    if kind != _STRING:
        raise InternalError("an option that is linked as option<string> holds something else")
    return _MEMORY[data : data + size].tobytes()


def _read_bool(words: tuple[int, ...], at: int) -> bool:
    return words[at + 1] & 0xFF != 0


def _read_u32(words: tuple[int, ...], at: int) -> int:
    return words[at + 1] & 0xFFFFFFFF


def _read_s64(words: tuple[int, ...], at: int) -> int:
    word = words[at + 1]
    return word - (1 << 64) if word >> 63 else word


def _read_two_texts(words: tuple[int, ...]) -> tuple[bytes, bytes]:
    _, first_bytes, first, _, _, second_bytes, second, _ = words
    return _MEMORY[first : first + first_bytes].tobytes(), _MEMORY[second : second + second_bytes].tobytes()


def _reader(kinds: tuple[Kind, ...]) -> Callable[[tuple[int, ...]], Iterable[Any]]:
    """What takes a host function's arguments out of its parameters; `put` is called often enough for one of its own."""
    if kinds == (Kind.TEXT, Kind.TEXT):
        return _read_two_texts
    readers = tuple((_READERS[kind], 4 * at) for at, kind in enumerate(kinds))
    return lambda words: [read(words, at) for read, at in readers]


_READERS: Final[dict[Kind, Callable[[tuple[int, ...], int], Any]]] = {
    Kind.TEXT: _read_text,
    Kind.OPTIONAL_TEXT: _read_optional_text,
    Kind.BOOL: _read_bool,
    Kind.U32: _read_u32,
    Kind.S64: _read_s64,
}


def _write_text(results: int, is_ok: int, text: bytes) -> None:
    """A `result` whose payload is a text; checks it, for wasmtime would not."""
    if not text.isascii():
        text.decode()
    payload = _Value(_STRING)
    _new_bytes(byref(payload, _KIND_BYTES), c_size_t(len(text)), text)
    _write_result(results, is_ok, _new_value(byref(payload)))


def _write_result(results: int, is_ok: int, payload: int) -> None:
    _RESULT_WORDS.pack_into(_MEMORY, results, _RESULT, is_ok, payload)


def _write_ok_text(results: int, text: bytes) -> None:
    _write_text(results, 1, text)


def _write_ok_nothing(results: int, _nothing: None) -> None:
    _write_result(results, 1, 0)


def _write_ok_bool(results: int, value: bool) -> None:
    _write_result(results, 1, _new_value(byref(_Value(_BOOL, 1 if value else 0))))


def _write_ok_s64(results: int, value: int) -> None:
    if not -(1 << 63) <= value < 1 << 63:
        raise InternalError(f"{value} is no s64")
    _write_result(results, 1, _new_value(byref(_Value(_S64, value & (1 << 64) - 1))))


_WRITERS: Final[dict[Kind | None, Callable[[int, Any], None]]] = {
    None: _write_ok_nothing,
    Kind.TEXT: _write_ok_text,
    Kind.BOOL: _write_ok_bool,
    Kind.S64: _write_ok_s64,
}
