"""`self.env`: what holdfast.toml gives a function, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast._host_imports import CallsImport


class Env:
    """Bindings and variables as attributes: `env.ACCOUNT` leads to an actor type, `env.GREETING` is a text.

    An attribute that holdfast.toml does not declare is an AttributeError that lists what it does. Iterating gives the
    names.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any: ...

    def __getattr__(self, name: str) -> Any:
        declared = ", ".join(sorted(self.__dict__)) or "nothing"
        raise AttributeError(
            f"env has no {name!r}: holdfast.toml declares {declared} (a secret is there once it is named and set)",
            name=name,
            obj=self,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"env cannot be changed: {name!r} comes from holdfast.toml", name=name, obj=self)

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __repr__(self) -> str:
        return f"<holdfast env: {', '.join(self.__dict__)}>"


def make_env(environment: dict[str, Any], calls: CallsImport) -> Env:
    """The env of one activation, from the JSON object that the host hands to `activate`."""
    from holdfast._calls import ActorNamespace

    values: dict[str, Any] = dict(environment.get("variables", {}))
    for binding, actor_type in environment.get("bindings", {}).items():
        values[binding] = ActorNamespace(binding, actor_type, calls)
    return Env(values)
