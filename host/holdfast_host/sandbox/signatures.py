"""The functions of `wit/` as data: what the host links, calls, and checks a component against.

The WIT files are the contract; a test holds this table against them. Imports no wasmtime.

This is the place where the next minor version begins on the host's side: its number, its functions, the handlers that
a new export runs (it is optional: a component whose description lists none of its handlers need not have it), and the
names that no method may have from then on. What a new import does is in `imports`. `guest_sdk/holdfast/_contract.py` is
the same place of the SDK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

PACKAGE: Final = "holdfast:actor"
CONTRACT_VERSION: Final = "1.1.0"
EXPORTED: Final = "instance"


class Kind(Enum):
    """The types that a signature is made of, and what stands for them in Python."""

    TEXT = "string"  # bytes of valid UTF-8
    BOOL = "bool"
    S64 = "s64"  # int
    U32 = "u32"  # int
    OPTIONAL_TEXT = "option<string>"  # bytes or None


@dataclass(frozen=True, slots=True)
class Signature:
    """One function: `result<ok, string>` where it is fallible, else no result at all."""

    parameters: tuple[Kind, ...] = ()
    ok: Kind | None = None
    fallible: bool = True

    def __str__(self) -> str:
        """As WIT writes it, without the parameters' names."""
        parameters = ", ".join(kind.value for kind in self.parameters)
        if not self.fallible:
            return f"func({parameters})"
        return f"func({parameters}) -> result<{self.ok.value if self.ok else '_'}, string>"


_T, _B, _O = Kind.TEXT, Kind.BOOL, Kind.OPTIONAL_TEXT

IMPORTS: Final[dict[str, dict[str, Signature]]] = {
    "storage": {
        "get": Signature((_T,), _T),
        "get-many": Signature((_T,), _T),
        "put": Signature((_T, _T)),
        "delete": Signature((_T,), _B),
        "list": Signature((_T, _O, _O, _O, _B, Kind.U32), _T),
        "delete-all": Signature(),
        "open-savepoint": Signature((), Kind.S64),
        "release-savepoint": Signature((Kind.S64,)),
        "rollback-savepoint": Signature((Kind.S64,)),
        "savepoint": Signature(),
        "release": Signature(),
        "rollback": Signature(),
        "sync": Signature(),
    },
    "alarms": {
        "set": Signature((Kind.S64,)),
        "get": Signature((), Kind.S64),
        "delete": Signature(),
    },
    "calls": {
        "call": Signature((_T, _T, _T, _T), _T),
        "call-once": Signature((_T, _T, _T, _T, _T), _T),
        "call-many": Signature((_T,), _T),
        "key": Signature((), _T),
        "fetch": Signature((_T, _T, _T), _T),
    },
    "http": {
        "request": Signature((_T,), _T),
        "open": Signature((_T,), _T),
        "read": Signature((_T, Kind.U32), _T),
    },
    "jobs": {
        "put": Signature((_T,), _T),
        "list": Signature((_T, Kind.U32), _T),
        "cancel": Signature((_T,), _B),
    },
    "sockets": {
        "accept": Signature((_T, _T)),
        "list": Signature((_O, _T, Kind.U32), _T),
        "count": Signature((_O,), Kind.S64),
        "send": Signature((_T, _T, _T)),
        "attach": Signature((_T, _T)),
        "close": Signature((_T, Kind.U32, _T)),
        "auto-response": Signature((_T, _T)),
    },
    "log": {
        "write": Signature((_T, _T), fallible=False),
    },
}

EXPORTS: Final[dict[str, Signature]] = {
    "describe": Signature((), _T),
    "activate": Signature((_T, _T, _T)),
    "call": Signature((_T, _T, _B, _B), _T),
    "alarm": Signature((_T,)),
    "fetch": Signature((_T,), _T),
    "job": Signature((_T,)),
    "scheduled": Signature((_T,)),
    "body": Signature((_B,), _T),
    "socket": Signature((_T, _T)),
}
REQUIRED_EXPORTS: Final = ("describe", "activate", "call")

# What a description lists of an actor type, and of the function: each with the export that runs it.
HANDLERS: Final = {
    "alarm": "alarm",
    "fetch": "fetch",
    "socket_message": "socket",
    "socket_close": "socket",
    "socket_error": "socket",
}
FUNCTION_HANDLERS: Final = {"fetch": "fetch", "scheduled": "scheduled"}

# No methods for callers, who could otherwise forge events.
HANDLER_NAMES: Final = frozenset(HANDLERS)

# What no method may be called, by the minor version that took the name: components of an earlier one keep theirs.
_TAKEN: Final = {
    0: frozenset({"alarm", "fetch", "id", "name"}),  # what the runtime calls; a stub's own
    1: frozenset({"socket_message", "socket_close", "socket_error", "once", "start", "then", "toJSON", "constructor"}),
}

_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.[0-9]{1,9}")


def minor_of(version: str) -> int | None:
    """The minor number of a version of the contract that runs here, else None; see "Versions" in `wit/`."""
    match = _VERSION.fullmatch(version)
    return int(match[2]) if match is not None and is_offered(int(match[1]), int(match[2])) else None


def taken_names(minor: int) -> frozenset[str]:
    """What no method of a component of that minor version may be called."""
    return frozenset().union(*(names for since, names in _TAKEN.items() if since <= minor))


def is_offered(major: int, minor: int) -> bool:
    """Whether a component that was built against this version of the contract runs here; see "Versions" in `wit/`."""
    own_major, own_minor, _ = map(int, CONTRACT_VERSION.split("."))
    return major == own_major and minor <= own_minor


def interface_name(interface: str) -> str:
    """`storage` as a component spells it: `holdfast:actor/storage@1.1.0`."""
    return f"{PACKAGE}/{interface}@{CONTRACT_VERSION}"
