"""Values across the boundary, at the level of C: exactly the signatures of `signatures`, nothing general.

wasmtime for Python reads a function's type again on every call, in Python; that is two thirds of a short call. Here the
types are known, so C values are read and filled in place. The layout is that of the wasmtime version in
`settings.WASMTIME_PINNED`; with
another one `marshal_public` does the same through the public interface, slower.

Ownership: parameters of a call are borrowed (wasmtime copies them); a call's result is ours to delete; parameters of a
host function are wasmtime's; a host function's result, and an error it returns, are wasmtime's from then on.

Short C functions are called through PyDLL, holding the interpreter lock: giving it up for a microsecond would cost a
wait of a switch interval beside any busy thread. The guest itself runs without the lock.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from ctypes import addressof, byref, c_char_p, c_size_t, c_uint8, c_uint64, c_void_p, string_at
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
_VALUE_WORDS: Final = struct.Struct("<4Q")
_NO_RESULT = (True, b"")

Call = Callable[..., tuple[bool, bytes]]
HostFunctionType: Final = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)


class _Value(ctypes.Structure):
    """wasmtime_component_val_t: a kind, and words that mean size and data, or is_ok and a pointer, or a number."""

    _fields_ = (("kind", c_uint8), ("first", c_uint64), ("second", c_uint64), ("third", c_uint64))


class _Parameter(ctypes.Structure):
    """The same, as a parameter that points into a bytes object, which it keeps alive."""

    _fields_ = (("kind", c_uint8), ("first", c_uint64), ("data", c_char_p), ("third", c_uint64))


assert ctypes.sizeof(_Value) == ctypes.sizeof(_Parameter) == _VALUE_BYTES

_quick = ctypes.PyDLL(_ffi.dll._name)  # noqa: SLF001 - the library that wasmtime has loaded
_long = ctypes.CDLL(_ffi.dll._name)  # noqa: SLF001


def _declare(library: ctypes.CDLL, name: str, result: Any, *parameters: Any) -> Callable[..., Any]:
    function = library[name]
    function.restype, function.argtypes = result, parameters
    return function


_new_bytes = _declare(_quick, "wasm_byte_vec_new", None, c_void_p, c_size_t, c_char_p)
_new_value = _declare(_quick, "wasmtime_component_val_new", c_void_p, c_void_p)
_delete_value = _declare(_quick, "wasmtime_component_val_delete", None, c_void_p)
_new_error = _declare(_quick, "wasmtime_error_new", c_void_p, c_char_p)
_set_deadline = _declare(_quick, "wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64)
_add_function = _declare(
    _quick,
    "wasmtime_component_linker_instance_add_func",
    c_void_p,
    c_void_p,
    c_char_p,
    c_size_t,
    HostFunctionType,
    c_void_p,
    c_void_p,
)
_call = _declare(
    _long, "wasmtime_component_func_call", c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)


def set_deadline(context: int) -> None:
    """The guest's next tick comes when the epoch advances once more."""
    _set_deadline(context, 1)


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
    error = _add_function(instance.ptr(), encoded, len(encoded), function, None, None)
    if error:
        raise _error_at(error)


def host_function(guests: Guests, signature: Signature, handler: Handler, blocking: bool) -> Any:
    """The C callback of one import. It never raises: what fails is the guest's `err`, or a trap that says why."""
    readers = tuple((_READERS[kind], 4 * at) for at, kind in enumerate(signature.parameters))
    codes = tuple((4 * at, _KIND_CODES[kind]) for at, kind in enumerate(signature.parameters))
    parameters_bytes = _VALUE_BYTES * len(readers)
    unpack = struct.Struct(f"<{4 * len(readers)}Q").unpack
    write_ok, fallible = _WRITERS[signature.ok], signature.fallible
    shape = len(readers), 1 if fallible else 0

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
            words = unpack(string_at(values, parameters_bytes)) if count else ()
            for at, code in codes:
                if words[at] & 0xFF != code:
                    return new_trap(b"a host function was linked with another signature")
            try:
                value = handler(turn, *[read(words, at) for read, at in readers])
            except HoldfastError as error:
                if fallible:
                    _write_text(results, 0, error_text(error))
            else:
                if fallible:
                    write_ok(results, value)
            if blocking:
                _set_deadline(context, 1)
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
    address, context = addressof(raw), address_of_context(store)
    count = len(signature.parameters)
    parameters = (_Parameter * count)()
    result = _Value()
    for slot, kind in zip(parameters, signature.parameters, strict=True):
        slot.kind = _KIND_CODES[kind]
    texts = tuple((at, parameters[at]) for at, kind in enumerate(signature.parameters) if kind is Kind.TEXT)
    flags = tuple((at, parameters[at]) for at, kind in enumerate(signature.parameters) if kind is Kind.BOOL)
    assert len(texts) + len(flags) == count, "exports take texts and flags"
    result_reference, result_address = byref(result), addressof(result)

    def call(*values: Any) -> tuple[bool, bytes]:
        for at, slot in texts:
            text: bytes = values[at]
            if not text.isascii():
                text.decode()  # wasmtime takes a text's word for it and would abort the process
            slot.first = len(text)
            slot.data = text
        for at, slot in flags:
            slot.first = values[at]
        error = _call(address, context, parameters, count, result_reference, 1)
        for _, slot in texts:
            slot.data = None
        if error:
            raise _error_at(error)
        answer = _read_result(result)
        _delete_value(result_address)
        result.kind = _BOOL  # the next call drops what stands here
        return answer

    call.__dict__["function"] = function  # keeps the C structure alive
    return call


def _read_result(result: _Value) -> tuple[bool, bytes]:
    assert result.kind == _RESULT
    pointer = result.second
    if not pointer:
        return _NO_RESULT
    kind, size, data, _ = _VALUE_WORDS.unpack(string_at(pointer, _VALUE_BYTES))
    assert kind & 0xFF == _STRING
    return bool(result.first & 0xFF), string_at(data, size)


def _error_at(address: int) -> WasmtimeError:
    typed = ctypes.cast(address, ctypes.POINTER(_ffi.wasmtime_error_t))
    return WasmtimeError._from_ptr(typed)  # noqa: SLF001 - takes ownership, reads an exit status


def _read_text(words: tuple[int, ...], at: int) -> bytes:
    return string_at(words[at + 2], words[at + 1])


def _read_optional_text(words: tuple[int, ...], at: int) -> bytes | None:
    pointer = words[at + 1]
    if not pointer:
        return None
    kind, size, data, _ = _VALUE_WORDS.unpack(string_at(pointer, _VALUE_BYTES))
    if kind & 0xFF != _STRING:
        raise InternalError("an option that is linked as option<string> holds something else")
    return string_at(data, size)


def _read_bool(words: tuple[int, ...], at: int) -> bool:
    return words[at + 1] & 0xFF != 0


def _read_u32(words: tuple[int, ...], at: int) -> int:
    return words[at + 1] & 0xFFFFFFFF


def _read_s64(words: tuple[int, ...], at: int) -> int:
    word = words[at + 1]
    return word - (1 << 64) if word >> 63 else word


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
    payload = _Value()
    payload.kind = _STRING
    _new_bytes(addressof(payload) + 8, len(text), text)
    _write_result(results, is_ok, _new_value(byref(payload)))


def _write_result(results: int, is_ok: int, payload: int) -> None:
    slot = _Value.from_address(results)
    slot.kind = _RESULT
    slot.first = is_ok
    slot.second = payload


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
