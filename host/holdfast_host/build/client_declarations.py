"""Typed declarations for the JavaScript client, as TypeScript text: `new Client<Actors>()` knows each type's methods.

Made from what `GET /v1/actors` says, as the Python classes of `client_types` are. All names of a host stand as names of
properties, so none of them can hide one of TypeScript's own.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast_host.build.bindings import BoundType, known_signature
from holdfast_host.core.terminal_text import printable

CLIENT_FILES: Final = ("holdfast.js", "holdfast.d.ts")

_TOP: Final = """\
// Types of actors, for the client in holdfast.js: `new Client<Actors>(url).actor("Account", "alice").deposit(5)`.
// Written by `holdfast types --client`, which replaces it. An integer beyond 2^53 comes as a bigint, in spite of them.

import type * as holdfast from "./holdfast.js"

"""
# What the client has on each actor, and what JavaScript looks for: a method of that name is called with `call`.
_TAKEN: Final = frozenset(
    {"type", "name", "with", "once", "call", "socket", "events", "toString", "valueOf", "toJSON", "constructor", "then"}
)
_RESERVED: Final = re.compile(
    "arguments|await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|eval|export|extends|"
    "false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|"
    "public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield"
)
_NAME: Final = re.compile(r"[^\W\d]\w*")
_LEAVES: Final = {
    "bool": "boolean",
    "float": "number",
    "str": "string",
    "bytes": "Uint8Array",
    "date": "holdfast.DateOnly",
    "time": "holdfast.TimeOnly",
    "timedelta": "holdfast.Duration",
    "Decimal": "holdfast.Decimal",
    "UUID": "holdfast.Uuid",
    "None": "null",
}
_SENT: Final = {"int": "number | bigint", "datetime": "holdfast.DateTime | Date"}
_COME: Final = {"int": "number", "datetime": "holdfast.DateTime"}
_ARRAYS: Final = frozenset({"list", "List", "Sequence", "Iterable", "Iterator", "Collection"})
_SETS: Final = frozenset({"set", "Set"})
_MAPS: Final = frozenset({"dict", "Dict", "Mapping"})


def render_declarations(types: Sequence[BoundType]) -> str:
    """The module's text; of types that have the same name the last one counts."""
    by_name = {each.type: each for each in types}
    actors = [_actor(by_name[name]) for name in sorted(by_name)]
    return f"{_TOP}export interface Actors {{\n" + "\n".join(actors) + "\n}\n"


def _actor(actor: BoundType) -> str:
    lines = [line for each in actor.methods for line in _method(actor, each)]
    own = "\n".join(["{", *(f"    {line}" for line in lines), "  }"]) if lines else "{}"
    name = json.dumps(actor.type)
    return f"  {name}: {own} & holdfast.Actor"


def _method(actor: BoundType, facts: Any) -> list[str]:
    """A method by position, and, where names alone will do for some of it, as what `call` takes."""
    name = str(facts["name"])
    if not name.isidentifier() or not _NAME.fullmatch(name):
        return []
    function = known_signature(facts, actor.language, set())
    if function is None:
        return [*_comment(facts), f"{name}(...args: holdfast.Sent[]): Promise<any>"] if _is_free(name) else []
    arguments, result = function.args, _ts(function.returns, sent=False)
    lines = []
    if _is_free(name) and None not in arguments.kw_defaults:
        lines.append(f"{name}({_by_position(arguments)}): Promise<{result}>")
    if (arguments.kwonlyargs or not lines) and not arguments.posonlyargs:
        named = _by_name(arguments)
        mark = "" if any("?:" not in each for each in named) else "?"
        args = f"{{ {'; '.join(named)} }}" if named else "{}"
        lines.append(f"call(method: {json.dumps(name)}, args{mark}: {args}): Promise<{result}>")
    return [*_comment(facts), *lines] if lines else []


def _is_free(name: str) -> bool:
    return name not in _TAKEN and not name.startswith("_")


def _by_position(arguments: ast.arguments) -> str:
    every = [*arguments.posonlyargs, *arguments.args]
    required = len(every) - len(arguments.defaults)
    written = [
        f"{_parameter(each.arg)}{'' if number < required else '?'}: {_ts(each.annotation, sent=True)}"
        for number, each in enumerate(every)
    ]
    if (rest := arguments.vararg) is not None:
        written.append(f"...{_parameter(rest.arg)}: {_array(_ts(rest.annotation, sent=True))}")
    return ", ".join(written)


def _by_name(arguments: ast.arguments) -> list[str]:
    required = len(arguments.args) - len(arguments.defaults)
    missing = [*(number >= required for number in range(len(arguments.args)))]
    missing += [default is not None for default in arguments.kw_defaults]
    every = [*arguments.args, *arguments.kwonlyargs]
    return [
        f"{each.arg}{'?' if may else ''}: {_ts(each.annotation, sent=True)}"
        for each, may in zip(every, missing, strict=True)
    ]


def _parameter(name: str) -> str:
    return f"{name}_" if _RESERVED.fullmatch(name) else name


def _comment(facts: Any) -> list[str]:
    lines = str(facts.get("doc") or "").strip().splitlines()
    return [f"/** {printable(lines[0]).replace('*/', '* /')} */"] if lines else []


def _ts(annotation: ast.expr | None, *, sent: bool) -> str:
    """An annotation as TypeScript has it: of what is sent, or of what comes."""
    part: Callable[[ast.expr], str] = lambda node: _ts(node, sent=sent)  # noqa: E731 it carries `sent` along
    unknown = "holdfast.Sent" if sent else "any"
    match annotation:
        case ast.Constant(value=None):
            return "null"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([part(left), part(right)])
        case ast.Name(id=name):
            known = {**_LEAVES, **(_SENT if sent else _COME)}
            return known[name] if name in known else _generic(name, [], unknown, sent=sent)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=members):
            every = members.elts if isinstance(members, ast.Tuple) else [members]
            texts = [_literal(each) for each in every]
            return unknown if None in texts else _union([text for text in texts if text])
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _union([part(inner), "null"])
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return _union([part(each) for each in members])
        case ast.Subscript(value=ast.Name(id="tuple" | "Tuple"), slice=inner):
            every = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            of = [part(each) for each in every if not (isinstance(each, ast.Constant) and each.value is ...)]
            return f"holdfast.Tuple<{_union(of) or 'never'}>"
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            every = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(name, every, unknown, sent=sent)
    return unknown


def _generic(name: str, inner: list[ast.expr], unknown: str, *, sent: bool) -> str:
    parts = [_ts(each, sent=sent) for each in inner]
    first = parts[0] if parts else unknown
    if name in _ARRAYS:
        return f"{'readonly ' if sent else ''}{_array(first)}"
    if name in _SETS:
        return f"{'Readonly' if sent else ''}Set<{first}>"
    if name in {"frozenset", "FrozenSet"}:
        return f"holdfast.FrozenSet<{first}>"
    if name in {"tuple", "Tuple"}:
        return f"holdfast.Tuple<{unknown}>"
    if name not in _MAPS:
        return unknown
    if len(parts) != 2:
        return f"{{ [key: string]: {unknown} }}"
    key, value = parts
    if key == "string":
        return f"{{ [key: string]: {value} }}"
    # A dict without keys comes as an object: nobody knows of what kind they would be.
    return f"ReadonlyMap<{key}, {value}>" if sent else f"Map<{key}, {value}> | Record<string, never>"


def _array(of: str) -> str:
    return f"({of})[]" if " " in of and not of.startswith("{") else f"{of}[]"


def _union(parts: Sequence[str]) -> str:
    return " | ".join(dict.fromkeys(each for part in parts for each in _alternatives(part)))


def _alternatives(text: str) -> list[str]:
    """The parts of a union; one whose bars stand inside of brackets is a part itself."""
    return text.split(" | ") if not set("{<(") & set(text) and '"' not in text else [text]


def _literal(node: ast.expr) -> str | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return json.dumps(value) if value is None or type(value) in (str, int, bool) else None
