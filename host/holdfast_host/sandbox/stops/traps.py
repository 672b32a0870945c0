"""Why a guest stopped, read from what wasmtime says.

The C interface gives an error's text and an exit status, no trap code; so kinds are read from the text after its last
"Caused by", which is wasmtime's own, never from the backtrace, which carries names of the guest's choice.
"""

from __future__ import annotations

import re
from typing import Final

from wasmtime import ExitTrap, WasmtimeError

from holdfast_host.sandbox.guest import Guest

BACKTRACE_CHARS_MAX: Final = 16_384  # one log entry; a deep recursion's backtrace is longer

_PAGES_AT_START: Final = re.compile(r"memory minimum size of (\d+) pages")
_PAGES_OF_A_MIB: Final = 16

_KINDS: Final = (
    ("call stack exhausted", "stack", "the stack is exhausted: it recursed too deep"),
    ("exceeds memory limits", "memory", "its memory is larger than the limit"),
    ("exceeds table limits", "memory", "its tables are larger than the limit"),
    ("resource limit exceeded", "memory", "it exceeds the sandbox's limit of instances, tables or memories"),
    ("out of bounds memory access", "memory", "it accessed memory out of bounds"),
    ("allocation too large", "memory", "it asked for too large an allocation"),
    ("realloc return", "memory", "a value of the host did not fit into its memory"),
    ("unreachable", "unreachable", "it aborted (a panic, or an exception that left the SDK)"),
)


class SandboxTrap(Exception):  # noqa: N818 - a trap is the word for it
    """The sandbox stopped the guest; its store is poisoned and may only be closed.

    kind: "stack", "memory", "unreachable", "exit" (WASI's proc_exit), "ended" (the turn said so), "sleep" (would have
    blocked in native code), "fault" (a host function failed: our bug, `__cause__` is it), "broken" (anything else).
    `message` is one sentence for the caller, `backtrace` wasmtime's text for the log, whose names are the guest's.
    """

    def __init__(self, kind: str, message: str, backtrace: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.backtrace = backtrace


def read_trap(error: WasmtimeError, guest: Guest) -> SandboxTrap:
    """The trap that a failed call or instantiation was."""
    text = str(error)[:BACKTRACE_CHARS_MAX]
    if isinstance(error, ExitTrap):
        return SandboxTrap("exit", f"the guest exited with status {error.code}", text)
    if guest.fault is not None:
        trap = SandboxTrap("fault", "a host function failed", text)
        trap.__cause__ = guest.fault
        return trap
    if guest.ended:
        return SandboxTrap("ended", "the turn was ended", text)
    if guest.slept:
        return SandboxTrap("sleep", "the guest tried to sleep: a turn does not wait, use an alarm", text)
    cause = str(error).rpartition("Caused by:")[2]
    for fragment, kind, sentence in _KINDS:
        if fragment in cause:
            if pages := _PAGES_AT_START.search(cause):
                mib = -(-int(pages[1]) // _PAGES_OF_A_MIB)
                sentence += (
                    f": it starts with {mib} MiB; the limit is memory_mib of the function's manifest, "
                    "and at most the host's memory_bytes_max"
                )
            return SandboxTrap(kind, f"the guest was stopped: {sentence}", text)
    reason = " ".join(cause.split())[:300]
    return SandboxTrap("broken", f"the guest broke its contract: {reason}", text)
