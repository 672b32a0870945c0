"""Values across the boundary, at the level of C: exactly the signatures of `signatures`, nothing general.

wasmtime for Python reads a function's type again on every call, in Python; that is two thirds of a short call. Here the
types are known, so C values are read and filled in place. The layout is that of the one wasmtime version in
`settings.WASMTIME_PINNED`. What this way does is what the public interface does, as the tests show.

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
from collections.abc import Callable, Sequence
from ctypes import addressof, byref, c_char, c_size_t, c_uint8, c_uint64, c_void_p
from functools import partial
from typing import Any, Final

from wasmtime import Store, WasmtimeError
from wasmtime.component import Func, LinkerInstance

from holdfast_host.core.errors import HoldfastError, InternalError
from holdfast_host.sandbox.c_api import address_of_context, address_of_function, error_at, long_function, quick_function
from holdfast_host.sandbox.gathered_calls import error_text
from holdfast_host.sandbox.guest import Guest, Guests
from holdfast_host.sandbox.imports import Handler
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
_TEXT_FORMAT: Final = "B7x2Q8x"  # the kind, size and data
_ONE_TEXT: Final = struct.Struct("<" + _TEXT_FORMAT)
_TWO_TEXTS: Final = struct.Struct("<" + _TEXT_FORMAT * 2)
_THREE_TEXTS: Final = struct.Struct("<" + _TEXT_FORMAT * 3)
_TEXT_WORDS: Final = struct.Struct("<2Q")  # size and data, behind the kind
_METHOD_VALUES: Final = struct.Struct("<" + _TEXT_FORMAT * 2 + "B7xB23x" * 2)
_ONE_FLAG: Final = struct.Struct("<B7xB")
_RESULT_WORDS: Final = struct.Struct("<B7xB7xQ")  # the kind, is_ok, and the payload's address
_KEPT_BYTES_MAX: Final = 4_096  # a result up to here is freed by the next call, which does so anyway

# All of this process's memory, to read and write what wasmtime points to: as careful as the addresses are.
_MEMORY: Final = memoryview((c_char * ((1 << 63) - 1)).from_address(0)).cast("B")
_BYTES_HEADER: Final = bytes.__basicsize__ - 1  # of a bytes object, before its data

Outcome = tuple[bool, bytes]  # what an export returned: True and its result, or False and the guest's error as JSON
Call = Callable[..., Outcome]
HostFunctionType: Final = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)


class _Value(ctypes.Structure):
    """wasmtime_component_val_t: a kind, and words that mean size and data, or is_ok and a pointer, or a number."""

    _fields_ = (("kind", c_uint8), ("first", c_uint64), ("second", c_uint64), ("third", c_uint64))


_TWO_VALUES: Final = _Value * 2
_probe = b"where a bytes object's data lies"
if ctypes.sizeof(_Value) != _VALUE_BYTES or _MEMORY[id(_probe) + _BYTES_HEADER :][: len(_probe)] != _probe:
    raise InternalError("the layout of wasmtime's values, or of Python's bytes, is not what this host was written for")

_new_value = quick_function("wasmtime_component_val_new", c_void_p)
_copy_value = quick_function("wasmtime_component_val_clone")
_delete_value = quick_function("wasmtime_component_val_delete")
_new_error = quick_function("wasmtime_error_new", c_void_p)
_set_deadline = quick_function("wasmtime_context_set_epoch_deadline")
_add_function = quick_function("wasmtime_component_linker_instance_add_func", c_void_p)
_call = long_function("wasmtime_component_func_call", c_void_p)

_ONE_ADVANCE: Final = c_uint64(1)
_ONE: Final = c_size_t(1)


class TextAnswer:
    """A `result` that holds a text, ours, for wasmtime to copy: its value, and behind it the payload's.

    One for each store, whose thread alone fills it.
    """

    __slots__ = ("reference", "words")

    def __init__(self) -> None:
        values = _TWO_VALUES(_Value(_RESULT, 1), _Value(_STRING))
        values[0].second = addressof(values[1])
        self.reference = byref(values)
        self.words = memoryview(values).cast("B")


class _Returned(_Value):
    """Where a call's result is written, and what stands there dropped; freed with what stands there then."""

    def __del__(self, delete: Callable[..., Any] = _delete_value) -> None:
        """Not before the last call is over."""
        if self.kind != _BOOL:
            delete(byref(self))


def deadline(context: int) -> Callable[[], None]:
    """A function that has the guest's next tick come when the epoch advances once more."""
    return partial(_set_deadline, c_void_p(context), _ONE_ADVANCE)


def new_trap(message: bytes) -> int:
    """An error for a host function to return; wasmtime owns it then."""
    pointer: int = _new_error(message)
    return pointer


def define(instance: LinkerInstance, name: str, signature: Signature, function: Any) -> None:
    """Link a host function that `host_function` made; the caller keeps it alive as long as the linker."""
    encoded = name.encode()
    error = _add_function(instance.ptr(), encoded, c_size_t(len(encoded)), function, None, None)
    if error:
        raise error_at(error)


def host_function(guests: Guests, signature: Signature, handler: Handler, blocking: bool) -> Any:
    """The C callback of one import. It never raises: what fails is the guest's `err`, or a trap that says why."""
    count_expected, results_expected = len(signature.parameters), 1 if signature.fallible else 0
    read, write_ok, fallible = _reader(signature.parameters), _WRITERS[signature.ok], signature.fallible

    def serve(_data: int, context: int, _type: int, values: int, count: int, results: int, results_count: int) -> int:
        guest = None
        try:
            guest = guests[context]
            turn = guest.turn
            if turn is None:
                return new_trap(b"a guest called its host outside of a turn")
            if not turn.host_call():
                guest.ended = True
                return new_trap(b"the turn was ended")
            arguments = read(values) if count == count_expected and results_count == results_expected else None
            if arguments is None:
                return new_trap(b"a host function was linked with another signature")
            try:
                value = handler(turn, *arguments)
            except HoldfastError as error:
                if fallible:
                    _write_error(guest, results, error_text(error))
            else:
                if fallible:
                    write_ok(guest, results, value)
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
        WasmtimeError: the guest trapped, or answered with another type.
        UnicodeDecodeError: a text is not UTF-8; nothing was called.
    """
    address, context = c_void_p(address_of_function(function)), c_void_p(address_of_context(store))
    parameters = (_Value * len(signature.parameters))()
    fill, parameters_count = _filler(signature.parameters, parameters), c_size_t(len(parameters))
    result = _Returned()
    result_reference, answered = byref(result), memoryview(result).cast("B")
    read, read_payload = _RESULT_WORDS.unpack_from, _ONE_TEXT.unpack_from

    def call(*values: Any) -> Outcome:
        fill(*values)
        error = _call(address, context, parameters, parameters_count, result_reference, _ONE)
        if error:
            raise error_at(error)
        kind, is_ok, payload = read(answered)
        if kind != _RESULT:  # its other words are no addresses
            raise WasmtimeError(f"its export answered with another type than {signature}")
        if not payload:
            return is_ok != 0, b""
        kind, size, data = read_payload(_MEMORY, payload)
        if kind != _STRING:
            raise WasmtimeError(f"its export answered with another type than {signature}")
        text = _MEMORY[data : data + size].tobytes()
        if size > _KEPT_BYTES_MAX:
            _delete_value(result_reference)
            answered[0] = _BOOL
        return is_ok != 0, text

    call.__dict__["function"] = function  # keeps the C structure alive
    return call


def _filler(kinds: tuple[Kind, ...], parameters: Any) -> Callable[..., None]:
    """What puts a call's values into its parameters, which borrow them; `call` has one of its own."""
    filled = memoryview(parameters).cast("B")
    if kinds == (Kind.TEXT, Kind.TEXT, Kind.BOOL, Kind.BOOL):
        pack_all = _METHOD_VALUES.pack_into

        def fill_all(first: bytes, second: bytes, third: bool, fourth: bool) -> None:
            pack_all(
                filled, 0, _STRING, len(first), _data_of(first), _STRING, len(second), _data_of(second), _BOOL, third,
                _BOOL, fourth,
            )  # fmt: skip

        return fill_all
    if kinds == (Kind.BOOL,):
        return partial(_ONE_FLAG.pack_into, filled, 0, _BOOL)
    if not set(kinds) <= {Kind.TEXT}:
        raise InternalError("an export takes texts, and two flags after two of them, or one flag")
    pack = _ONE_TEXT.pack_into

    def fill(*texts: bytes) -> None:
        for at, text in enumerate(texts):
            pack(filled, at * _VALUE_BYTES, _STRING, len(text), _data_of(text))

    return fill


def _data_of(text: bytes) -> int:
    """Where its bytes lie; refuses what is no text, for wasmtime would take its word for it and abort the process."""
    if type(text) is not bytes:
        raise TypeError(f"a text for a guest comes as bytes, not {type(text).__name__}")
    if not text.isascii():
        text.decode()
    return id(text) + _BYTES_HEADER


def _read_text(words: tuple[int, ...], at: int) -> bytes:
    data = words[at + 2]
    return _MEMORY[data : data + words[at + 1]].tobytes()


def _read_optional_text(words: tuple[int, ...], at: int) -> bytes | None:
    pointer = words[at + 1]
    if not pointer:
        return None
    kind, size, data = _ONE_TEXT.unpack_from(_MEMORY, pointer)
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


def _read_one_text(values: int) -> tuple[bytes] | None:
    kind, size, data = _ONE_TEXT.unpack_from(_MEMORY, values)
    return (_MEMORY[data : data + size].tobytes(),) if kind == _STRING else None


def _read_two_texts(values: int) -> tuple[bytes, bytes] | None:
    kind, size, data, next_kind, next_size, next_data = _TWO_TEXTS.unpack_from(_MEMORY, values)
    if kind != _STRING or next_kind != _STRING:
        return None
    return _MEMORY[data : data + size].tobytes(), _MEMORY[next_data : next_data + next_size].tobytes()


def _read_three_texts(values: int) -> tuple[bytes, bytes, bytes] | None:
    kind, size, data, kind_2, size_2, data_2, kind_3, size_3, data_3 = _THREE_TEXTS.unpack_from(_MEMORY, values)
    if kind != _STRING or kind_2 != _STRING or kind_3 != _STRING:
        return None
    memory = _MEMORY
    return (
        memory[data : data + size].tobytes(),
        memory[data_2 : data_2 + size_2].tobytes(),
        memory[data_3 : data_3 + size_3].tobytes(),
    )


def _reader(kinds: tuple[Kind, ...]) -> Callable[[int], Sequence[Any] | None]:
    """What takes a host function's arguments out of its parameters; None where they are of other kinds.

    `get`, `put` and a socket's `send` are called often enough for one of their own.
    """
    if kinds == (Kind.TEXT,):
        return _read_one_text
    if kinds == (Kind.TEXT, Kind.TEXT):
        return _read_two_texts
    if kinds == (Kind.TEXT, Kind.TEXT, Kind.TEXT):
        return _read_three_texts
    codes = tuple(_KIND_CODES[kind] for kind in kinds)
    unpack = struct.Struct("<" + _VALUE_FORMAT * len(kinds)).unpack_from
    readers = tuple((_READERS[kind], 4 * at) for at, kind in enumerate(kinds))

    def read(values: int) -> Sequence[Any] | None:
        words = unpack(_MEMORY, values) if codes else ()
        return [read(words, at) for read, at in readers] if words[::4] == codes else None

    return read


_READERS: Final[dict[Kind, Callable[[tuple[int, ...], int], Any]]] = {
    Kind.TEXT: _read_text,
    Kind.OPTIONAL_TEXT: _read_optional_text,
    Kind.BOOL: _read_bool,
    Kind.U32: _read_u32,
    Kind.S64: _read_s64,
}


def _write_text(guest: Guest, results: int, text: bytes) -> None:
    """A `result` that is ok and whose payload is a text."""
    answer = guest.answer
    _TEXT_WORDS.pack_into(answer.words, _VALUE_BYTES + _KIND_BYTES, len(text), _data_of(text))
    _copy_value(answer.reference, c_void_p(results))


def _write_error(guest: Guest, results: int, text: bytes) -> None:
    _write_text(guest, results, text)
    _MEMORY[results + _KIND_BYTES] = 0  # is_ok


def _write_nothing(_guest: Guest, results: int, _nothing: None) -> None:
    _RESULT_WORDS.pack_into(_MEMORY, results, _RESULT, 1, 0)


def _write_bool(_guest: Guest, results: int, value: bool) -> None:
    payload = _new_value(byref(_Value(_BOOL, 1 if value else 0)))
    _RESULT_WORDS.pack_into(_MEMORY, results, _RESULT, 1, payload)


def _write_s64(_guest: Guest, results: int, value: int) -> None:
    if not -(1 << 63) <= value < 1 << 63:
        raise InternalError(f"{value} is no s64")
    payload = _new_value(byref(_Value(_S64, value & (1 << 64) - 1)))
    _RESULT_WORDS.pack_into(_MEMORY, results, _RESULT, 1, payload)


_WRITERS: Final[dict[Kind | None, Callable[[Guest, int, Any], None]]] = {
    None: _write_nothing,
    Kind.TEXT: _write_text,
    Kind.BOOL: _write_bool,
    Kind.S64: _write_s64,
}
