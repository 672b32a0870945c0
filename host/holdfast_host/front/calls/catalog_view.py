"""What a front knows of the catalog: which number a type has, and what to show of it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

from holdfast_host.core.errors import UnknownActorTypeError, UnknownFunctionError
from holdfast_host.wire.control.catalog import Catalog, Deployment, Method

_SLIP_CHARS_MAX: Final = 3
_COMPARED_MAX: Final = 100  # a stranger's slip takes no more than some milliseconds


class CatalogView:
    """One catalog, indexed. Immutable: a deploy puts another view in its place, between two requests."""

    def __init__(self, catalog: Catalog) -> None:
        self.number = catalog.number
        self._deployments = catalog.deployments
        self._functions = {deployed.function: deployed for deployed in catalog.deployments}
        self._owners = {each.type_id: deployed.function for deployed in catalog.deployments for each in deployed.types}
        self._type_ids = {each.type: each.type_id for deployed in catalog.deployments for each in deployed.types}

    def type_id(self, actor_type: str) -> int:
        """The type's number; UnknownActorTypeError where no deployed function owns it."""
        try:
            return self._type_ids[actor_type]
        except KeyError:
            text = f"no deployed function owns the actor type {actor_type[:64]!r}"
            raise UnknownActorTypeError(text + _meant(actor_type, self._type_ids)) from None

    def owner(self, type_id: int) -> str:
        """The function that owns a type; empty where none does."""
        return self._owners.get(type_id, "")

    def function(self, name: str) -> Deployment:
        """What runs under a function's name; UnknownFunctionError where nothing does."""
        try:
            return self._functions[name]
        except KeyError:
            text = f"no function {name[:64]!r} is deployed"
            raise UnknownFunctionError(text + _meant(name, self._functions)) from None

    def describe_types(self) -> list[dict[str, Any]]:
        """Every type with its function, version and methods, by name; without what its component does not say."""
        rows = [
            {
                "type": each.type,
                "function": deployed.function,
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


def _described(method: Method) -> dict[str, Any]:
    facts = {"name": method.name, "signature": method.signature, "doc": method.doc}
    return facts if method.parameters is None else {**facts, "parameters": method.parameters}


def _meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: the nearest of some that are about as long."""
    alike = (each for each in known if abs(len(each) - len(name)) <= _SLIP_CHARS_MAX)
    near = get_close_matches(name, sorted(islice(alike, _COMPARED_MAX)), 1)
    return f": did you mean {near[0]!r}?" if near else ""
