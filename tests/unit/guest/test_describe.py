from __future__ import annotations

import abc
import json
from types import ModuleType
from typing import Any

import pytest

from holdfast import AlarmInfo, Request, Response, StatefulActor
from holdfast._describe import Component, RuleError


def component_of(**exported: Any) -> Component:
    module = ModuleType("app")
    module.__file__ = "src/app.py"
    vars(module).update(exported)
    return Component.of_module(module)


class Account(StatefulActor):
    """Money of one person."""

    def deposit(self, amount: int, *, note: str = "") -> dict[str, int]:
        """Add funds.

        Returns the new balance.
        """
        return {"balance": amount}

    def audit(self, *lines, since=None):  # type: ignore[no-untyped-def]
        return lines, since

    @property
    def total(self) -> int:
        return 0

    def _private(self) -> None: ...


class Savings(Account):
    def interest(self, rate: Undefined) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Abstract(StatefulActor, abc.ABC):
    @abc.abstractmethod
    def needed(self) -> None: ...


def fetch(request: Request, env: Any) -> Response:
    return Response()


def test_a_component_describes_its_classes_and_methods() -> None:
    facts = json.loads(component_of(Account=Account, fetch=fetch).description)

    assert facts == {
        "contract": "1.1.0",
        "codec": 2,
        "language": "python",
        "actors": [
            {
                "type": "Account",
                "doc": "Money of one person.",
                "methods": [
                    {
                        "name": "audit",
                        "signature": "(*lines, since=None)",
                        "parameters": [
                            {"name": "lines", "kind": "positions", "schema": {}},
                            {"name": "since", "kind": "name", "required": False, "default": None, "schema": {}},
                        ],
                        "doc": "",
                    },
                    {
                        "name": "deposit",
                        "signature": "(amount: int, *, note: str = '') -> dict[str, int]",
                        "parameters": [
                            {"name": "amount", "schema": {"type": "integer"}},
                            {
                                "name": "note",
                                "kind": "name",
                                "required": False,
                                "default": "",
                                "schema": {"type": "string"},
                            },
                        ],
                        "doc": "Add funds.\n\nReturns the new balance.",
                    },
                ],
                "private": [
                    *("__init__", "_private", "alarm", "ctx", "env", "fetch"),
                    *("socket_close", "socket_error", "socket_message", "total"),
                ],
                "handlers": [],
            }
        ],
        "handlers": ["fetch"],
    }


class Deadlocks(Account):
    def alarm(self, info: AlarmInfo) -> None: ...

    def fetch(self, request: Request) -> Response:
        return Response()


class RingsToo(Deadlocks):
    """What a base has, it has."""


class Mute(Deadlocks):
    alarm = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("actor", "handlers"),
    [(Account, []), (Deadlocks, ["alarm", "fetch"]), (RingsToo, ["alarm", "fetch"]), (Mute, ["fetch"])],
)
def test_a_class_says_which_handlers_it_has(actor: type[StatefulActor], handlers: list[str]) -> None:
    facts = json.loads(component_of(Actor=actor).description)

    assert facts["actors"][0]["handlers"] == handlers


def test_inherited_methods_belong_to_the_type_and_a_name_only_for_types_does_no_harm() -> None:
    facts = json.loads(component_of(Savings=Savings).description)

    assert facts["actors"][0]["doc"] == ""
    assert [each["name"] for each in facts["actors"][0]["methods"]] == ["audit", "deposit", "interest"]
    assert facts["actors"][0]["methods"][2]["signature"] == "(rate: Undefined) -> None"


def test_only_concrete_public_subclasses_are_exported_and_each_once() -> None:
    component = component_of(
        Account=Account, Alias=Account, _Savings=Savings, Abstract=Abstract, StatefulActor=StatefulActor, x=3
    )

    assert list(component.actors) == ["Account"]


def test_a_fetch_handler_alone_is_a_component() -> None:
    assert json.loads(component_of(fetch=fetch).description)["actors"] == []


def make(called: str = "Bad", /, **members: Any) -> type[StatefulActor]:
    return type(called, (StatefulActor,), {"__module__": __name__, **members})


@pytest.mark.parametrize(
    ("exported", "message"),
    [
        ({}, "neither an actor class .* nor a fetch"),
        ({"fetch": 3}, "fetch is not a function"),
        ({"fetch": lambda request: None}, r"fetch\(request\) must be callable with \(request, env\)"),
        ({"A": make(alarm=3)}, r"Bad\.alarm is no method: alarm is what the runtime calls"),
        ({"A": make("Bad__Name")}, "'Bad__Name' must be an ASCII identifier without '__'"),
        ({"A": make("Kонто")}, "must be an ASCII identifier"),  # noqa: RUF001
        ({"A": make("A" * 33)}, "33 characters, the limit is 32"),
        ({"A": make("Twin"), "B": make("Twin")}, "two actor classes are called Twin"),
        ({"A": make(name=lambda self: 1)}, "Bad.name hides the name of a stub"),
        ({"A": make(id=lambda self: 1)}, "Bad.id hides the id of a stub"),
        ({"A": make(once=lambda self: 1)}, "Bad.once hides once of a stub, .*: give it another name"),
        ({"A": make(start=lambda self: 1)}, "Bad.start hides start of a stub, .*: give it another name"),
        ({"A": make(then=lambda self: 1)}, "Bad.then hides what JavaScript takes for a promise: give it another"),
        ({"A": make(toJSON=lambda self: 1)}, "Bad.toJSON hides what JavaScript .*: give it another name"),
        ({"A": make(constructor=lambda self: 1)}, "Bad.constructor hides .* of a JavaScript object: give it another"),
        ({"A": make(ctx=lambda self: 1)}, r"Bad.ctx hides self\.ctx"),
        ({"A": make(env=lambda self: 1)}, r"Bad.env hides self\.env"),
        ({"A": make(größe=lambda self: 1)}, "Bad.größe must be an ASCII identifier"),
        ({"A": make(nothing=lambda: 1)}, "Bad.nothing takes no self"),
        ({"A": make(alarm=lambda self: 1)}, r"Bad.alarm\(self\) must be callable with \(self, info\)"),
        ({"A": make(fetch=lambda self, a, b: 1)}, r"Bad.fetch.* must be callable with \(self, request\)"),
        ({"A": make(__init__=lambda self: None)}, r"Bad.__init__.* must be callable with \(self, ctx, env\)"),
        ({"A": make(**{f"m{n}": lambda self: 1 for n in range(501)})}, "501 methods, the limit is 500"),
        ({f"A{n}": make(f"A{n}") for n in range(101)}, "101 actor classes, the limit is 100"),
    ],
)
def test_a_rule_that_is_broken_is_one_sentence(exported: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        component_of(**exported)


def test_a_broken_rule_names_file_and_line() -> None:
    def name(self: Any) -> None: ...

    with pytest.raises(RuleError) as caught:
        component_of(Bad=make(name=name))

    assert caught.value.file == __file__
    assert caught.value.line == name.__code__.co_firstlineno
