"""What a component says of itself, checked: the JSON of the export `describe`. Imports no wasmtime.

It is a guest's text. What passes here is shown to callers, becomes routes, and names rows in the registry.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from holdfast_host.core.errors import InvalidComponentError, InvalidNameError
from holdfast_host.core.ids import check_type_name
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.signatures import CONTRACT_VERSION, is_offered

CODEC_VERSION: Final = 2
METHOD_CHARS_MAX: Final = 64
_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.[0-9]{1,9}")
_HOOKS: Final = frozenset({"alarm", "fetch"})
_RESERVED_METHODS: Final = _HOOKS | {"id", "name"}  # the runtime's, or the stub's own


def check_description(text: bytes, limits: Limits) -> dict[str, Any]:
    """The description with every field there is, or InvalidComponentError that names what is wrong in it."""
    if len(text) > limits.description_bytes_max:
        raise _wrong(f"has {len(text)} bytes, the limit is {limits.description_bytes_max}")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not JSON: {error}") from None
    facts = _object(facts, "is")
    contract = _text(facts, "contract")
    version = _VERSION.fullmatch(contract)
    if version is None or not is_offered(int(version[1]), int(version[2])):
        raise _wrong(f"asks for contract {contract!r}, this host has {CONTRACT_VERSION}")
    codec = facts.get("codec")
    if type(codec) is not int or not 1 <= codec <= CODEC_VERSION:
        raise _wrong(f"asks for value encoding {codec!r}, this host has {CODEC_VERSION}")
    fetch = facts.get("fetch", False)
    if type(fetch) is not bool:
        raise _wrong("has a 'fetch' that is neither true nor false")
    actors = _check_actors(facts.get("actors", []), limits)
    if not actors and not fetch:
        raise _wrong("has neither an actor class nor a fetch")
    development = facts.get("development", False)
    if type(development) is not bool:
        raise _wrong("has a 'development' that is neither true nor false")
    checked = {"contract": contract, "codec": codec, "actors": actors, "fetch": fetch}
    return {**checked, "development": True} if development else checked


def _check_actors(entries: Any, limits: Limits) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise _wrong("has 'actors' that are no list")
    if len(entries) > limits.actor_types_max:
        raise _wrong(f"has {len(entries)} actor types, the limit is {limits.actor_types_max}")
    actors = [_check_actor(entry, limits) for entry in entries]
    _refuse_twice("the actor type", [actor["type"] for actor in actors])
    return actors


def _check_actor(entry: Any, limits: Limits) -> dict[str, Any]:
    facts = _object(entry, "has an actor that is")
    name = _text(facts, "type")
    try:
        check_type_name(name)
    except InvalidNameError as error:
        raise _wrong(f"has a bad actor type: {error.message}") from None
    methods = facts.get("methods", [])
    private = facts.get("private", [])
    if not isinstance(methods, list):
        raise _wrong(f"has 'methods' of {name} that are no list")
    if len(methods) > limits.methods_max:
        raise _wrong(f"has {len(methods)} methods of {name}, the limit is {limits.methods_max}")
    if not isinstance(private, list) or not all(isinstance(each, str) for each in private):
        raise _wrong(f"has 'private' of {name} that is no list of names")
    checked = [_check_method(method, name) for method in methods]
    _refuse_twice(f"the method of {name}", [method["name"] for method in checked])
    actor = {"type": name, "doc": _text(facts, "doc", ""), "methods": checked, "private": private}
    hooks = facts.get("hooks")
    if hooks is None:
        return actor  # it was built when nobody asked: not known
    if not isinstance(hooks, list) or not all(isinstance(each, str) for each in hooks):
        raise _wrong(f"has 'hooks' of {name} that are no list of names")
    return {**actor, "hooks": [each for each in hooks if each in _HOOKS]}


def _check_method(entry: Any, actor_type: str) -> dict[str, str]:
    facts = _object(entry, f"has a method of {actor_type} that is")
    name = _text(facts, "name")
    if not name.isidentifier() or name.startswith("_") or name in _RESERVED_METHODS:
        raise _wrong(f"has a method {name!r} of {actor_type}: not an identifier, or a name that is reserved")
    if len(name) > METHOD_CHARS_MAX:
        raise _wrong(f"has a method of {actor_type} of {len(name)} characters, the limit is {METHOD_CHARS_MAX}")
    return {"name": name, "signature": _text(facts, "signature", ""), "doc": _text(facts, "doc", "")}


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} no JSON object")
    return value


def _text(facts: dict[str, Any], name: str, default: str | None = None) -> str:
    value = facts.get(name, default)
    if not isinstance(value, str):
        raise _wrong(f"has a {name!r} that is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong(f"has a {name!r} with a lone surrogate") from None
    return value


def _refuse_twice(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _wrong(f"has {what} {name!r} twice")
        seen.add(name)


def _wrong(what: str) -> InvalidComponentError:
    return InvalidComponentError(f"the component's description {what}")
