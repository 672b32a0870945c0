"""What this host takes of wasmtime for Python that is not public: its C functions, and the C side of its objects.

Every private name of that package stands here and nowhere else, so that a new version of it is read against one file.
What the C values look like is `marshal`'s to know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import addressof, c_void_p
from typing import Any, Final

from wasmtime import Config, Store, StoreContext, WasmtimeError, _ffi
from wasmtime.component import Func

from holdfast_host.core.failures import required

ffi: Final = _ffi  # wasmtime's functions and structures with their declared types, named as in its C headers

# The library that wasmtime has loaded. The first keeps the interpreter lock during a call, the second gives it up.
_quick: Final = ctypes.PyDLL(_ffi.dll._name)
_long: Final = ctypes.CDLL(_ffi.dll._name)


def quick_function(name: str, result: Any = None) -> Callable[..., Any]:
    """A short C function: to give the interpreter lock up for it would cost more than it takes.

    Its arguments are C values, or bytes for a pointer: none are declared, and a plain int would pass as a C int.
    """
    return _function(_quick, name, result)


def long_function(name: str, result: Any = None) -> Callable[..., Any]:
    """As `quick_function`, but one that may take long: others run meanwhile."""
    return _function(_long, name, result)


def address_of_context(store: Store | StoreContext) -> int:
    """What wasmtime hands to host functions as their context: a store has the same one all its life."""
    address = ctypes.cast(store._context(), c_void_p).value
    return required(address, "the context of a store")


def address_of_function(function: Func) -> int:
    """The C structure of an export, which lives as long as `function`."""
    return addressof(function._func)


def error_at(address: int) -> WasmtimeError:
    """The error, read with its exit status, that a C function returned; it is freed with what is returned."""
    return WasmtimeError._from_ptr(ctypes.cast(address, ctypes.POINTER(_ffi.wasmtime_error_t)))


def set_async_components(config: Config, on: bool) -> None:
    """Whether components may have futures and streams."""
    _ffi.wasmtime_config_wasm_component_model_async_set(config.ptr(), on)


def _function(library: ctypes.CDLL, name: str, result: Any) -> Callable[..., Any]:
    function = library[name]
    function.restype = result
    return function
