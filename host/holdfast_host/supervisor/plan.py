"""What a deploy would record, or why it may not: the rules of ownership, references and identity.

Nothing here waits, writes or talks to a process: a plan is made from the registry as it is and can be tested alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from holdfast_host.core.errors import (
    BreakingChangeError,
    DeployConflictError,
    FunctionReferencedError,
    InvalidComponentError,
    InvalidManifestError,
    InvalidNameError,
    TypeOwnedError,
    UnresolvedBindingError,
)
from holdfast_host.core.ids import check_type_name
from holdfast_host.core.limits import Limits
from holdfast_host.core.manifest import Manifest
from holdfast_host.supervisor.registry import FunctionRecord, Registry
from holdfast_host.wire.catalog import ActorType, Binding, Deployment, Method


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller allows beside the usual."""

    allow_breaking: bool = False  # drop a type that another function refers to
    adopt: bool = False  # take over a type that is reserved to a function that does not ship it any more


def identify(registry: Registry, function: str, func_id: str | None) -> tuple[FunctionRecord | None, str]:
    """Which function a deploy is for: its record, None for a new one, and its id, minted for a new one.

    A manifest without an id means the function of that name, deployed or undeployed.

    Raises:
        DeployConflictError: the name or the id belongs to another function.
    """
    named = registry.named(function)
    if func_id is None:
        return (named, named.func_id) if named else (None, f"fn_{secrets.token_hex(12)}")
    if named and named.current is not None and named.func_id != func_id:
        raise DeployConflictError(
            f"the name {function!r} is taken by the function {named.func_id}, the manifest says {func_id}: "
            "choose another name, or delete that function first"
        )
    known = registry.by_id(func_id)
    if known and known.current is not None and known.name != function:
        raise DeployConflictError(
            f"the function {func_id} is deployed as {known.name!r}: delete that first, "
            "or remove func_id from the manifest"
        )
    return known, func_id


def plan_deployment(
    registry: Registry,
    manifest: Manifest,
    func_id: str,
    sha256: str,
    compiled: str,
    description: dict[str, Any],
    shipped: Mapping[str, ActorType],
    consent: Consent,
) -> Deployment:
    """The version that this deploy would record.

    Args:
        registry: what there is.
        manifest: what is asked for.
        func_id: from `identify`.
        sha256: of the component.
        compiled: the path of what was compiled from it.
        description: what the component says of itself.
        shipped: its classes, from `shipped_types`.
        consent: what the caller allows.

    Raises:
        InvalidComponentError, InvalidManifestError: component and manifest do not fit each other.
        TypeOwnedError, UnresolvedBindingError, BreakingChangeError: it does not fit what else is deployed.
    """
    _refuse_renames(registry, manifest, func_id)
    bindings = tuple(Binding(each.binding, each.type, each.type in shipped) for each in manifest.actors)
    owned = list(dict.fromkeys(each.type for each in bindings if each.owner))
    fetch = bool(description.get("fetch"))
    if not owned and not fetch:
        raise _nothing_to_run(manifest.name, shipped)
    known = registry.by_id(func_id)
    deployment = Deployment(
        function=manifest.name,
        func_id=func_id,
        version=known.last_version + 1 if known else 1,
        sha256=sha256,
        compiled=compiled,
        types=tuple(
            replace(shipped[name], type_id=type_id)
            for name, type_id in number_types(registry, func_id, owned, adopt=consent.adopt)
        ),
        bindings=bindings,
        variables=dict(manifest.vars),
        fetch=fetch,
        memory_bytes_max=manifest.memory_bytes_max,
        method_timeout_s=manifest.method_timeout_s,
    )
    check_against_others(registry, deployment, consent)
    return deployment


def check_against_others(registry: Registry, deployment: Deployment, consent: Consent) -> None:
    """Whether a version fits the functions that are deployed now.

    Raises:
        UnresolvedBindingError: it refers to a type that no deployed function ships.
        BreakingChangeError: it no longer ships a type that another function refers to.
    """
    others = [each for each in registry.current() if each.func_id != deployment.func_id]
    elsewhere = {entry.type for each in others for entry in each.types}
    for binding in deployment.bindings:
        if not binding.owner and binding.type not in elsewhere:
            raise UnresolvedBindingError(
                f"the binding {binding.binding} refers to the actor type {binding.type!r}, which this component does "
                "not ship and no deployed function owns: deploy its owner first, or ship the class"
            )
    kept = {entry.type for entry in deployment.types} | elsewhere
    for other in others:
        gone = [each.type for each in other.bindings if not each.owner and each.type not in kept]
        if gone and not consent.allow_breaking:
            raise BreakingChangeError(
                f"{deployment.function!r} would no longer ship the actor type {gone[0]!r}, to which the function "
                f"{other.function!r} refers: mend that one first, or allow breaking changes"
            )


def check_removable(registry: Registry, function: FunctionRecord) -> None:
    """Whether a function may be undeployed.

    Raises:
        FunctionReferencedError: another function refers to a type that it owns.
    """
    deployments = registry.current()
    owned = {entry.type for each in deployments if each.func_id == function.func_id for entry in each.types}
    for other in deployments:
        if other.func_id == function.func_id:
            continue
        for binding in other.bindings:
            if binding.type in owned:
                raise FunctionReferencedError(
                    f"the function {other.function!r} refers to the actor type {binding.type!r} of {function.name!r} "
                    f"as {binding.binding}: delete or mend that one first"
                )


def shipped_types(description: dict[str, Any], limits: Limits) -> dict[str, ActorType]:
    """The actor types that a component says it ships, still without numbers.

    Raises:
        InvalidComponentError: the description breaks a rule.
    """
    found: dict[str, ActorType] = {}
    for entry in description.get("actors", ()):
        name = str(entry["type"])
        try:
            check_type_name(name)
        except InvalidNameError as error:
            raise InvalidComponentError(
                f"the component ships an actor class that cannot be deployed: {error}"
            ) from error
        if name in found:
            raise InvalidComponentError(f"the component ships the actor class {name!r} twice")
        methods = tuple(Method(each["name"], each["signature"], each.get("doc") or "") for each in entry["methods"])
        if len(methods) > limits.methods_max:
            raise InvalidComponentError(f"{name} has {len(methods)} methods, the limit is {limits.methods_max}")
        found[name] = ActorType(name, 0, methods, entry.get("doc") or "", tuple(entry.get("private") or ()))
    if len(found) > limits.actor_types_max:
        raise InvalidComponentError(
            f"the component ships {len(found)} actor classes, the limit is {limits.actor_types_max}"
        )
    return found


def _nothing_to_run(function: str, shipped: Iterable[str]) -> InvalidComponentError | InvalidManifestError:
    """A function without a type and without a fetch handler, told by what would help."""
    unbound = ", ".join(sorted(shipped))
    if unbound:
        return InvalidManifestError(
            f"the component ships {unbound}, but the manifest of {function!r} binds none: add [[actors]]"
        )
    return InvalidComponentError(f"the component of {function!r} ships neither an actor class nor a fetch handler")


def number_types(registry: Registry, func_id: str, owned: list[str], *, adopt: bool) -> list[tuple[str, int]]:
    """The number of each type that this function would own: its old one, or the next free.

    Raises:
        TypeOwnedError: the type belongs, or is reserved, to another function.
    """
    fresh = registry.next_type_id()
    numbered: list[tuple[str, int]] = []
    for name in owned:
        record = registry.type_named(name)
        if record is None:
            numbered.append((name, fresh))
            fresh += 1
            continue
        if record.func_id != func_id:
            _check_adoptable(registry, name, record.func_id, adopt=adopt)
        numbered.append((name, record.type_id))
    return numbered


def _check_adoptable(registry: Registry, actor_type: str, owner_id: str, *, adopt: bool) -> None:
    """A type of another function: never while that one ships it; reserved, only on request."""
    owner = registry.by_id(owner_id)
    assert owner is not None
    ships = any(
        entry.type == actor_type for each in registry.current() if each.func_id == owner_id for entry in each.types
    )
    if ships:
        raise TypeOwnedError(f"the actor type {actor_type!r} is owned by the function {owner.name!r} ({owner_id})")
    if not adopt:
        raise TypeOwnedError(
            f"the actor type {actor_type!r} is reserved to the function {owner.name!r} ({owner_id}), with its storage: "
            "deploy with that func_id, or take it over with adopt"
        )


def _refuse_renames(registry: Registry, manifest: Manifest, func_id: str) -> None:
    """A rename that would have to move instances is refused: without it they would seem to be gone."""
    for each in manifest.actors:
        old = registry.type_named(each.renamed_from) if each.renamed_from else None
        if old is not None and old.func_id == func_id and registry.type_named(each.type) is None:
            raise InvalidManifestError(
                f"{each.type} says renamed_from = {each.renamed_from!r}: this host cannot rename a type that has been "
                "deployed yet; keep the class name"
            )


def check_owned(registry: Registry, deployment: Deployment) -> None:
    """Whether a version that was recorded earlier still owns its types.

    Raises:
        TypeOwnedError: one of them was taken over by another function.
    """
    number_types(registry, deployment.func_id, [entry.type for entry in deployment.types], adopt=False)
