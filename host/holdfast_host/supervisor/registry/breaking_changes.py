"""What a new version would break for those who rely on the running one.

Callers rely on methods and on the function's fetch, instances on their type, alarms and open sockets on their handler,
other functions on the types that they refer to and on their fetch. Nothing here waits or writes; whether a type has
instances, alarms and open sockets is asked before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from holdfast_host.core.errors import BreakingChangeError
from holdfast_host.core.tenants import name_of
from holdfast_host.wire.control.catalog import ActorType, Deployment


def breaking_changes(
    before: Deployment,
    after: Deployment,
    others: Sequence[Deployment],
    occupied: Set[int],
    armed: Set[int] = frozenset(),
    connected: Set[int] = frozenset(),
) -> list[str]:
    """One clause for each method or handler that is gone and relied on, and each type with instances or references.

    A renamed method is one that is gone. A renamed type is the same one where its number is; but references go by its
    name.

    Args:
        before: the version that runs now.
        after: the one that would replace it.
        others: the other functions' versions.
        occupied: the numbers of types that have instances.
        armed: the numbers of types of which alarms wait for their time.
        connected: the numbers of types of which WebSockets are open.
    """
    left = {each.type_id: each for each in after.types}
    found: list[str] = []
    for old in before.types:
        new = left.get(old.type_id)
        if new is None and old.type_id in occupied:
            found.append(
                f"the actor type {old.type}, which has instances, is gone"
                f' (a renamed class says renamed_from = "{old.type}" in its [[actors]])'
            )
        if new is not None:
            found.extend(f"the method {new.type}.{name} is gone" for name in _methods_gone(old, new))
            found.extend(_handlers_gone(old, new, others, armed))
            if old.may_handle("socket_message") and not new.may_handle("socket_message") and old.type_id in connected:
                found.append(f"the handler {new.type}.socket_message, of which WebSockets are open, is gone")
    if before.fetch and not after.fetch:
        found.append("the function's fetch handler is gone")
    return found + broken_references(before, after, others)


def broken_references(before: Deployment, after: Deployment, others: Iterable[Deployment]) -> list[str]:
    """One clause for each binding of another function that would lead to a type nobody owns any more.

    An optional one may.
    """
    gone = {each.type for each in before.types} - {each.type for each in after.types}
    return [
        f"the actor type {binding.type}, to which the function {name_of(other.function)!r} refers as "
        f"{binding.binding}, is gone"
        for other in others
        for binding in other.bindings
        if not binding.owner and not binding.optional and binding.type in gone
    ]


def refusal(function: str, found: Sequence[str], what_to_do: str) -> BreakingChangeError:
    """The error that lists what would break."""
    return BreakingChangeError(f"{function!r} would break what relies on it: {'; '.join(found)}. {what_to_do}")


def _handlers_gone(old: ActorType, new: ActorType, others: Sequence[Deployment], armed: Set[int]) -> Iterable[str]:
    """A handler of which the running version does not say whether it is there counts where alarms wait for it."""
    if old.may_handle("alarm") and not new.may_handle("alarm") and old.type_id in armed:
        yield f"the alarm handler of {new.type}, of which instances have an alarm set, is gone"
    if old.handlers is not None and "fetch" in old.handlers and not new.may_handle("fetch"):
        for other in others:
            for binding in other.bindings:
                if not binding.owner and not binding.optional and binding.type == new.type:
                    yield (
                        f"the fetch handler of {new.type}, to which the function {name_of(other.function)!r} refers as"
                        f" {binding.binding}, is gone"
                    )


def _methods_gone(old: ActorType, new: ActorType) -> list[str]:
    kept = {each.name for each in new.methods}
    return [each.name for each in old.methods if each.name not in kept]
