"""The numbers that stand for actor types on disk: whose they are, and how a renamed class keeps its own.

An instance lies under its type's number, never under its name, so that renaming a class is one row. Nothing here waits
or writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from holdfast_host.core.errors import InvalidManifestError, TypeOwnedError
from holdfast_host.core.failures import required
from holdfast_host.core.manifest import Manifest
from holdfast_host.core.tenants import name_of
from holdfast_host.supervisor.registry.records import TypeRecord
from holdfast_host.supervisor.registry.tenant_registry import TenantRegistry
from holdfast_host.wire.control.catalog import Deployment


def number_types(
    registry: TenantRegistry,
    func_id: str,
    owned: Sequence[str],
    renames: Mapping[str, TypeRecord],
    *,
    adopt: bool,
) -> list[tuple[str, int]]:
    """The number of each type that this function would own: its old one, that of its old name, or the next free.

    Raises:
        TypeOwnedError: the type belongs, or is reserved, to another function.
    """
    fresh = registry.next_type_id()
    numbered: list[tuple[str, int]] = []
    for name in owned:
        record = renames.get(name) or registry.type_named(name)
        if record is None:
            numbered.append((name, fresh))
            fresh += 1
            continue
        if record.func_id != func_id:
            _check_adoptable(registry, record, adopt=adopt)
        numbered.append((name, record.type_id))
    return numbered


def find_renames(
    registry: TenantRegistry, manifest: Manifest, func_id: str, owned: Sequence[str], occupied: Set[int]
) -> dict[str, TypeRecord]:
    """For each new name of a class that was renamed, the row of its old one.

    A `renamed_from` that was carried out, or that this host never knew, means nothing any more.

    Args:
        registry: what there is.
        manifest: what says `renamed_from`.
        func_id: whose manifest it is.
        owned: the types that the new version would own.
        occupied: the numbers of types that have instances.

    Raises:
        InvalidManifestError: old and new class are both there, or both have instances.
    """
    renames: dict[str, TypeRecord] = {}
    for each in manifest.actors:
        old = registry.type_named(each.renamed_from) if each.renamed_from else None
        if old is None or each.type not in owned:
            continue
        if old.type in owned:
            raise InvalidManifestError(
                f"{each.type} says renamed_from = {old.type!r}, but {old.type} is bound too: "
                f"remove its [[actors]], or the renamed_from"
            )
        known = registry.type_named(each.type)
        if known is not None and old.func_id != func_id:
            continue  # a name that this function has left behind, and another one uses now
        if known is not None and known.type_id in occupied:
            raise InvalidManifestError(
                f"{each.type} says renamed_from = {old.type!r}, but {each.type} has instances of its own already: "
                f"those of {old.type} cannot come along; delete the ones or remove renamed_from"
            )
        if any(taken.type_id == old.type_id for name, taken in renames.items() if name != each.type):
            raise InvalidManifestError(f"two types say renamed_from = {old.type!r}: its instances go with one of them")
        renames[each.type] = old
    return renames


def check_owned(registry: TenantRegistry, deployment: Deployment) -> None:
    """Whether a version that was recorded earlier may have its types back, under the names that they had then.

    Raises:
        TypeOwnedError: one of them was taken over by another function, or its name was.
    """
    for each in deployment.types:
        record = registry.type_numbered(each.type_id)
        named = registry.type_named(each.type)
        if record is not None and record.func_id != deployment.func_id:
            raise _owned_by(registry, record)
        if named is not None and named.type_id != each.type_id:
            raise TypeOwnedError(
                f"in version {deployment.version} the actor type {each.type!r} was another one than today's: "
                "its instances have been left behind"
            )


def _check_adoptable(registry: TenantRegistry, record: TypeRecord, *, adopt: bool) -> None:
    """A type of another function: never while that one ships it; reserved, only on request."""
    ships = any(
        entry.type_id == record.type_id
        for each in registry.current()
        if each.func_id == record.func_id
        for entry in each.types
    )
    if ships:
        raise _owned_by(registry, record)
    if not adopt:
        owner = required(registry.by_id(record.func_id), f"the owner of {record.type!r}")
        raise TypeOwnedError(
            f"the actor type {record.type!r} is reserved to the function {owner.name!r} ({name_of(owner.func_id)}), "
            "with its storage: deploy with that func_id, or take it over with --adopt (?adopt=true)"
        )


def _owned_by(registry: TenantRegistry, record: TypeRecord) -> TypeOwnedError:
    owner = required(registry.by_id(record.func_id), f"the owner of {record.type!r}")
    return TypeOwnedError(
        f"the actor type {record.type!r} is owned by the function {owner.name!r} ({name_of(owner.func_id)})"
    )
