"""How the engine is set: what the compiling process and the workers must agree on. Imports no wasmtime.

A compiled component fits only an engine of the same settings, version and processor; the cache's key is made of them.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from holdfast_host.core.limits import KIB, MIB, Limits

WASM_STACK_BYTES: Final = 2 * MIB  # the most that wasmtime takes: a larger one aborts inside Engine()

WASMTIME_PINNED: Final = "50.0.1"  # whose C structures `marshal` fills; also an exact pin of the project

ENGINE_SETTINGS: Final[dict[str, str | int | bool]] = {
    "epoch_interruption": True,
    "component_model_async": False,
    "max_wasm_stack": WASM_STACK_BYTES,
}

RULES_VERSION: Final = 2  # of `validate`: what was let in under older ones is checked again


def wasmtime_version() -> str:
    """The exact version that is installed."""
    return version("wasmtime")


def thread_stack_bytes(limits: Limits) -> int:
    """The stack of a thread that runs guests: every guest of a call's path may fill its own, one inside the other."""
    return (limits.call_depth_max + 1) * (WASM_STACK_BYTES + 128 * KIB) + 4 * MIB
