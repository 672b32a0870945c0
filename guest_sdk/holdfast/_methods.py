"""Which functions of an actor class are methods for callers, and whether arguments fit them.

Everything that a call needs to know about a class is worked out once, while the component is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Set
from functools import partial, partialmethod, singledispatchmethod
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any, Final, NoReturn

from holdfast._actor import StatefulActor
from holdfast._contract import HANDLER_NAMES, HANDLERS
from holdfast._errors import CallRefusedError
from holdfast._values.annotations import signature_of
from holdfast._values.arguments import ArgumentTypes
from holdfast._values.misfits import MisfitError
from holdfast._values.schemas import parameters_of

_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NO_METHODS: Final = (staticmethod, classmethod, partial, type, BuiltinFunctionType, MethodDescriptorType)
_UNBOUNDED: Final = 1 << 62


class Method:
    """One method of a class, and what its signature accepts. Immutable; made once for a component."""

    __slots__ = (
        "_descriptor",
        "_label",
        "_most",
        "_names",
        "_required",
        "_required_positions",
        "_self",
        "_signature",
        "function",
        "types",
        "usual",
    )

    def __init__(self, label: str, function: Callable[..., Any], descriptor: Any = None) -> None:
        """`descriptor` is what stands in the class, where that is not the function itself."""
        self._label = label
        self.function = function
        self._descriptor = descriptor or function
        signature = signature_of(function)
        parameters = list(signature.parameters.values())
        # The instance is bound before the arguments are; its name is taken, also where any name would do.
        self._self: frozenset[str] = frozenset()
        if parameters and parameters[0].kind in _BY_POSITION:
            self._self = frozenset(each.name for each in parameters[:1] if each.kind in _BY_NAME)
            parameters = parameters[1:]
        self._signature = signature.replace(parameters=parameters)
        by_position = [each for each in parameters if each.kind in _BY_POSITION]
        required = [
            each for each in parameters if each.default is each.empty and each.kind in (*_BY_POSITION, *_BY_NAME)
        ]
        kinds = {each.kind for each in parameters}
        self._most = _UNBOUNDED if inspect.Parameter.VAR_POSITIONAL in kinds else len(by_position)
        self._required_positions = sum(each.kind in _BY_POSITION for each in required)
        if any(each.kind is inspect.Parameter.KEYWORD_ONLY for each in required):
            self._most = -1  # an array can never do
        self._names = None
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            self._names = frozenset(each.name for each in parameters if each.kind in _BY_NAME)
        self._required = frozenset(each.name for each in required)
        if any(each.kind is inspect.Parameter.POSITIONAL_ONLY for each in required):
            self._names = frozenset()  # an object can never do: let bind() say why
        orders = (tuple(each.name for each in chosen if each.kind in _BY_NAME) for chosen in (parameters, required))
        # What most calls give by name: everything, or what is required, in the order of the signature.
        self.usual = frozenset(order for order in orders if self.fits_names(dict.fromkeys(order).keys()))
        self.types = ArgumentTypes.of(function, parameters, self.usual, self.fits_positions)

    def parameters(self) -> list[dict[str, Any]]:
        """What it takes, in no language's notation."""
        return parameters_of(self.function, self._signature.parameters.values())

    def bind(self, actor: StatefulActor) -> Callable[..., Any]:
        """The method of one instance, whatever the instance has under that name."""
        bound: Callable[..., Any] = self._descriptor.__get__(actor, type(actor))
        return bound

    def fits_positions(self, count: int) -> bool:
        """Whether so many positional arguments, and nothing else, bind."""
        return self._required_positions <= count <= self._most

    def fits_names(self, names: Set[str]) -> bool:
        """Whether exactly these keyword arguments (the keys of a dict) bind."""
        if self._names is None:
            return names >= self._required and self._self.isdisjoint(names)
        return names >= self._required and names <= self._names

    def check(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Raise CallRefusedError (`BadArgumentsError`) where the arguments do not bind."""
        try:
            self._signature.bind(*args, **kwargs)
            fault = next((f"no argument can be called {name!r}" for name in self._self & kwargs.keys()), "")
        except TypeError as error:
            fault = str(error)
        if fault:
            self._refuse(fault)

    def convert(self, given: Any) -> Any:
        """Arguments that came as plain JSON, as the annotations want them: an object's, or an array's.

        Raises:
            CallRefusedError: `BadArgumentsError` where they do not bind, or one does not fit: with the path to it.
        """
        if type(given) is dict:
            if not self.fits_names(given.keys()):
                self.check([], given)
        elif not self.fits_positions(len(given)):
            self.check(given, {})
        if self.types is None:
            return given
        try:
            return self.types.convert_names(given) if type(given) is dict else self.types.convert_positions(given)
        except MisfitError as misfit:
            fault = misfit.sentence("")
        return self._refuse(fault)

    def _refuse(self, fault: str) -> NoReturn:
        takes = f"{self._label.rpartition('.')[2]}{signature_text(self.function)}"
        raise CallRefusedError("BadArgumentsError", f"{self._label}: {fault}; it is {takes}")


def methods_of(actor: type[StatefulActor]) -> dict[str, Method]:
    """The methods that callers may call, in the order of their names."""
    found = {}
    for name in sorted(public_names(actor)):
        value = inspect.getattr_static(actor, name)
        function = method_function(actor, name, value)
        if function is not None and name not in HANDLER_NAMES:
            found[name] = Method(f"{actor.__name__}.{name}", function, value)
    return found


def method_function(actor: type[StatefulActor], name: str, value: Any) -> Callable[..., Any] | None:
    """The function that a public attribute of a class is, decorated or not; None where it is no method.

    A decorator may return an object instead of a function (`functools.lru_cache`, `partialmethod`, one of its
    author's); that makes a method where it binds `self` as a function does.
    """
    if isinstance(value, FunctionType):
        return value
    if isinstance(value, _NO_METHODS) or not hasattr(type(value), "__get__"):
        return None
    if not callable(value) and not isinstance(value, (partialmethod, singledispatchmethod)):
        return None
    function = getattr(actor, name)
    return function if callable(function) else None


def handlers_of(actor: type[StatefulActor]) -> list[str]:
    """Those of HANDLERS that the class or a base other than StatefulActor defines."""
    found = ((name, getattr(actor, name, None)) for name in HANDLERS)
    return [name for name, value in found if callable(value) and value is not getattr(StatefulActor, name, None)]


def public_names(actor: type[StatefulActor]) -> set[str]:
    """Every name without an underscore that the class or a base other than StatefulActor defines."""
    own = (each for each in actor.__mro__ if each is not StatefulActor and each is not object)
    return {name for each in own for name in vars(each) if not name.startswith("_")}


def private_names(actor: type[StatefulActor]) -> list[str]:
    """What the class has and callers may not call: answered with "private" instead of "unknown"."""
    methods = methods_of(actor)
    names = {name for name in dir(actor) if not name.startswith("__")} | HANDLER_NAMES | {"__init__", "ctx", "env"}
    return sorted(names - methods.keys())


def signature_text(function: Callable[..., Any], *, without_self: bool = True) -> str:
    """`(amount: int) -> dict`: as its author wrote it, without `self`."""
    try:
        signature = _signature_as_written(function)
        parameters = list(signature.parameters.values())
        if without_self and parameters and parameters[0].kind in _BY_POSITION:
            signature = signature.replace(parameters=parameters[1:])
        return str(signature)
    except Exception:
        return "(...)"


class _Written:
    """An annotation that shows as its source text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature_as_written(function: Callable[..., Any]) -> inspect.Signature:
    signature = signature_of(function)

    def written(annotation: Any) -> Any:
        return _Written(annotation) if isinstance(annotation, str) else annotation

    parameters = [each.replace(annotation=written(each.annotation)) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=written(signature.return_annotation))
