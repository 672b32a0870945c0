"""What keeps the rules and is hardly meant: a binding that misses its class, a method that nobody can call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from functools import cached_property, partial
from types import ModuleType
from typing import Final

from holdfast._describe import Component, RuleError, place_of
from holdfast._methods import public_names

_ALIKE: Final = 0.8  # "Acount" and "Account" have 0.92, "Cart" and "Card" 0.75
_KINDS: Final[dict[type, str]] = {
    staticmethod: "a static method",
    classmethod: "a class method",
    cached_property: "a cached property",
    partial: "a functools.partial, which binds no self",
}


def check_bindings(module: ModuleType, component: Component, bound: Iterable[tuple[str, str]]) -> None:
    """Look at the types of the bindings that the module does not ship: most are references, some are slips.

    Args:
        module: The main module.
        component: What it exports.
        bound: Binding and type of each.

    Raises:
        RuleError: A type is a class of the module that is no actor, or nearly the name of one that is not bound.
    """
    pairs = list(bound)
    unbound = component.actors.keys() - {actor_type for _, actor_type in pairs}
    for binding, actor_type in pairs:
        if actor_type in component.actors:
            continue
        found = vars(module).get(actor_type)
        if isinstance(found, type) and found.__module__ == module.__name__ and _could_be_an_actor(found):
            text = f"the class {actor_type}, which the binding {binding} names, is no actor: write class {actor_type}"
            raise RuleError(f"{text}(StatefulActor)", *place_of(found))
        near = difflib.get_close_matches(actor_type, sorted(unbound), 1, _ALIKE)
        if near:
            raise RuleError(
                f"the binding {binding} leads to {actor_type}, which is no actor class here: did you mean {near[0]}? "
                f"(If it is another function's, bind {near[0]} too)",
                *place_of(component.actors[near[0]]),
            )


def doubts(component: Component) -> list[str]:
    """A sentence, with its place, for each public attribute that its author could take for a method of callers."""
    found = []
    for name, actor in component.actors.items():
        for each in sorted(public_names(actor)):
            value = inspect.getattr_static(actor, each)
            kind = next((text for kind, text in _KINDS.items() if isinstance(value, kind)), None)
            if kind is not None:
                own = value if isinstance(value, partial) else None
                file, line = place_of(actor if own else getattr(value, "__func__", None) or value.func)
                mend = "write a method around it" if own else "make it a method with self"
                found.append(
                    f"{file}:{line}: {name}.{each} is {kind}: callers cannot call it; {mend}, or name it _{each}"
                )
    return found


def _could_be_an_actor(found: type) -> bool:
    """Whether it is an ordinary class: no enum, dataclass, exception or tuple, which may share a reference's name."""
    return (
        type(found) is type
        and not hasattr(found, "__dataclass_fields__")
        and not issubclass(found, (tuple, BaseException))
    )
