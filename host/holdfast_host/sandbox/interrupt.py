"""How a guest that computes, or would wait, is interrupted.

Every store has wasmtime's epoch callback: when the epoch has advanced past the store's deadline, it runs on the guest's
own thread, asks the turn, and goes on for one more advance or ends the turn. It may block meanwhile: that is how
computing turns share slots.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_size_t, c_uint64, c_void_p
from typing import Any, Final

from wasmtime import Store, StoreContext, WasmtimeError

from holdfast_host.sandbox.c_api import address_of_context, quick_function
from holdfast_host.sandbox.guest import Guests
from holdfast_host.sandbox.marshal import new_trap

_TickFunction: Final = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_void_p)
_install = quick_function("wasmtime_store_epoch_deadline_callback")


def make_tick(guests: Guests) -> Any:
    """The callback for all stores of an engine, which must outlive them. It never raises."""

    def tick(context: int, _data: int, advances: int, _kind: int) -> int:
        guest = None
        try:
            guest = guests[context]
            turn = guest.turn
            if turn is not None and not turn.tick():
                guest.ended = True
                return new_trap(b"the turn was ended")
            c_uint64.from_address(advances).value = 1
            return 0
        except BaseException as fault:  # one that escaped would be read as a pointer
            if guest is not None:
                guest.fault = fault
            return new_trap(b"a host function failed")

    return _TickFunction(tick)


def install_tick(store: Store, tick: Any) -> None:
    """Give a store its epoch callback; its deadline is armed elsewhere, before each entry."""
    _install(store.ptr(), tick, None, None)


def make_wait_trap(guests: Guests) -> Callable[..., Any]:
    """What stands in for WASI's waits on a clock: ends the guest, whose SDK should have refused before."""

    def refuse(store: StoreContext, *_: Any) -> Any:
        guest = guests.get(address_of_context(store))
        if guest is not None:
            guest.slept = True
        raise WasmtimeError("waiting for a clock is not available to a guest")

    return refuse
