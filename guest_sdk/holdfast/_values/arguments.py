"""What a method's annotations ask of arguments that come as plain JSON: worked out once, while the component is built.

The usual call costs a look at the types of what it gives: where they are exactly those of the annotations, nothing else
is done. Calls between actors carry their types, and never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter
from itertools import product
from math import prod
from types import NoneType
from typing import Any, Final

from holdfast._values.annotations import hints_of
from holdfast._values.conversion import Known, converter_of, optional
from holdfast._values.leaf_conversion import Converter
from holdfast._values.misfits import MisfitError

_JSON_TYPES: Final[frozenset[type]] = frozenset({str, int, float, bool, NoneType, list, dict})
_COMBINATIONS_MAX: Final = 128


class ArgumentTypes:
    """The annotations of one method. Immutable.

    Attributes:
        exact: What binds and needs no further look: the names given and then the types, or the types alone.
    """

    __slots__ = ("_by_name", "_by_position", "_more_names", "_more_positions", "exact")

    def __init__(self, parameters: Sequence[Parameter], converters: dict[str, Converter | None]) -> None:
        """Use `of`."""
        of_kind: dict[Any, list[Parameter]] = {}
        for each in parameters:
            of_kind.setdefault(each.kind, []).append(each)
        only, either = of_kind.get(Parameter.POSITIONAL_ONLY, []), of_kind.get(Parameter.POSITIONAL_OR_KEYWORD, [])
        named = of_kind.get(Parameter.KEYWORD_ONLY, [])
        self._by_position = [(each.name, converters.get(each.name)) for each in (*only, *either)]
        self._by_name = {each.name: converters.get(each.name) for each in (*either, *named)}
        self._more_positions = _of_first(of_kind.get(Parameter.VAR_POSITIONAL), converters)
        self._more_names = _of_first(of_kind.get(Parameter.VAR_KEYWORD), converters)
        self.exact: frozenset[tuple[str | type, ...]] = frozenset()

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        parameters: Sequence[Parameter],
        usual: Iterable[tuple[str, ...]],
        fits_positions: Callable[[int], bool],
    ) -> ArgumentTypes | None:
        """Those of a function's parameters, without `self`; None where they ask for nothing.

        Args:
            function: The function.
            parameters: Its parameters without `self`.
            usual: The names that calls usually give, in their order; they bind.
            fits_positions: Whether so many arguments by position bind.
        """
        hints, known = hints_of(function), Known()
        converters: dict[str, Converter | None] = {}
        for each in parameters:
            found = converter_of(hints[each.name], known) if each.name in hints else None
            converters[each.name] = optional(found) if each.default is None else found
        if not any(converters.values()):
            return None
        types = cls(parameters, converters)
        exact: list[tuple[str | type, ...]] = []
        for names in usual:
            exact += [(*names, *kinds) for kinds in _combinations([converters.get(name) for name in names])]
        for count in filter(fits_positions, range(len(types._by_position) + 1)):
            exact += _combinations([converter for _, converter in types._by_position[:count]])
        types.exact = frozenset(exact)
        return types

    def convert_positions(self, args: list[Any]) -> list[Any]:
        """Arguments by position; MisfitError, which begins with the parameter's name, where one does not fit."""
        found = []
        for at, value in enumerate(args):
            name, converter = self._by_position[at] if at < len(self._by_position) else self._more_positions
            found.append(_converted(name, converter, value))
        return found

    def convert_names(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, as `convert_positions`."""
        more = self._more_names[1]
        return {name: _converted(name, self._by_name.get(name, more), value) for name, value in kwargs.items()}


def _combinations(converters: Sequence[Converter | None]) -> list[tuple[type, ...]]:
    """The types with which all pass as they are; none of them where they are too many to keep."""
    choices = [_JSON_TYPES if converter is None else converter.exact for converter in converters]
    return list(product(*choices)) if prod(map(len, choices)) <= _COMBINATIONS_MAX else []


def _of_first(
    parameters: list[Parameter] | None, converters: dict[str, Converter | None]
) -> tuple[str, Converter | None]:
    return (parameters[0].name, converters.get(parameters[0].name)) if parameters else ("", None)


def _converted(name: str, converter: Converter | None, value: Any) -> Any:
    if converter is None:
        return value
    try:
        return converter(value)
    except MisfitError as misfit:
        misfit.within(name)
        raise
