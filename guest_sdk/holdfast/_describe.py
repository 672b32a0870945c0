"""What a component ships: its actor classes and its own handlers, checked against the rules and described as JSON."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from holdfast._actor import StatefulActor
from holdfast._contract import CONTRACT_VERSION, FUNCTION_HANDLERS, HANDLERS, TAKEN
from holdfast._methods import (
    Method,
    handlers_of,
    method_function,
    methods_of,
    private_names,
    public_names,
    signature_text,
)
from holdfast._values.annotations import signature_of
from holdfast._values.tags import CODEC_VERSION

TYPE_CHARS_MAX: Final = 32
METHOD_CHARS_MAX: Final = 64
METHODS_MAX: Final = 500
TYPES_MAX: Final = 100
DOC_CHARS_MAX: Final = 4096

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RuleError(Exception):
    """A class or method breaks a rule of the contract; `file` and `line` say where."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line


class Component:
    """What one module exports. Immutable; made once, while the component is built.

    Attributes:
        actors: The actor classes by name.
        methods: For each of them its methods by name.
        fetch: The module's fetch handler.
        scheduled: The module's handler for the times of its manifest.
        description: The answer of the `describe` export.
    """

    def __init__(
        self,
        actors: dict[str, type[StatefulActor]],
        fetch: Callable[..., Any] | None,
        scheduled: Callable[..., Any] | None = None,
    ) -> None:
        self.actors = actors
        self.methods: dict[str, dict[str, Method]] = {name: methods_of(actor) for name, actor in actors.items()}
        self.fetch = fetch
        self.scheduled = scheduled
        self.description = json.dumps(self._facts(), separators=(",", ":"))

    @classmethod
    def of_module(cls, module: ModuleType) -> Component:
        """What a module exports; RuleError where that breaks a rule."""
        actors: dict[str, type[StatefulActor]] = {}
        for exported, value in vars(module).items():
            if exported.startswith("_") or not isinstance(value, type) or not issubclass(value, StatefulActor):
                continue
            if value is StatefulActor or inspect.isabstract(value):
                continue
            known = actors.setdefault(value.__name__, value)
            if known is not value:
                raise RuleError(f"two actor classes are called {value.__name__}", *place_of(value))
            check_actor(value)
        if len(actors) > TYPES_MAX:
            raise RuleError(f"the module has {len(actors)} actor classes, the limit is {TYPES_MAX}", *place_of(module))
        handlers = {name: vars(module).get(name) for name in FUNCTION_HANDLERS}
        for name, handler in handlers.items():
            if handler is not None:
                check_handler(name, handler, module)
        if not actors and handlers["fetch"] is handlers["scheduled"] is None:
            text = (
                "it defines neither an actor class (a subclass of holdfast.StatefulActor) nor a fetch(request, env) or"
                " a scheduled(event, env)"
            )
            raise RuleError(text, *place_of(module))
        return cls(actors, **handlers)

    def _facts(self) -> dict[str, Any]:
        actors = [
            {
                "type": name,
                "doc": _doc(actor),
                "methods": [
                    {
                        "name": each,
                        "signature": signature_text(method.function),
                        "parameters": method.parameters(),
                        "doc": _doc(method.function),
                    }
                    for each, method in self.methods[name].items()
                ],
                "private": private_names(actor),
                "handlers": handlers_of(actor),
            }
            for name, actor in self.actors.items()
        ]
        facts = {"contract": CONTRACT_VERSION, "codec": CODEC_VERSION, "language": "python", "actors": actors}
        return {**facts, "handlers": [name for name in FUNCTION_HANDLERS if getattr(self, name) is not None]}


def check_handler(name: str, handler: Any, module: ModuleType | None = None) -> None:
    """Raise RuleError where this cannot be that handler of a function; `module` is where it was found."""
    if not callable(handler):
        raise RuleError(f"{name} is not a function", *place_of(module or handler))
    _check_takes(handler, name, FUNCTION_HANDLERS[name])


def check_extends(found: Any) -> None:
    """Raise RuleError where this is no class that instances can be made of."""
    name = getattr(found, "__name__", repr(found))
    if not isinstance(found, type) or not issubclass(found, StatefulActor):
        raise RuleError(f"{name} is no actor: write class {name}(StatefulActor)", *place_of(found))
    if inspect.isabstract(found):
        missing: Any = getattr(found, "__abstractmethods__", ())
        text = f"the class {name} is abstract: it does not define {', '.join(sorted(missing))}"
        raise RuleError(text, *place_of(found))


def check_actor(actor: type[StatefulActor]) -> None:
    """Raise RuleError where the class or one of its methods breaks a rule."""
    name = actor.__name__
    if not _IDENTIFIER.fullmatch(name) or "__" in name:
        raise RuleError(f"the actor class {name!r} must be an ASCII identifier without '__'", *place_of(actor))
    if len(name) > TYPE_CHARS_MAX:
        text = f"the actor class {name} has {len(name)} characters, the limit is {TYPE_CHARS_MAX}"
        raise RuleError(text, *place_of(actor))
    for each in sorted(public_names(actor)):
        value = inspect.getattr_static(actor, each)
        if each in HANDLERS and value is not None and not callable(getattr(actor, each)):
            raise RuleError(f"{name}.{each} is no method: {each} is what the runtime calls", *place_of(actor))
        function = method_function(actor, each, value)
        if function is None:
            if callable(value) and hasattr(value, "__wrapped__") and not isinstance(value, (staticmethod, type)):
                raise RuleError(_unbound(f"{name}.{each}", value), *place_of(value))
            continue
        value = function
        if each in TAKEN:
            text = f"the method {name}.{each} hides {TAKEN[each]}: give it another name"
            raise RuleError(text, *place_of(value))
        if each in HANDLERS:
            _check_takes(value, f"{name}.{each}", HANDLERS[each])
        elif not _IDENTIFIER.fullmatch(each) or len(each) > METHOD_CHARS_MAX:
            text = f"the method {name}.{each} must be an ASCII identifier of at most {METHOD_CHARS_MAX} characters"
            raise RuleError(text, *place_of(value))
        elif not _takes_self(value):
            raise RuleError(f"the method {name}.{each} takes no self", *place_of(value))
    if len(methods_of(actor)) > METHODS_MAX:
        text = f"the actor class {name} has {len(methods_of(actor))} methods, the limit is {METHODS_MAX}"
        raise RuleError(text, *place_of(actor))
    if "__init__" in vars(actor):
        _check_takes(vars(actor)["__init__"], f"{name}.__init__", "(self, ctx, env)")


def _unbound(label: str, value: Any) -> str:
    kind = type(value).__qualname__
    return (
        f"the method {label} is wrapped in an object of the class {kind}, which binds no self: have the decorator "
        f"return a function, or give {kind} a __get__"
    )


def _takes_self(function: Callable[..., Any]) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kinds = [each.kind for each in signature_of(function).parameters.values()][:1]
    return bool(kinds) and kinds[0] in (*positional, inspect.Parameter.VAR_POSITIONAL)


def _check_takes(function: Callable[..., Any], label: str, wanted: str) -> None:
    try:
        signature_of(function).bind(*wanted.split(","))
    except TypeError:
        text = f"{label}{signature_text(function, without_self=False)} must be callable with {wanted}"
        raise RuleError(text, *place_of(function)) from None


def place_of(thing: Any) -> tuple[str | None, int | None]:
    """File and line of a function, class or module, as far as they are known."""
    if isinstance(thing, ModuleType):
        return shown_file(thing), None
    function = inspect.unwrap(thing) if not isinstance(thing, type) else thing
    code = getattr(function, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    module = sys.modules.get(getattr(thing, "__module__", ""))
    return (shown_file(module) if module else None), getattr(thing, "__firstlineno__", None)


def shown_file(module: ModuleType) -> str | None:
    """The module's file as its author knows it."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return getattr(loader, "shown_path", None) or getattr(module, "__file__", None)


def _doc(thing: Any) -> str:
    """Its own docstring, without that of a base class."""
    doc = thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(doc)[:DOC_CHARS_MAX] if isinstance(doc, str) else ""
