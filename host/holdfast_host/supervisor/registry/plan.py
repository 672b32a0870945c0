"""What a deploy would record, or why it may not: the rules of identity, ownership and references.

Nothing here waits, writes or talks to a process: a plan is made from the registry as it is and can be tested alone.
What a type's number follows from is in type_numbers.py, what a version would break in breaking.py.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from holdfast_host.core.errors import (
    DeployConflictError,
    FunctionReferencedError,
    InvalidComponentError,
    InvalidManifestError,
    InvalidNameError,
    OutboundNotGrantedError,
    UnresolvedBindingError,
)
from holdfast_host.core.ids import check_type_name
from holdfast_host.core.limits import Limits
from holdfast_host.core.manifest import Manifest
from holdfast_host.core.outbound import Pattern
from holdfast_host.core.tenants import name_of
from holdfast_host.supervisor.registry.breaking_changes import breaking_changes, broken_references, refusal
from holdfast_host.supervisor.registry.records import FunctionRecord, type_of_crons
from holdfast_host.supervisor.registry.tenant_registry import TenantRegistry
from holdfast_host.supervisor.registry.type_numbers import check_owned, find_renames, number_types
from holdfast_host.wire.control.catalog import ActorType, Binding, Deployment, Method, Outbound


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller allows beside the usual."""

    allow_breaking: bool = False  # drop methods, handlers, and types that have instances or references
    adopt: bool = False  # take over a type that is reserved to a function that does not ship it any more


def identify(registry: TenantRegistry, function: str, func_id: str | None) -> tuple[FunctionRecord | None, str]:
    """Which function a deploy is for: its record, None for a new one, and its id's key, minted for a new one.

    A manifest without an id means the function of that name, deployed or undeployed. Two tenants may have functions of
    one id: their keys are two.

    Raises:
        DeployConflictError: the name or the id belongs to another function.
    """
    named = registry.named(function)
    if func_id is None:
        return (named, named.func_id) if named else (None, registry.key(f"fn_{secrets.token_hex(12)}"))
    key = registry.key(func_id)
    if named and named.current is not None and named.func_id != key:
        raise DeployConflictError(
            f"the name {function!r} is taken by the function {name_of(named.func_id)}, the manifest says {func_id}: "
            "choose another name, or delete that function first"
        )
    known = registry.by_id(key)
    if known and known.current is not None and known.name != function:
        raise DeployConflictError(
            f"the function {func_id} is deployed as {known.name!r}: delete that first, "
            "or remove func_id from the manifest"
        )
    return known, key


@dataclass(frozen=True, slots=True)
class Proposal:
    """A component that would become a function's next version, and what its author says about it.

    Attributes:
        manifest: What is asked for.
        func_id: From `identify`.
        sha256: Of the component.
        compiled: The path of what was compiled from it.
        description: What the component says of itself.
        shipped: Its classes, from `shipped_types`.
        sources: What a development component is to run instead of what it was built from.
    """

    manifest: Manifest
    func_id: str
    sha256: str
    compiled: str
    description: dict[str, Any]
    shipped: Mapping[str, ActorType]
    sources: str = ""

    @property
    def owned(self) -> list[str]:
        """The types that it would own: those that it ships and binds."""
        return list(dict.fromkeys(each.type for each in self.manifest.actors if each.type in self.shipped))


def types_at_stake(registry: TenantRegistry, proposal: Proposal) -> set[int]:
    """The numbers of those types of which the plan must know whether they have instances."""
    known = registry.by_id(proposal.func_id)
    owned = proposal.owned
    running = _running(registry, known)
    names = {each.type for each in running.types} - set(owned) if running else set()
    names |= {each.type for each in proposal.manifest.actors if each.renamed_from and each.type in owned}
    found = (registry.type_named(name) for name in names)
    return {each.type_id for each in found if each is not None}


def types_losing(handler: str, registry: TenantRegistry, proposal: Proposal) -> set[int]:
    """The numbers of those types that would lose that handler: the plan must know whether anything relies on it."""
    running = _running(registry, registry.by_id(proposal.func_id))
    had = {each.type: each for each in running.types if each.may_handle(handler)} if running else {}
    former = {each.type: each.renamed_from for each in proposal.manifest.actors if each.renamed_from}
    deaf = [name for name in proposal.owned if not proposal.shipped[name].may_handle(handler)]
    return {had[name].type_id for each in deaf for name in (each, former.get(each)) if name in had}


def plan_deployment(
    registry: TenantRegistry,
    proposal: Proposal,
    consent: Consent,
    occupied: Set[int],
    armed: Set[int] = frozenset(),
    connected: Set[int] = frozenset(),
) -> Deployment:
    """The version that this deploy would record.

    Args:
        registry: what there is.
        proposal: what is to run.
        consent: what the caller allows.
        occupied: those of `types_at_stake` that have instances.
        armed: those that would lose their alarm handler, and of which alarms wait for their time.
        connected: those that would lose their socket_message, and of which WebSockets are open.

    Raises:
        InvalidComponentError, InvalidManifestError: component and manifest do not fit each other.
        TypeOwnedError, UnresolvedBindingError, BreakingChangeError: it does not fit what else is deployed.
    """
    manifest, shipped, owned = proposal.manifest, proposal.shipped, proposal.owned
    handlers = tuple(proposal.description.get("handlers", ()))
    if manifest.crons and "scheduled" not in handlers:
        raise InvalidManifestError(
            f"[triggers] crons of {manifest.name!r} run scheduled(event, env), which its component does not have"
        )
    if not owned and not handlers:
        raise _nothing_to_run(manifest.name, shipped)
    known = registry.by_id(proposal.func_id)
    renames = find_renames(registry, manifest, proposal.func_id, owned, occupied)
    triggers = _triggers(registry, proposal)
    numbered = number_types(registry, proposal.func_id, [*owned, *triggers], renames, adopt=consent.adopt)
    deployment = Deployment(
        function=registry.key(manifest.name),
        func_id=proposal.func_id,
        version=known.last_version + 1 if known else 1,
        sha256=proposal.sha256,
        compiled=proposal.compiled,
        types=tuple(replace({**shipped, **triggers}[name], type_id=type_id) for name, type_id in numbered),
        bindings=_bindings(manifest, shipped),
        variables=dict(manifest.vars),
        secrets=manifest.secrets,
        handlers=handlers,
        outbound=Outbound(
            manifest.outbound_allow, {origin: dict(each) for origin, each in manifest.outbound_headers.items()}
        ),
        origins=manifest.origins,
        cors=manifest.cors,
        language=proposal.description.get("language", ""),
        memory_bytes_max=manifest.memory_bytes_max,
        method_timeout_s=manifest.method_timeout_s,
        check_arguments=manifest.check_arguments,
        sources=proposal.sources,
    )
    others = _others(registry, deployment)
    _check_resolved(deployment, others)
    running = _running(registry, known)
    if running is not None and not consent.allow_breaking:
        found = breaking_changes(running, deployment, others, occupied, armed, connected)
        if found:
            raise refusal(manifest.name, found, "Deploy with --allow-breaking (?allow_breaking=true) if that is meant.")
    return deployment


def _triggers(registry: TenantRegistry, proposal: Proposal) -> dict[str, ActorType]:
    """The hidden type whose one instance keeps the function's crons; once it is there it stays, to take them away."""
    hidden = type_of_crons(proposal.manifest.name, proposal.func_id, proposal.manifest.crons)
    if not hidden.crons and registry.type_named(hidden.type) is None:
        return {}
    return {hidden.type: hidden}


def _bindings(manifest: Manifest, shipped: Mapping[str, ActorType]) -> tuple[Binding, ...]:
    for each in manifest.actors:
        if each.optional and each.type in shipped:
            raise InvalidManifestError(
                f"the binding {each.binding} is optional, but the component ships {each.type} itself: only a reference "
                "is optional"
            )
    return tuple(
        Binding(each.binding, each.type, each.type in shipped, optional=each.optional) for each in manifest.actors
    )


def check_rollback(registry: TenantRegistry, deployment: Deployment) -> None:
    """Whether a version that was recorded earlier fits what is deployed now.

    What its successors added goes, by intent; its instances stay on disk for them.

    Raises:
        TypeOwnedError: another function owns one of its types now.
        UnresolvedBindingError: it refers to a type that no deployed function ships any more.
        BreakingChangeError: another function refers to a type that it does not ship.
    """
    check_owned(registry, deployment)
    others = _others(registry, deployment)
    _check_resolved(deployment, others)
    running = _running(registry, registry.by_id(deployment.func_id))
    found = broken_references(running, deployment, others) if running else []
    if found:
        raise refusal(name_of(deployment.function), found, "Mend or delete that function first.")


@dataclass(frozen=True, slots=True)
class Reliance:
    """The numbers of types that another version would take something from: what relies on it has to be asked."""

    gone: set[int]  # which it does not ship
    deaf: set[int]  # which would lose their alarm handler
    mute: set[int]  # which would lose their socket_message


def reliance_on(before: Deployment, after: Deployment) -> Reliance:
    """What has to be asked before one recorded version takes the place of another."""
    left = {each.type_id: each for each in after.types}

    def losing(handler: str) -> set[int]:
        kept = (each for each in before.types if each.may_handle(handler) and each.type_id in left)
        return {each.type_id for each in kept if not left[each.type_id].may_handle(handler)}

    return Reliance({each.type_id for each in before.types} - left.keys(), losing("alarm"), losing("socket_message"))


def rollback_breaks(
    registry: TenantRegistry, after: Deployment, occupied: Set[int], armed: Set[int], connected: Set[int]
) -> list[str]:
    """What a recorded version would break that runs again, one clause each; see `breaking_changes`."""
    running = _running(registry, registry.by_id(after.func_id))
    if running is None:
        return []
    return breaking_changes(running, after, _others(registry, after), occupied, armed, connected)


def check_granted(deployment: Deployment, granted: Iterable[str]) -> None:
    """Whether the operator lets a function ask what its manifest lists.

    Args:
        deployment: the version that is to run.
        granted: the patterns of `--outbound`.

    Raises:
        OutboundNotGrantedError: it lists more.
    """
    patterns = [Pattern.parse(each) for each in granted]
    for text in deployment.outbound.allow:
        if not any(pattern.covers(Pattern.parse(text)) for pattern in patterns):
            raise OutboundNotGrantedError(
                f"[outbound] allow of {name_of(deployment.function)!r} lists {text!r}, this host grants "
                f"{', '.join(granted) or 'nothing'}: take it out, or start the host with all of: "
                f"{' '.join(f'--outbound {shlex.quote(each)}' for each in (*granted, text))}"
            )


def _others(registry: TenantRegistry, deployment: Deployment) -> list[Deployment]:
    return [each for each in registry.current() if each.func_id != deployment.func_id]


def _running(registry: TenantRegistry, known: FunctionRecord | None) -> Deployment | None:
    """The version that runs now; None for a function that is new or undeployed."""
    current = None if known is None or known.current is None else registry.version(known.func_id, known.current)
    return current.deployment if current else None


def _check_resolved(deployment: Deployment, others: Sequence[Deployment]) -> None:
    """Every reference leads to a type that a deployed function ships, unless it is optional."""
    elsewhere = {entry.type for each in others for entry in each.types}
    for binding in deployment.bindings:
        if not binding.owner and not binding.optional and binding.type not in elsewhere:
            raise UnresolvedBindingError(
                f"the binding {binding.binding} refers to the actor type {binding.type!r}, which this component does "
                "not ship and no deployed function owns: deploy its owner first, ship the class, or say "
                "optional = true in its [[actors]] where the owner comes later"
            )


def check_removable(registry: TenantRegistry, function: FunctionRecord) -> None:
    """Whether a function may be undeployed.

    Raises:
        FunctionReferencedError: another function refers to a type that it owns, and not as optional.
    """
    deployments = registry.current()
    owned = {entry.type for each in deployments if each.func_id == function.func_id for entry in each.types}
    for other in deployments:
        if other.func_id == function.func_id:
            continue
        for binding in other.bindings:
            if binding.type in owned and not binding.optional:
                raise FunctionReferencedError(
                    f"the function {name_of(other.function)!r} refers to the actor type {binding.type!r} of "
                    f"{function.name!r} as {binding.binding}: delete or mend that one first"
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
        methods = tuple(
            Method(each["name"], each["signature"], each.get("doc") or "", each.get("parameters"))
            for each in entry["methods"]
        )
        if len(methods) > limits.methods_max:
            raise InvalidComponentError(f"{name} has {len(methods)} methods, the limit is {limits.methods_max}")
        handlers = entry.get("handlers")
        found[name] = ActorType(
            name,
            0,
            methods,
            entry.get("doc") or "",
            tuple(entry.get("private") or ()),
            None if handlers is None else tuple(handlers),
        )
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
