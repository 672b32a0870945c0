"""Writing values that are not plain JSON as they are, part by part: the typed text, and the plain one.

Each part becomes its text at once, so that the work is proportional to the text: nothing is written, looked at, and
written again, but the texts of a set, which are put in order.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from holdfast._values.datetimes import datetime_text, time_text
from holdfast._values.hash_flooding import check_hashes
from holdfast._values.json_escapes import string_text
from holdfast._values.misfits import MisfitError, key_step
from holdfast._values.tags import TAG
from holdfast._values.unsupported import base_value, refusal_of

NESTING_MAX: Final = 100  # of the text, as the host bounds it: deeper JSON would overflow a C stack

_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})


class _Writer:
    """Writes one value. Lives for that; MisfitError where a part of it has no encoding."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def write(self, value: Any, depth: int = 0) -> str:
        """The value's text; `depth` counts the containers of the text around it."""
        kind = type(value)
        if kind is str:
            return string_text(value)
        if kind is int:
            try:
                return int.__repr__(value)
            except ValueError:  # more than 4,300 digits: Python writes them in hexadecimal alone
                return self.integer(value)
        if kind is bool or value is None:
            return "null" if value is None else "true" if value else "false"
        if kind is float:
            return float.__repr__(value) if math.isfinite(value) else self.infinite(value)
        if kind in _CONTAINERS:
            return self._container(value, kind, depth)
        if kind in LEAF_TEXTS:
            return self.leaf(kind, value)
        base = base_value(value)
        if base is value:
            raise MisfitError(refusal_of(value))
        return self.write(base, depth)

    def _container(self, value: Any, kind: type, depth: int) -> str:
        if id(value) in self._open:
            raise MisfitError("contains itself: a cycle cannot be stored or passed")
        self._open.add(id(value))
        try:
            return self.dict(value, depth) if kind is dict else self.sequence(kind, value, depth)
        finally:
            self._open.discard(id(value))

    def parts(self, value: Iterable[Any], depth: int) -> list[str]:
        """The texts of a sequence's parts; `depth` is where the array itself stands."""
        check_depth(depth + 1)
        texts: list[str] = []
        try:
            texts.extend(self.write(part, depth + 1) for part in value)  # as far as it comes
        except MisfitError as misfit:
            misfit.within(f"[{len(texts)}]")
            raise
        return texts

    def pairs(self, value: dict[Any, Any], depth: int, write_key: Callable[[Any, int], str]) -> list[tuple[str, str]]:
        """The texts of a dict's keys and parts; `depth` is where they stand themselves."""
        check_depth(depth)
        texts: list[tuple[str, str]] = []
        key, name = None, ""
        try:
            for key, part in value.items():
                name = ""
                name = write_key(key, depth)
                texts.append((name, self.write(part, depth)))
        except MisfitError as misfit:
            misfit.within(key_step(key) if name else ".keys")
            raise
        return texts

    def integer(self, value: int) -> str:
        raise NotImplementedError

    def infinite(self, value: float) -> str:
        raise NotImplementedError

    def leaf(self, kind: type, value: Any) -> str:
        raise NotImplementedError

    def dict(self, value: dict[Any, Any], depth: int) -> str:
        raise NotImplementedError

    def sequence(self, kind: type, value: Any, depth: int) -> str:
        raise NotImplementedError


class TypedWriter(_Writer):
    """Writes what `tags` reads."""

    def integer(self, value: int) -> str:
        return _tagged("int", f'"{value:x}"')

    def infinite(self, value: float) -> str:
        return _tagged("float", f'"{value!r}"')

    def leaf(self, kind: type, value: Any) -> str:
        return _tagged(kind.__name__.lower(), LEAF_TEXTS[kind](value))

    def dict(self, value: dict[Any, Any], depth: int) -> str:
        if all(type(key) is str for key in value) and TAG not in value:
            return "{" + ",".join([f"{key}:{part}" for key, part in self.pairs(value, depth + 1, _name_text)]) + "}"
        check_hashes(value)
        bare = {base_value(key): part for key, part in value.items()}
        if len(bare) != len(value):
            raise MisfitError("has two keys that are equal once they are stored as plain str, int or float")
        if any(type(key) is not type(given) for key, given in zip(bare, value, strict=True)):
            return self.dict(bare, depth)
        pairs = [f"[{key},{part}]" for key, part in self.pairs(value, depth + 3, self.write)]
        return _tagged("dict", f"[{','.join(pairs)}]")

    def sequence(self, kind: type, value: Any, depth: int) -> str:
        if kind is list:
            return f"[{','.join(self.parts(value, depth))}]"
        if kind is not tuple:
            check_hashes(value)
        parts = self.parts(value, depth + 1)
        if kind is not tuple:
            parts.sort()  # equal sets have equal texts
        return _tagged(kind.__name__, f"[{','.join(parts)}]")


class PlainWriter(_Writer):
    """Writes what callers read who know JSON only."""

    def integer(self, value: int) -> str:
        return f'"{value:#x}"'

    def infinite(self, value: float) -> str:
        return "null"

    def leaf(self, kind: type, value: Any) -> str:
        if kind is timedelta:
            return repr(value.total_seconds())
        if kind is datetime or kind is time:
            return f'"{value.isoformat()}"'  # ISO 8601 knows no names of zones
        return LEAF_TEXTS[kind](value)

    def dict(self, value: dict[Any, Any], depth: int) -> str:
        pairs = self.pairs(value, depth + 1, self._name)
        if len(pairs) != len({name for name, _ in pairs}):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            raise MisfitError(f"has two keys that are {json.loads(twice)!r:.80} in JSON")
        return "{" + ",".join([f"{name}:{part}" for name, part in pairs]) + "}"

    def _name(self, key: Any, depth: int) -> str:
        text = string_text(key) if type(key) is str else self.write(key, depth)
        return text if text.startswith('"') else string_text(text)

    def sequence(self, kind: type, value: Any, depth: int) -> str:
        parts = self.parts(value, depth)
        if kind is set or kind is frozenset:
            parts.sort()
        return f"[{','.join(parts)}]"


def check_depth(depth: int) -> None:
    """Refuse what is nested too deep."""
    if depth > NESTING_MAX:
        raise MisfitError(f"is nested deeper than the limit of {NESTING_MAX} levels")


def _tagged(tag: str, text: str) -> str:
    return f'{{"{TAG}":"{tag}","v":{text}}}'


def _name_text(key: str, _depth: int) -> str:
    return string_text(key)


# A leaf's `v` as JSON.
LEAF_TEXTS: Final[dict[type, Callable[[Any], str]]] = {
    bytes: lambda value: f'"{base64.b64encode(value).decode("ascii")}"',
    date: lambda value: f'"{value.isoformat()}"',
    datetime: lambda value: string_text(datetime_text(value)),  # the name of a zone may be any text
    time: lambda value: string_text(time_text(value)),
    timedelta: lambda value: f"[{value.days},{value.seconds},{value.microseconds}]",
    Decimal: lambda value: f'"{value}"',
    UUID: lambda value: f'"{value}"',
}
