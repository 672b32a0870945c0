"""What a front knows of the catalog: which number a type has, and what to show of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from holdfast_host.core.errors import UnknownActorTypeError, UnknownFunctionError
from holdfast_host.core.tenants import DEFAULT_TENANT, name_of, tenant_of
from holdfast_host.wire.control.catalog import Catalog, Deployment, Method

_SLIP_CHARS_MAX: Final = 3
_COMPARED_MAX: Final = 100  # a stranger's slip takes no more than some milliseconds


class TenantView:
    """What one tenant has of a catalog. Nothing of another one is in it, so nothing said of a name can tell of one.

    Attributes:
        only: What a listing by state is asked for: the numbers of types whose rows are the tenant's, or are not.
    """

    def __init__(self, deployments: Sequence[Deployment], only: Mapping[str, Sequence[int]]) -> None:
        self.only = only
        self._deployments = deployments
        self._functions = {name_of(deployed.function): deployed for deployed in deployments}
        self._type_ids = {each.type: each.type_id for deployed in deployments for each in deployed.types}

    def type_id(self, actor_type: str) -> int:
        """The type's number; UnknownActorTypeError where no deployed function owns it."""
        try:
            return self._type_ids[actor_type]
        except KeyError:
            text = f"no deployed function owns the actor type {actor_type[:64]!r}"
            raise UnknownActorTypeError(text + _meant(actor_type, self._type_ids)) from None

    def find_function(self, name: str) -> Deployment | None:
        """What runs under a function's name."""
        return self._functions.get(name)

    def meant(self, name: str) -> str:
        """The end of a sentence about a function that is not known."""
        return _meant(name, self._functions)

    def describe_types(self) -> list[dict[str, Any]]:
        """Every type with its function, version and methods, by name; without what its component does not say."""
        rows = [
            {
                "type": each.type,
                "function": name_of(deployed.function),
                "version": deployed.version,
                "doc": each.doc,
                **({"language": deployed.language} if deployed.language else {}),
                **({} if each.handlers is None else {"handlers": each.handlers}),
                "methods": [_described(method) for method in each.methods],
            }
            for deployed in self._deployments
            for each in deployed.types
            if each.crons is None
        ]
        return sorted(rows, key=lambda row: str(row["type"]))


class CatalogView:
    """One catalog, indexed by tenant. Immutable: a deploy puts another in its place, between two requests."""

    def __init__(self, catalog: Catalog) -> None:
        self.number = catalog.number
        self.tenants = frozenset((DEFAULT_TENANT, *(each.name for each in catalog.tenants)))
        self._owners = {each.type_id: deployed.function for deployed in catalog.deployments for each in deployed.types}
        deployed: dict[str, list[Deployment]] = {}
        for each in catalog.deployments:
            deployed.setdefault(each.tenant, []).append(each)
        of_others = tuple(number for each in catalog.tenants for number in each.type_ids)
        self._views = {
            each.name: TenantView(deployed.get(each.name, ()), {"only": each.type_ids}) for each in catalog.tenants
        }
        not_theirs = {"without": of_others} if of_others else {}
        self._views[DEFAULT_TENANT] = TenantView(deployed.get(DEFAULT_TENANT, ()), not_theirs)

    def of(self, tenant: str) -> TenantView:
        """What a tenant has; nothing of one that is not there."""
        return self._views.get(tenant, _NOTHING)

    def owner(self, type_id: int) -> str:
        """The key of the function that owns a type; empty where none does."""
        return self._owners.get(type_id, "")

    def function(self, address: str) -> Deployment:
        """What runs under a function's address, which is its key; UnknownFunctionError where nothing does.

        Whoever asks is a stranger: of the names of tenants beside `default` nothing is said.
        """
        view = self.of(tenant_of(address))
        found = view.find_function(name_of(address))
        if found is None or found.function != address:
            meant = "" if "." in address else view.meant(address)
            raise UnknownFunctionError(f"no function {address[:64]!r} is deployed{meant}")
        return found


_NOTHING: Final = TenantView((), {"only": ()})


def _described(method: Method) -> dict[str, Any]:
    facts = {"name": method.name, "signature": method.signature, "doc": method.doc}
    return facts if method.parameters is None else {**facts, "parameters": method.parameters}


def _meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: the nearest of some that are about as long."""
    alike = (each for each in known if abs(len(each) - len(name)) <= _SLIP_CHARS_MAX)
    near = get_close_matches(name, sorted(islice(alike, _COMPARED_MAX)), 1)
    return f": did you mean {near[0]!r}?" if near else ""
