"""Which version of `wit/` this SDK is built against: the place where the next minor version begins on the guest's side.

A component built with it exports every function of `instance`, for componentize-py exports an interface whole; a new
one is a method of `Guest` and a name in EXPORTS, and the handlers that it runs stand in HANDLERS or FUNCTION_HANDLERS:
the host calls none that a description does not list. A new interface of imports is a Protocol in `_host_imports`, and a
field of HostImports that the test kit fills too.
"""

from __future__ import annotations

from typing import Final

CONTRACT_VERSION: Final = "1.1.0"
EXPORTS: Final = ("describe", "activate", "call", "alarm", "fetch", "body", "job", "scheduled", "socket")

# What the runtime calls of an actor class, and of a module, where it is defined; each with what it is called with.
HANDLERS: Final = {
    "alarm": "(self, info)",
    "fetch": "(self, request)",
    "socket_message": "(self, ws, message)",
    "socket_close": "(self, ws, code, reason, was_clean)",
    "socket_error": "(self, ws, error)",
}
FUNCTION_HANDLERS: Final = {"fetch": "(request, env)", "scheduled": "(event, env)"}

# No methods for callers, who could otherwise forge events.
HANDLER_NAMES: Final = frozenset(HANDLERS)

# What no method may be called, each with what it would hide.
TAKEN: Final = {
    "ctx": "self.ctx, the instance's context",
    "env": "self.env, its bindings and variables",
    "id": "the id of a stub",
    "name": "the name of a stub",
    "once": "once of a stub, which gives a call a key",
    "start": "start of a stub, which begins a call and does not wait",
    "then": "what JavaScript takes for a promise",
    "toJSON": "what JavaScript calls to write an object as JSON",
    "constructor": "the constructor of a JavaScript object",
}
