"""Stub classes for a project's bindings, as Python text: what lets an editor complete, and mypy check, calls of actors.

They are made from descriptions, which know a method as its author wrote it: text. What in it is not known here (an
author's own class in an annotation) becomes `Any`. Nothing of the text runs; a component runs without it.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast_host.build.parameters import python_signature
from holdfast_host.core.terminal_text import printable

BINDINGS_FILE: Final = "bindings.py"

# Where the names come from that annotations of values may use.
_HOMES: Final = {
    "typing": ("Any", "Literal", "Optional", "Union", "Dict", "List", "Tuple", "Set", "FrozenSet"),
    "collections.abc": ("Iterable", "Iterator", "Mapping", "Sequence", "Collection"),
    "datetime": ("datetime", "date", "time", "timedelta"),
    "decimal": ("Decimal",),
    "uuid": ("UUID",),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}
IMPORTABLE: Final = frozenset(_HOME_OF)
_TOP: Final = '''"""Types of what holdfast.toml puts on env: for editors and type checkers.

Written by `holdfast types`, which replaces it. Annotate with it: `def fetch(request: Request, env: Env)`, and
`env: Env` in the body of an actor class.
"""

# ruff: noqa

from __future__ import annotations

'''


@dataclass(frozen=True, slots=True)
class BoundType:
    """An actor type as a description or `GET /v1/actors` shows it, under the name that `env` has for it."""

    binding: str
    type: str
    methods: Sequence[Mapping[str, Any]] = ()  # name, signature, doc, perhaps parameters
    language: str = "python"  # of the signatures
    is_known: bool = True  # False: nobody could be asked; any name may be a method of it

    @classmethod
    def of(cls, binding: str, described: Mapping[str, Any]) -> BoundType:
        """From an entry with `type` and `methods`."""
        language = str(described.get("language") or "python")
        return cls(binding, str(described["type"]), tuple(described["methods"]), language)


def render_bindings(bound: Sequence[BoundType], variables: Sequence[str], secrets: Sequence[str] = ()) -> str:
    """The module's text.

    Args:
        bound: the bindings, those of the same type with the same methods.
        variables: the names of plain variables.
        secrets: the names of the secrets that the manifest asks for.
    """
    uses: set[str] = set()
    by_type = {each.type: each for each in bound if each.is_known}
    classes = [part for name in sorted(by_type) for part in _classes(by_type[name], uses)]
    classes.append(_env(bound, [*variables, *secrets]))
    lines = [*import_lines(uses), "", "import holdfast", "", "", "\n\n\n".join(classes)]
    return _TOP + "\n".join(lines) + "\n"


def import_lines(uses: set[str]) -> list[str]:
    """The imports that stubs with these names need."""
    needed = {"typing": {"TYPE_CHECKING", "Any"}}
    for name in uses:
        needed.setdefault(_HOME_OF[name], set()).add(name)
    return [f"from {home} import {', '.join(sorted(needed[home]))}" for home in sorted(needed)]


def method_stubs(actor: BoundType, uses: set[str], keyword_def: str = "def") -> list[str]:
    """Its methods with signature and docstring, as members of a class; notes in `uses` what must be imported."""
    # A host may say anything; what is no name in Python is no method here, and above all no Python.
    known = [each for each in actor.methods if _is_name(str(each["name"]))]
    return [_method(each, actor.language, uses, keyword_def) for each in known]


def _classes(bound: BoundType, uses: set[str]) -> list[str]:
    """The stub and the namespace of one type."""
    stub = [
        f"class {bound.type}Stub(holdfast.ActorStub):",
        f'    """One instance of {bound.type}."""',
        *(f"\n{each}" for each in method_stubs(bound, uses)),
        "",
        "    if TYPE_CHECKING:",
        "",
        "        def __getattr__(self, method: str) -> object:  # type: ignore[override]",
        '            """Any other name is no method of it."""',
    ]
    namespace = [
        f"class {bound.type}Namespace(holdfast.ActorNamespace):",
        f'    """The way to the instances of {bound.type}."""',
        "",
        "    if TYPE_CHECKING:",
        "",
        f"        def id_from_name(self, name: str, location_hint: str | None = None) -> {bound.type}Stub: ...",
        "",
        f"        def new_unique_id(self) -> {bound.type}Stub: ...",
    ]
    return ["\n".join(stub), "\n".join(namespace)]


def _env(bound: Sequence[BoundType], texts: Sequence[str]) -> str:
    lines = ["class Env(holdfast.Env):", '    """What holdfast.toml declares."""', ""]
    lines += [f"    {each.binding}: {_namespace(each)}" for each in bound]
    lines += [f"    {name}: str" for name in texts]
    lines += [
        "",
        "    if TYPE_CHECKING:",
        "",
        "        def __getattribute__(self, name: str) -> object:",
        '            """Any other name is not known here."""',
    ]
    return "\n".join(lines)


def _namespace(bound: BoundType) -> str:
    return f"{bound.type}Namespace" if bound.is_known else "holdfast.ActorNamespace"


def _method(facts: Mapping[str, Any], language: str, uses: set[str], keyword_def: str) -> str:
    """A method with its signature and docstring; one whose signature is no Python takes and returns anything."""
    name, doc = str(facts["name"]), str(facts.get("doc") or "").strip()
    signature = _signature(facts, language, uses)
    body = (
        f"        {_docstring(doc)}\n        raise NotImplementedError" if doc else "        raise NotImplementedError"
    )
    return f"    {keyword_def} {name}{signature}:\n{body}"


def known_signature(facts: Mapping[str, Any], language: str, uses: set[str]) -> ast.FunctionDef | None:
    """A method's signature, without `self`, in whose annotations all that is not known is `Any`; notes what is used.

    None where it has none, or one that is no Python.
    """
    text = str(facts.get("signature") or "") if language == "python" else ""
    if not text and isinstance(facts.get("parameters"), list):
        text = python_signature(facts["parameters"]) or ""
    try:
        [function] = ast.parse(f"def method{text}: ...").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    known = _Known(uses)
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for each in every:
        if each is not None:
            each.annotation = known.visit(each.annotation) if each.annotation else ast.Name("Any")
    function.returns = known.visit(function.returns) if function.returns else ast.Name("Any")
    return function


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _docstring(doc: str) -> str:
    text = doc.splitlines()[0].replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{printable(text)}"""'  # another function's author wrote it: it is not to turn this source around


def _signature(facts: Mapping[str, Any], language: str, uses: set[str]) -> str:
    function = known_signature(facts, language, uses)
    if function is None or function.returns is None:
        return "(self, *args: Any, **kwargs: Any) -> Any"
    arguments = function.args
    ellipsis = ast.Constant(...)
    arguments.defaults = [ellipsis for _ in arguments.defaults]
    arguments.kw_defaults = [each and ellipsis for each in arguments.kw_defaults]
    first = arguments.posonlyargs or arguments.args
    first.insert(0, ast.arg("self"))
    written = ast.unparse(arguments).replace("=...", " = ...")
    return f"({written}) -> {ast.unparse(function.returns)}"


class _Known(ast.NodeTransformer):
    """Leaves of an annotation what means the same here, and notes what must be imported for it."""

    def __init__(self, uses: set[str]) -> None:
        self._uses = uses

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in _HOME_OF:
            self._uses.add(node.id)
            return node
        return node if isinstance(getattr(builtins, node.id, None), type) else ast.Name("Any")

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """`datetime.datetime` and the like by their last word."""
        if isinstance(node.value, ast.Name) and _HOME_OF.get(node.attr) == node.value.id:
            return self.visit_Name(ast.Name(node.attr))
        return ast.Name("Any")

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        value = self.visit(node.value)
        if isinstance(value, ast.Name) and value.id == "Any":
            return value
        if not (isinstance(value, ast.Name) and value.id == "Literal"):
            node.slice = self.visit(node.slice)
        node.value = value
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """An annotation in quotes is one all the same."""
        if not isinstance(node.value, str):
            return node
        try:
            return ast.Expression(self.visit(ast.parse(node.value, mode="eval").body)).body
        except (SyntaxError, ValueError):
            return ast.Name("Any")
