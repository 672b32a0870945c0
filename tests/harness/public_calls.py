"""What `sandbox.marshal` does, through wasmtime's public interface: three times slower, and what it is held against."""

from __future__ import annotations

from typing import Any

from wasmtime import Store, StoreContext, WasmtimeError
from wasmtime.component import Func, LinkerInstance, Variant

from holdfast_host.core.errors import HoldfastError
from holdfast_host.sandbox.c_api import address_of_context
from holdfast_host.sandbox.gathered_calls import error_text
from holdfast_host.sandbox.guest import Guests
from holdfast_host.sandbox.imports import Handler
from holdfast_host.sandbox.marshal import Call, deadline
from holdfast_host.sandbox.signatures import Kind, Signature


def define(instance: LinkerInstance, name: str, _signature: Signature, function: Any) -> None:
    """Link a host function that `host_function` made."""
    instance.add_func(name, function)


def host_function(guests: Guests, signature: Signature, handler: Handler, blocking: bool) -> Any:
    """The Python callback of one import; it raises WasmtimeError only."""

    def serve(store: StoreContext, *values: Any) -> Any:
        guest = None
        try:
            context = address_of_context(store)
            guest = guests[context]
            turn = guest.turn
            if turn is None:
                raise WasmtimeError("a guest called its host outside of a turn")  # noqa: TRY301 - as the next one
            if not turn.host_call():
                guest.ended = True
                raise WasmtimeError("the turn was ended")  # noqa: TRY301 - as every trap on purpose
            encoded = [value.encode() if isinstance(value, str) else value for value in values]
            try:
                answer = _lower_ok(signature, handler(turn, *encoded))
            except HoldfastError as error:
                answer = _lower_error(signature, error_text(error))
            if blocking:
                deadline(context)()
            return answer
        except WasmtimeError:
            raise
        except BaseException as fault:
            if guest is not None:
                guest.fault = fault
            raise WasmtimeError("a host function failed") from None

    return serve


def bind(store: Store, function: Func, signature: Signature) -> Call:
    """The export as a Python function, as `marshal.bind`."""

    def call(*values: Any) -> tuple[bool, bytes]:
        decoded = [value.decode() if isinstance(value, bytes) else value for value in values]
        try:
            answer = function(store, *decoded)
            if signature.ok is None:
                return (True, b"") if answer is None else (False, answer.encode())
            return answer.tag == "ok", answer.payload.encode()
        except (AttributeError, TypeError, ValueError):  # from taking a value apart that is of another type
            raise WasmtimeError(f"its export answered with another type than {signature}") from None

    return call


def _lower_ok(signature: Signature, value: Any) -> Any:
    if signature.ok is Kind.TEXT:
        return Variant("ok", value.decode())
    return value if signature.ok else None


def _lower_error(signature: Signature, text: bytes) -> Any:
    if not signature.fallible:
        return None
    return Variant("err", text.decode()) if signature.ok is Kind.TEXT else text.decode()
