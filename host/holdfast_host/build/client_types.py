"""Typed classes for `holdfast.client`, as Python text: one for threads and one for an event loop for each actor type.

Made from what `GET /v1/actors` says, as stub classes of bindings are; nothing of its text runs.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Final

from holdfast_host.build.bindings import IMPORTABLE, BoundType, import_lines, method_stubs

_TOP: Final = '''"""Typed classes of actors, for `holdfast.client`: `client.actor(Account, "alice").deposit(5)`.

Written by `holdfast types --client`, which replaces it. Those that begin with Async are for an `AsyncClient`.
"""

# ruff: noqa

from __future__ import annotations

'''
_UNKNOWN: Final = (
    "        def __getattr__(self, method: str) -> object:  # type: ignore[override]",
    '            """Any other name is no method of it."""',
)


def render_clients(types: Sequence[BoundType]) -> str:
    """The module's text; of types that have the same name the last one counts."""
    uses: set[str] = set()
    by_name = {each.type: each for each in types}
    taken = {*dir(builtins), *IMPORTABLE, "TYPE_CHECKING", "RemoteActor", "AsyncRemoteActor"}
    classes = []
    for prefix in ("", "Async"):
        for name in sorted(by_name):
            of_class = prefix + name
            while of_class in taken:  # a type may be called as what it uses, or as another one's class
                of_class += "_"
            taken.add(of_class)
            classes.append(_class(by_name[name], uses, prefix, of_class))
    head = "\n".join([*import_lines(uses), "", "from holdfast.client import AsyncRemoteActor, RemoteActor"])
    return f"{_TOP}{head}\n\n\n" + "\n\n\n".join(classes) + "\n"


def _class(actor: BoundType, uses: set[str], prefix: str, name: str) -> str:
    """At runtime the client makes the methods; a type checker sees them with their signatures."""
    stubs = method_stubs(actor, uses, "async def" if prefix else "def")
    lines = [
        f"class {name}({prefix}RemoteActor):",
        f'    """One instance of {actor.type}."""',
        "",
        "    __slots__ = ()",
        f'    TYPE = "{actor.type}"',
        "",
        "    if TYPE_CHECKING:",
        *(f"\n{_deeper(each)}" for each in stubs),
        "",
        *_UNKNOWN,
    ]
    return "\n".join(lines)


def _deeper(stub: str) -> str:
    return "\n".join(f"    {line}" for line in stub.split("\n"))
