"""What a component says of itself, checked: the JSON of the export `describe`. Imports no wasmtime.

It is a guest's text. What passes here is shown to callers, becomes routes, and names rows in the registry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from holdfast_host.core.errors import InvalidComponentError, InvalidNameError
from holdfast_host.core.ids import check_type_name
from holdfast_host.core.json_text import is_nested_deeper
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.parameters import BadParametersError, check_parameters
from holdfast_host.sandbox.signatures import (
    CONTRACT_VERSION,
    FUNCTION_HANDLERS,
    HANDLERS,
    minor_of,
    taken_names,
)

CODEC_VERSION: Final = 2
METHOD_CHARS_MAX: Final = 64
_NESTING_MAX: Final = 100  # by the contract; what an operator allows of arguments and results is another matter
_LANGUAGE: Final = re.compile(r"[a-z][a-z0-9+#._-]{0,31}")


def check_description(text: bytes, limits: Limits) -> dict[str, Any]:
    """The description as one of today says it, or InvalidComponentError that names what is wrong in it.

    What it says of itself in an older way (`hooks`, `fetch`) stands under the newer name. A type of contract 1.0 that
    does not say which handlers it has says nothing here either.
    """
    if len(text) > limits.description_bytes_max:
        raise _wrong(f"has {len(text)} bytes, the limit is {limits.description_bytes_max}")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"is not JSON: {error}") from None
    if is_nested_deeper(text, _NESTING_MAX):
        raise _wrong(f"is nested deeper than the limit of {_NESTING_MAX}")
    facts = _object(facts, "is")
    _check_sayable(facts)
    contract = _text(facts, "contract")
    minor = minor_of(contract)
    if minor is None:
        raise _wrong(f"asks for contract {contract!r}, this host has {CONTRACT_VERSION}")
    codec = facts.get("codec")
    if type(codec) is not int or not 1 <= codec <= CODEC_VERSION:
        raise _wrong(f"asks for value encoding {codec!r}, this host has {CODEC_VERSION}")
    fetch = facts.get("fetch", False)
    if type(fetch) is not bool:
        raise _wrong("has a 'fetch' that is neither true nor false")
    told = facts.get("handlers", ["fetch"] if fetch and minor == 0 else [])
    handlers = _check_handlers("'handlers'", told, FUNCTION_HANDLERS)
    actors = _check_actors(facts.get("actors", []), minor, limits)
    if not actors and not handlers:
        raise _wrong("has neither an actor class nor a fetch")
    development = facts.get("development", False)
    if type(development) is not bool:
        raise _wrong("has a 'development' that is neither true nor false")
    checked: dict[str, Any] = {"contract": contract, "codec": codec, "actors": actors, "handlers": handlers}
    if "language" in facts:
        checked["language"] = _check_language(_text(facts, "language"))
    return {**checked, "development": True} if development else checked


def _check_actors(entries: Any, minor: int, limits: Limits) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise _wrong("has 'actors' that are no list")
    if len(entries) > limits.actor_types_max:
        raise _wrong(f"has {len(entries)} actor types, the limit is {limits.actor_types_max}")
    actors = [_check_actor(entry, minor, limits) for entry in entries]
    _refuse_twice("the actor type", [actor["type"] for actor in actors])
    return actors


def _check_actor(entry: Any, minor: int, limits: Limits) -> dict[str, Any]:
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
    checked = [_check_method(method, name, minor) for method in methods]
    _refuse_twice(f"the method of {name}", [method["name"] for method in checked])
    actor = {"type": name, "doc": _text(facts, "doc", ""), "methods": checked, "private": private}
    key = "hooks" if "handlers" not in facts and minor == 0 else "handlers"
    told = facts.get(key, None if minor == 0 else [])
    if told is None:
        return actor  # it was built when nobody asked: not known
    return {**actor, "handlers": _check_handlers(f"{key!r} of {name}", told, HANDLERS)}


def _check_handlers(what: str, told: Any, known: Iterable[str]) -> list[str]:
    """Those that this host can call."""
    if not isinstance(told, list) or not all(isinstance(each, str) for each in told):
        raise _wrong(f"has {what} that are no list of names")
    return [each for each in known if each in told]


def _check_method(entry: Any, actor_type: str, minor: int) -> dict[str, Any]:
    facts = _object(entry, f"has a method of {actor_type} that is")
    name = _text(facts, "name")
    if not name.isidentifier() or name.startswith("_"):
        raise _wrong(f"has a method {name!r} of {actor_type}, which is no identifier, or begins with an underscore")
    if name in taken_names(minor):
        raise _wrong(f"has a method {name!r} of {actor_type}, a name that no method may have: give it another one")
    if len(name) > METHOD_CHARS_MAX:
        raise _wrong(f"has a method of {actor_type} of {len(name)} characters, the limit is {METHOD_CHARS_MAX}")
    method = {"name": name, "signature": _text(facts, "signature", ""), "doc": _text(facts, "doc", "")}
    if "parameters" not in facts:
        return method
    try:
        return {**method, "parameters": check_parameters(facts["parameters"])}
    except BadParametersError as error:
        raise _wrong(f"has bad 'parameters' of {actor_type}.{name}: {error}") from None


def _check_language(language: str) -> str:
    if not _LANGUAGE.fullmatch(language):
        raise _wrong(f"has a 'language' {language!r:.80}: it is a word of at most 32 characters, such as 'python'")
    return language


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} no JSON object")
    return value


def _text(facts: dict[str, Any], name: str, default: str | None = None) -> str:
    value = facts.get(name, default)
    if not isinstance(value, str):
        raise _wrong(f"has a {name!r} that is no text")
    return value


def _check_sayable(facts: dict[str, Any]) -> None:
    """It is told to everybody, as UTF-8."""
    try:
        json.dumps(facts, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise _wrong("has a text with a lone surrogate") from None
    except ValueError:
        raise _wrong("has a number that JSON has not") from None


def _refuse_twice(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _wrong(f"has {what} {name!r} twice")
        seen.add(name)


def _wrong(what: str) -> InvalidComponentError:
    return InvalidComponentError(f"the component's description {what}")
