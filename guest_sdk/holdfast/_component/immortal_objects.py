"""Naming the objects that a component is born with, so that its build can make them immortal.

Using a Python object writes to it: its reference count goes up and down, and the page it lies on becomes a private copy
of the sandbox that did so. The count of an immortal object (PEP 683) is never written. No Python code can make one; but
whoever has the component's memory in a file can, given the addresses. Where a count lies, and what it must say to be
immortal, depends on the Python: so the file also says which one this is, and of one object, a sentinel, how many
references it has.
"""

from __future__ import annotations

import gc
import json
import struct
import sys
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, Final

# What is named must still be at its address when the memory is written out: nothing in here ever dies.
_KEPT: Final[list[Any]] = []

# What the search itself needed is free when it ends, but its bytes would be in the component: so many were measured for
# each object, and pieces of this size find their way into what is left of them.
_SEARCH_BYTES_PER_OBJECT: Final = 48
_PIECE_BYTES: Final = 1 << 16

_ADDRESS_BYTES: Final = 4
_SENTINEL: Final = [object()] * 1_013  # nothing else refers to this object


def name_objects(tell: Callable[[bytes], object], known: Callable[[Any], bool] | None = None) -> None:
    """Tell the address of every object that can be reached now, four bytes little-endian each, and keep them alive.

    But those that are `known`, and what can be reached through them alone. Before them stands a line of JSON:
    `implementation`, `version`, `pointer_bytes`, `sentinel` with its `address` and its number of `references`. Where
    pointers have another size than addresses here, nothing follows it.
    """
    pointer_bytes = struct.calcsize("P")
    facts = {
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:2]),
        "pointer_bytes": pointer_bytes,
        "sentinel": {"address": id(_SENTINEL[0]), "references": len(_SENTINEL)},
    }
    addresses = _addresses(known) if pointer_bytes == _ADDRESS_BYTES else b""
    tell(json.dumps(facts).encode() + b"\n" + addresses)
    pieces = len(addresses) // _ADDRESS_BYTES * _SEARCH_BYTES_PER_OBJECT // _PIECE_BYTES
    _ = [bytearray(_PIECE_BYTES) for _ in range(pieces)]  # zeros, which take no room in a component


def _addresses(known: Callable[[Any], bool] | None) -> bytes:
    found: dict[int, Any] = {}
    waiting: list[Any] = [*gc.get_objects(), sys.modules]
    while waiting:
        each = waiting.pop()
        if id(each) not in found and (known is None or not known(each)):
            found[id(each)] = each
            waiting.extend(_referents(each))
    each = None
    # The addresses themselves are found too, and stay: activations would find room between what they leave, and write
    # to twice as many pages.
    for own in (found, waiting, _SENTINEL[0]):
        found.pop(id(own), None)
    _KEPT.extend(found.values())
    return struct.pack(f"<{len(found)}I", *found)


def _referents(each: Any) -> Iterable[Any]:
    if not isinstance(each, CodeType):
        return gc.get_referents(each)
    # The collector does not look into these, and what stands last they make a new tuple for, each time.
    tables = (each.co_consts, each.co_names, each.co_linetable, each.co_exceptiontable)
    texts = (each.co_filename, each.co_name, each.co_qualname)
    return (*tables, *texts, *each.co_varnames, *each.co_cellvars, *each.co_freevars)
