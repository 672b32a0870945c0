"""Methods that a decorator has made something else of."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest

from holdfast import StatefulActor
from holdfast._describe import RuleError
from tests.unit.guest.memory_host import Hosted
from tests.unit.guest.test_describe import component_of


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return [1, function(self, *args, **kwargs)]

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*args, **kwargs)


class Bound:
    """A decorator that is a class, and binds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return ["bound", self._function(*args, **kwargs)]

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else MethodType(self, instance)


class Unbound:
    """One that does not."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


class Decorated(StatefulActor):
    size = len  # no method of ours
    lock = functools.partial(int, base=2)

    @counted
    def wrapped(self, a: int) -> int:
        """Adds one."""
        return a + 1

    @bare
    def unwrapped(self, a: int) -> int:
        return a + 1

    @functools.lru_cache(maxsize=8)  # noqa: B019  (that is the point)
    def cached(self, a: int) -> int:
        return a + 1

    @Bound
    def bound(self, a: int) -> int:
        return a + 1

    @counted
    async def later(self, a: int) -> int:
        return a + 1

    @functools.singledispatchmethod
    def dispatched(self, a: Any) -> str:
        return "any"

    @dispatched.register
    def _(self, a: int) -> str:
        return "int"

    def add(self, a: int, b: int = 0) -> int:
        return a + b

    add_ten = functools.partialmethod(add, b=10)

    @property
    def total(self) -> int:
        return 0

    @functools.cached_property
    def once(self) -> int:
        return 0


@pytest.fixture
def decorated() -> Hosted:
    return Hosted(Decorated)


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("wrapped", [1, 2]),
        ("unwrapped", 2),
        ("cached", 2),
        ("bound", ["bound", 2]),
        ("dispatched", "int"),
        ("add_ten", 11),
    ],
)
def test_a_decorated_method_is_called_as_any_other(decorated: Hosted, method: str, result: Any) -> None:
    assert decorated.call(method, "[1]") == result


def test_decorated_methods_are_described_and_nothing_else_that_can_be_called() -> None:
    facts = json.loads(component_of(Decorated=Decorated).description)["actors"][0]
    methods = {each["name"]: each for each in facts["methods"]}

    assert list(methods) == [
        "add", "add_ten", "bound", "cached", "dispatched", "later", "unwrapped", "wrapped",
    ]  # fmt: skip
    assert methods["wrapped"]["signature"] == methods["cached"]["signature"] == "(a: int) -> int"
    assert methods["wrapped"]["doc"] == "Adds one."
    assert {"size", "lock", "total", "once"} <= set(facts["private"])


def test_arguments_are_checked_by_the_signature_that_is_shown(decorated: Hosted) -> None:
    for method in ("wrapped", "cached", "bound"):
        assert decorated.error(method, "[1, 2]")["name"] == "BadArgumentsError"


def test_a_decorator_that_binds_no_self_is_told_when_the_component_is_built() -> None:
    class Loose(StatefulActor):
        @Unbound
        def run(self) -> int:
            return 1

    with pytest.raises(
        RuleError, match=r"Loose.run is wrapped in an object of the class Unbound, which binds no self"
    ) as told:
        component_of(Loose=Loose)

    assert told.value.file == __file__
