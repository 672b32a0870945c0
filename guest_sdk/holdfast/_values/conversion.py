"""What came as plain JSON, checked and converted to what an annotation asks for.

JSON has no decimals, dates or sets: callers send the plain form that results have too, and an annotation says what is
meant. Nothing is guessed: what loses a digit, or needs a rule that JSON has not, is refused. An annotation that is not
known here asks for nothing.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, NotRequired, Required, Union, get_args, get_origin

from holdfast._values.annotations import hints_of
from holdfast._values.codec import decode_json
from holdfast._values.hash_flooding import check_hashes
from holdfast._values.leaf_conversion import LEAVES, NOTHING, Converter, leaf, refuse, shown
from holdfast._values.misfits import MisfitError, key_step

Known = dict[Any, Converter]  # records by their class: one may hold itself


def converter_of(annotation: Any, known: Known) -> Converter | None:
    """What an annotation asks for; None for one that asks for nothing, or that is not known here."""
    found = LEAVES.get(annotation) if isinstance(annotation, type) else None
    if found is not None:
        return found
    if annotation is None:
        return LEAVES[NoneType]
    if isinstance(annotation, NewType):
        return converter_of(annotation.__supertype__, known)
    alias = getattr(typing, "TypeAliasType", None)
    if alias is not None and isinstance(annotation, alias):
        return converter_of(annotation.__value__, known)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, Required, NotRequired):
        return converter_of(arguments[0], known)
    if origin is Literal:
        return _literal(arguments)
    if origin is Union or origin is UnionType:
        return _union([converter_of(each, known) for each in arguments])
    kind = CONTAINERS.get(origin or annotation) if isinstance(origin or annotation, type) else None
    if kind is not None:
        return _container(kind, arguments, known)
    return _class(annotation, known) if isinstance(annotation, type) else None


def optional(converter: Converter | None) -> Converter | None:
    """The same, or None: as with `n: int = None`."""
    if converter is None or NoneType in converter.exact:
        return converter
    return _union([converter, LEAVES[NoneType]])


def _class(kind: type, known: Known) -> Converter | None:
    if kind in known:
        return known[kind]
    if issubclass(kind, Enum):
        return _enum(kind)
    if is_dataclass(kind):
        own = [each for each in fields(kind) if each.init]
        required = {each.name for each in own if each.default is MISSING and each.default_factory is MISSING}
        return _record(kind, [each.name for each in own], required, known)
    if typing.is_typeddict(kind):
        hints = hints_of(kind)  # as text, which Python's own __required_keys__ does not read
        required = set(kind.__required_keys__)  # type: ignore[attr-defined]
        required |= {name for name, hint in hints.items() if get_origin(hint) is Required}
        required -= {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
        return _record(kind, [*hints], required, known)
    return None


# Choices.


def _union(members: list[Converter | None]) -> Converter | None:
    """The first member that takes the value as it is, or else that converts it."""
    known = [each for each in members if each is not None]
    if len(known) != len(members):
        return None
    words = " or ".join(dict.fromkeys(each.words for each in known))

    def convert(value: Any) -> Any:
        closest: MisfitError | None = None
        for each in known:
            try:
                return _tried(each, value)
            except MisfitError as misfit:
                closest = misfit if closest is None or misfit.depth > closest.depth else closest
        try:
            if closest is not None and closest.depth:
                raise closest  # what is wrong inside says more than that the whole fits nothing
            refuse(value, words)
        finally:
            del closest  # it holds this frame

    return Converter(words, frozenset().union(*(each.exact for each in known)), convert)


_Attempts = dict[tuple[int, int], tuple[Any, Any, MisfitError | None]]  # by converter and value, which is kept alive
_attempts: Final[ContextVar[_Attempts | None]] = ContextVar("attempts", default=None)


def _tried(converter: Converter, value: Any) -> Any:
    """What a member of a union makes of a value, worked out once for each part of the value.

    Members that hold the same union would try the parts for every way there: twice the work with every level.
    """
    if type(value) is not dict and type(value) is not list:
        return converter(value)
    known, key = _attempts.get(), (id(converter), id(value))
    attempts: _Attempts = {} if known is None else known
    outermost = _attempts.set(attempts) if known is None else None
    try:
        if key not in attempts:
            try:
                attempts[key] = value, converter(value), None
            except MisfitError as misfit:
                attempts[key] = value, None, misfit.again()
        _, found, refusal = attempts[key]
    finally:
        if outermost is not None:
            _attempts.reset(outermost)
    if refusal is not None:
        raise refusal.again()
    return found


def _literal(values: tuple[Any, ...]) -> Converter:
    plain = [each.value if isinstance(each, Enum) else each for each in values]
    by_value = {(type(given), given): value for given, value in zip(plain, values, strict=True)}
    words = "one of " + ", ".join(map(shown, plain))
    return Converter(words, NOTHING, lambda value: _chosen(by_value, value, words))


def _enum(kind: type[Enum]) -> Converter:
    """By the value of a member, or by its name where its value is nothing that JSON has."""
    by_value: dict[tuple[type, Any], Enum] = {}
    for member in kind:
        plain = isinstance(member.value, (str, int, float, bool, NoneType))
        given = member.value if plain else member.name
        by_value[type(given), given] = member
    words = "one of " + ", ".join(shown(given) for _, given in by_value)
    return Converter(words, NOTHING, lambda value: _chosen(by_value, value, words))


def _chosen(by_value: Mapping[tuple[type, Any], Any], value: Any, words: str) -> Any:
    if type(value) is not list and type(value) is not dict:
        key = (type(value), value)
        if key in by_value:
            return by_value[key]
    return refuse(value, words)


# Containers.

CONTAINERS: Final[dict[Any, type]] = {
    **dict.fromkeys((list, Sequence, MutableSequence, Iterable, Collection), list),
    **dict.fromkeys((dict, Mapping, MutableMapping), dict),
    **dict.fromkeys((set, AbstractSet), set),
    frozenset: frozenset,
    tuple: tuple,
}


def _container(kind: type, arguments: tuple[Any, ...], known: Known) -> Converter:
    if kind is dict:
        key, part = (converter_of(each, known) for each in arguments or (Any, Any))
        return _dict(key, part)
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        return _fixed_tuple([converter_of(each, known) for each in arguments if each != ()])
    part = converter_of(arguments[0], known) if arguments else None
    if kind is list and part is None:
        return leaf(list, "an array")

    def convert(value: Any) -> Any:
        if type(value) is not list:
            refuse(value, "an array")
        parts = value if part is None else _parts(value, [part] * len(value))
        if kind is list or kind is tuple:
            return kind(parts)
        try:
            check_hashes(parts)
            return kind(parts)
        except TypeError:
            raise MisfitError("holds an array or an object, which no set can") from None

    return Converter("an array", NOTHING, convert)


def _parts(value: list[Any], converters: Sequence[Converter | None]) -> list[Any]:
    found: list[Any] = []
    try:
        for part, converter in zip(value, converters, strict=True):
            found.append(part if converter is None else converter(part))
    except MisfitError as misfit:
        misfit.within(f"[{len(found)}]")
        raise
    return found


def _fixed_tuple(converters: list[Converter | None]) -> Converter:
    words = f"an array of {len(converters)}"

    def convert(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(converters):
            refuse(value, words, f", it has {len(value)}" if type(value) is list else "")
        return tuple(_parts(value, converters))

    return Converter(words, NOTHING, convert)


def _dict(key: Converter | None, part: Converter | None) -> Converter:
    if (key is None or key.exact == {str}) and part is None:
        return leaf(dict, "an object")

    def convert(value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            refuse(value, "an object")
        pairs: list[tuple[Any, Any]] = []
        name = ""
        try:
            for name, each in value.items():
                pairs.append((name if key is None else _to_key(key, name), each if part is None else part(each)))
        except MisfitError as misfit:
            misfit.within(key_step(name))
            raise
        check_hashes([key for key, _ in pairs])
        found = dict(pairs)
        if len(found) != len(value):
            raise MisfitError("has two keys that are equal")
        return found

    return Converter("an object", NOTHING, convert)


def _to_key(converter: Converter, name: str) -> Any:
    """A key as it is, or as the JSON that stands in it: `"1"` is the plain form of 1."""
    try:
        found = converter(name)
    except MisfitError:
        try:
            found = converter(decode_json(name))
        except ValueError:
            raise MisfitError(f"has a key that is not {converter.words}") from None
    try:
        hash(found)
    except TypeError:
        raise MisfitError("has a key that holds an array or an object") from None
    return found


def _record(kind: Any, names: Sequence[str], required: AbstractSet[str], known: Known) -> Converter:
    """A dataclass or a TypedDict, from an object with its fields."""
    parts: dict[str, Converter | None] = dict.fromkeys(names)
    words = f"an object with the fields of {kind.__name__} ({', '.join(names)})"

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            refuse(value, words)
        for name in value.keys() - parts.keys():
            raise MisfitError(f"has {name!r:.80}, which is no field of {kind.__name__} ({', '.join(names)})")
        for name in required - value.keys():
            raise MisfitError(f"has no {name!r}, which {kind.__name__} needs")
        found: dict[str, Any] = {}
        name = ""
        try:
            for name, part in value.items():
                converter = parts[name]
                found[name] = part if converter is None else converter(part)
        except MisfitError as misfit:
            misfit.within(key_step(name))
            raise
        try:
            return kind(**found)
        except (ValueError, TypeError) as error:  # what its own __post_init__ says
            raise MisfitError(f"is no {kind.__name__}: {error}") from None

    converter = known[kind] = Converter(words, NOTHING, convert)
    hints = hints_of(kind)
    parts.update({name: converter_of(hints[name], known) for name in names if name in hints})
    return converter
