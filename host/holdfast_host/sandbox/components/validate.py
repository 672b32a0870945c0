"""Whether a component may run here: its bytes, then every import and export with its signature.

The linker takes any signature for a function of ours, and some crash the process when called; so each one is compared
here. The walk follows the *expected* type and stops at the first difference: a hostile type can unfold to a million
nodes.

What is checked is what is used: `read_component` returns the very bytes that are compiled, and `checked_exports` the
very functions that are called. The compiling process does all of it, once, when a component is deployed; a process that
loads what was compiled asks for its exports in the same way.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref
from pathlib import Path
from typing import Any, Final

from wasmtime import Engine
from wasmtime.component import Component, ExportIndex

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.c_api import ffi
from holdfast_host.sandbox.signatures import (
    CONTRACT_VERSION,
    EXPORTED,
    EXPORTS,
    IMPORTS,
    PACKAGE,
    REQUIRED_EXPORTS,
    Kind,
    Signature,
    interface_name,
    is_offered,
)

_MAGIC: Final = b"\0asm\x0d\x00\x01\x00"  # a component; anything else that wasmtime reads would be a text or a module
_NAME: Final = re.compile(r"([a-z][a-z0-9-]*:[a-z][a-z0-9-]*)/([a-z][a-z0-9-]*)@(\d+)\.(\d+)\.(\d+)")
_SHOWN_CHARS_MAX: Final = 200

# Any 0.2.x of these: what a guest's own language needs, and what a bare WasiConfig answers with nothing.
_WASI: Final = {
    "wasi:cli": {
        "environment",
        "exit",
        "stdin",
        "stdout",
        "stderr",
        "terminal-input",
        "terminal-output",
        "terminal-stdin",
        "terminal-stdout",
        "terminal-stderr",
    },
    "wasi:clocks": {"monotonic-clock", "wall-clock"},
    "wasi:filesystem": {"preopens", "types"},
    "wasi:io": {"error", "poll", "streams"},
    "wasi:random": {"insecure", "insecure-seed", "random"},
    "wasi:sockets": {
        "instance-network",
        "ip-name-lookup",
        "network",
        "tcp",
        "tcp-create-socket",
        "udp",
        "udp-create-socket",
    },
}
# Ours stands in for these two, untyped as all of ours: `(u64) -> own<pollable>` and nothing else.
_CLOCK_WAITS: Final = ("subscribe-duration", "subscribe-instant")

_VALTYPE_BOOL, _VALTYPE_S64, _VALTYPE_U32, _VALTYPE_U64 = 0, 4, 7, 8
_VALTYPE_STRING, _VALTYPE_OPTION, _VALTYPE_RESULT, _VALTYPE_OWN = 12, 18, 19, 21
_VALTYPES: Final = {
    Kind.TEXT: _VALTYPE_STRING,
    Kind.BOOL: _VALTYPE_BOOL,
    Kind.S64: _VALTYPE_S64,
    Kind.U32: _VALTYPE_U32,
    Kind.OPTIONAL_TEXT: _VALTYPE_OPTION,
}
_ITEM_INSTANCE, _ITEM_FUNCTION = 1, 3


def read_component(path: Path, limits: Limits) -> bytes:
    """The file's bytes, where its size and its beginning are a component's; nothing else looks at the file.

    Raises:
        InvalidComponentError: too large, or not a binary component.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limits.component_bytes_max:
            raise InvalidComponentError(f"the component has {size} bytes, the limit is {limits.component_bytes_max}")
        content = file.read(size)
    if content[: len(_MAGIC)] != _MAGIC:
        kind = "a core module, not a component" if content[:4] == _MAGIC[:4] else "no WebAssembly component"
        begins = f"it begins with {content[: len(_MAGIC)].hex(' ')}" if content else "it is empty"
        raise InvalidComponentError(f"the file is {kind}: {begins}")
    return content


def check_component(component: Component, engine: Engine) -> None:
    """Every import and export, by name, compatible version and signature.

    Raises:
        InvalidComponentError: names the first that does not fit.
    """
    for name, imported in component.type.imports(engine).items():
        with _item_of(imported) as item:
            _check_import(name, item, engine)
    checked_exports(component, engine)


def checked_exports(component: Component, engine: Engine) -> dict[str, ExportIndex]:
    """The functions of `wit/` that the component exports, by name, each with the signature that it is called with.

    Raises:
        InvalidComponentError: they do not fit, or there are two versions of them, of which only one could be meant.
    """
    exports = component.type.exports(engine)
    found = [name for name in exports if _interface_of(name) == EXPORTED]
    if not found:
        for name in exports:
            _check_version(name)
        raise InvalidComponentError(f"the component does not export {interface_name(EXPORTED)!r}")
    if len(found) > 1:
        raise InvalidComponentError(
            f"the component exports {' and '.join(_shown(name) for name in found[:2])}, either of which this host "
            "could call: export one of them"
        )
    with _item_of(exports[found[0]]) as item:
        functions = _functions_of(item, engine, found[0])
    missing = [name for name in REQUIRED_EXPORTS if name not in functions]
    if missing:
        raise InvalidComponentError(f"the component's {found[0]!r} lacks {', '.join(missing)}")
    interface = component.get_export_index(found[0])
    indexes: dict[str, ExportIndex] = {}
    for name in EXPORTS.keys() & functions.keys():
        _check_function(f"the export {name!r} of {found[0]!r}", functions[name], EXPORTS[name])
        index = component.get_export_index(name, interface) if interface is not None else None
        if index is None:
            raise InvalidComponentError(f"the export {name!r} of {found[0]!r} is named but not there")
        indexes[name] = index
    return indexes


def _check_import(name: str, item: Any, engine: Engine) -> None:
    _check_version(name)
    ours = _interface_of(name)
    if ours in IMPORTS:
        for function, extern in _functions_of(item, engine, name).items():
            if function not in IMPORTS[ours]:
                raise InvalidComponentError(
                    f"the component imports {_shown(function)} of {_shown(name)}, which this host does not offer: "
                    f"it has contract {CONTRACT_VERSION}"
                )
            _check_function(f"the import {function!r} of {name!r}", extern, IMPORTS[ours][function])
        return
    match = _NAME.fullmatch(name)
    if match is None or match[2] not in _WASI.get(match[1], ()) or (match[3], match[4]) != ("0", "2"):
        raise InvalidComponentError(f"the component imports {_shown(name)}, which this host does not offer")
    if (match[1], match[2]) == ("wasi:clocks", "monotonic-clock"):
        for function, extern in _functions_of(item, engine, name).items():
            if function in _CLOCK_WAITS:
                _check_clock_wait(f"the import {function!r} of {name!r}", extern)


def _interface_of(name: str) -> str | None:
    """`storage` for holdfast:actor/storage in any version that runs here, else None."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] != PACKAGE or not is_offered(int(match[3]), int(match[4])):
        return None
    return match[2]


def _check_version(name: str) -> None:
    """Refuse an interface of ours in a version that does not run here, with both versions."""
    match = _NAME.fullmatch(name)
    if match is not None and match[1] == PACKAGE and not is_offered(int(match[3]), int(match[4])):
        raise InvalidComponentError(
            f"the component was built against {PACKAGE} {match[3]}.{match[4]}.{match[5]}, as its {_shown(name)} says; "
            f"this host has {CONTRACT_VERSION}: build it against that, or deploy it to a newer host"
        )


def _functions_of(item: Any, engine: Engine, name: str) -> dict[str, Any]:
    """The members of an instance type."""
    if item.kind != _ITEM_INSTANCE:
        raise InvalidComponentError(f"{_shown(name)} of the component is not an interface")
    pointer, engine_pointer = item.of.component_instance, engine.ptr()
    members: dict[str, Any] = {}
    for at in range(ffi.wasmtime_component_instance_type_export_count(pointer, engine_pointer)):
        name_pointer, name_bytes = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t()
        extern = ctypes.POINTER(ffi.wasmtime_component_extern_t)()
        ffi.wasmtime_component_instance_type_export_nth(
            pointer, engine_pointer, at, byref(name_pointer), byref(name_bytes), byref(extern)
        )
        members[ctypes.string_at(name_pointer, name_bytes.value).decode()] = _Extern(extern)
    return members


class _Extern:
    """A member of an instance type, which it frees at its end."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    def ptr(self) -> Any:
        return self._pointer

    def __del__(self) -> None:
        ffi.wasmtime_component_extern_delete(self._pointer)


@contextmanager
def _item_of(extern: Any) -> Iterator[Any]:
    """What an import or export is; its type unfolds only as far as it is looked at."""
    item = ffi.wasmtime_component_item_t()
    ffi.wasmtime_component_extern_type(extern.ptr(), byref(item))
    try:
        yield item
    finally:
        ffi.wasmtime_component_item_delete(byref(item))


def _check_function(what: str, extern: Any, signature: Signature) -> None:
    with _item_of(extern) as item:
        if item.kind != _ITEM_FUNCTION or not _fits(item.of.component_func, signature):
            raise InvalidComponentError(f"{what} has another signature than {signature}")


def _fits(function: Any, signature: Signature) -> bool:
    if ffi.wasmtime_component_func_type_async(function):
        return False
    if ffi.wasmtime_component_func_type_param_count(function) != len(signature.parameters):
        return False
    for at, kind in enumerate(signature.parameters):
        with _parameter_of(function, at) as valtype:
            if not _is(valtype, kind):
                return False
    with _result_of(function) as valtype:
        if valtype is None or not signature.fallible:
            return valtype is None and not signature.fallible
        if valtype.kind != _VALTYPE_RESULT:
            return False
        result = valtype.of.result
        with _payload(ffi.wasmtime_component_result_type_ok, result) as ok:
            if (ok is None) != (signature.ok is None) or (signature.ok and not _is(ok, signature.ok)):
                return False
        with _payload(ffi.wasmtime_component_result_type_err, result) as err:
            return err is not None and _is(err, Kind.TEXT)


def _check_clock_wait(what: str, extern: Any) -> None:
    with _item_of(extern) as item:
        function = item.of.component_func
        fits = item.kind == _ITEM_FUNCTION and ffi.wasmtime_component_func_type_param_count(function) == 1
        if fits:
            with _parameter_of(function, 0) as parameter, _result_of(function) as result:
                fits = parameter.kind == _VALTYPE_U64 and result is not None and result.kind == _VALTYPE_OWN
        if not fits:
            raise InvalidComponentError(f"{what} has another signature than func(u64) -> own<pollable>")


def _is(valtype: Any, kind: Kind) -> bool:
    if valtype.kind != _VALTYPES[kind]:
        return False
    if kind is not Kind.OPTIONAL_TEXT:
        return True
    with _payload(ffi.wasmtime_component_option_type_ty, valtype.of.option) as inner:
        return _is(inner, Kind.TEXT)


@contextmanager
def _parameter_of(function: Any, at: int) -> Iterator[Any]:
    name_pointer, name_bytes = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t()
    valtype = ffi.wasmtime_component_valtype_t()
    ffi.wasmtime_component_func_type_param_nth(function, at, byref(name_pointer), byref(name_bytes), byref(valtype))
    try:
        yield valtype
    finally:
        ffi.wasmtime_component_valtype_delete(byref(valtype))


@contextmanager
def _result_of(function: Any) -> Iterator[Any]:
    with _payload(ffi.wasmtime_component_func_type_result, function) as valtype:
        yield valtype


@contextmanager
def _payload(getter: Any, of: Any) -> Iterator[Any]:
    """A type inside a type; None where there is none. (An option's getter returns nothing: it is always there.)."""
    valtype = ffi.wasmtime_component_valtype_t()
    if getter(of, byref(valtype)) is False:
        yield None
        return
    try:
        yield valtype
    finally:
        ffi.wasmtime_component_valtype_delete(byref(valtype))


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARS_MAX else name[:_SHOWN_CHARS_MAX] + "...")
