"""Whether a value of JSON has a shape that types say: TypedDicts, lists, unions, and bounds.

In plain Python, so that commands that only talk to a host need nothing compiled. What judges the JSON of strangers
inside a host is `core.json_text`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

_NAMES: Final = {dict: "object", list: "array", NoneType: "null"}  # of JSON's, where Python has another
_Judge = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a number, or of how many items a list has; both ends are in."""

    least: float | None = None
    most: float | None = None


class _MisfitError(Exception):
    """What is wrong; `steps` lead to it, the innermost first."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.steps: list[str] = []


def misfit(value: Any, shape: Any) -> str | None:
    """What of a value is wrong, and where; None where it has the shape. An object may have more fields than that."""
    try:
        _judge_of(shape)(value)
    except _MisfitError as error:
        place = "".join(reversed(error.steps))
        return f"{error} - at `${place}`" if place else str(error)
    return None


@cache
def _judge_of(shape: Any) -> _Judge:
    """The function that returns for a value of the shape, and raises for any other."""
    if shape is Any:
        return lambda value: None
    if is_typeddict(shape):
        return _object(shape)
    origin, arguments = get_origin(shape), get_args(shape)
    if origin is Annotated:
        [bounds] = shape.__metadata__
        return _bounded(arguments[0], bounds)
    if origin is list:
        return _array(arguments[0])
    if origin in (Union, UnionType):
        return _one_of(arguments)
    return _plain(origin or shape)


def _object(shape: Any) -> _Judge:
    hints = get_type_hints(shape, include_extras=True)
    required = [name for name, hint in hints.items() if get_origin(hint) is not NotRequired]
    fields = {
        name: _judge_of(hint if get_origin(hint) is not NotRequired else get_args(hint)[0])
        for name, hint in hints.items()
    }

    def judge(value: Any) -> None:
        if not isinstance(value, dict):
            raise _MisfitError(f"expected `object`, got `{_name(type(value))}`")
        for name, judge_field in fields.items():
            if name in value:
                _inside(judge_field, value[name], f".{name}")
        for name in required:
            if name not in value:
                raise _MisfitError(f"object missing required field `{name}`")

    return judge


def _array(item: Any) -> _Judge:
    judge_item = _judge_of(item)

    def judge(value: Any) -> None:
        if not isinstance(value, list):
            raise _MisfitError(f"expected `array`, got `{_name(type(value))}`")
        for index, each in enumerate(value):
            _inside(judge_item, each, f"[{index}]")

    return judge


def _one_of(shapes: tuple[Any, ...]) -> _Judge:
    """What is null and may be, or the one other shape."""
    [other] = [each for each in shapes if each is not NoneType]
    judge_other = _judge_of(other)

    def judge(value: Any) -> None:
        if value is not None:
            judge_other(value)

    return judge


def _bounded(shape: Any, bounds: Bounds) -> _Judge:
    judge_shape, least, most = _judge_of(shape), bounds.least, bounds.most
    of_length = get_origin(shape) is list
    name = "array` of length" if of_length else f"{_name(shape)}`"

    def judge(value: Any) -> None:
        judge_shape(value)
        measured = len(value) if of_length else value
        if least is not None and measured < least:
            raise _MisfitError(f"expected `{name} >= {least}")
        if most is not None and measured > most:
            raise _MisfitError(f"expected `{name} <= {most}")

    return judge


def _plain(shape: type) -> _Judge:
    accepted = {int, float} if shape is float else {shape}  # JSON has one kind of number

    def judge(value: Any) -> None:
        if type(value) not in accepted:
            raise _MisfitError(f"expected `{_name(shape)}`, got `{_name(type(value))}`")

    return judge


def _inside(judge: _Judge, value: Any, step: str) -> None:
    try:
        judge(value)
    except _MisfitError as error:
        error.steps.append(step)
        raise


def _name(of: type) -> str:
    return _NAMES.get(of, of.__name__)
