"""Values of every kind that the encoding has, made by hypothesis, and how two of them are compared."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from typing import Any

from hypothesis import strategies as st


def paired(text: str) -> str:
    """Two halves of one character, side by side, are that character in every text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


# Lone surrogates are text too: some languages can hold them.
TEXTS = st.text(st.characters(), max_size=12).map(paired) | st.sampled_from(["$hf", "v", "\ud800", "", "é", '"$hf"'])
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
ZONES = st.none() | OFFSETS.map(timezone) | st.builds(timezone, OFFSETS, TEXTS)
FOLDS = st.integers(0, 1)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-20, 20).map(lambda digits: 10 ** (4300 + digits))
    | st.floats()
    | TEXTS
    | st.binary(max_size=12)
    | st.builds(lambda at, fold: at.replace(fold=fold), st.datetimes(timezones=ZONES), FOLDS)
    | st.dates()
    | st.builds(lambda at, fold: at.replace(fold=fold), st.times(timezones=ZONES), FOLDS)
    | st.timedeltas()
    | st.decimals().filter(lambda value: not value.is_snan())  # cannot be in a set
    | st.uuids()
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4)
    ),
    max_leaves=12,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value with the types of all its parts, comparable where they themselves are not (NaN, -0.0, 1 and True)."""
    kind = type(value)
    if kind in (list, tuple):
        return (kind, [shape(part) for part in value])
    if kind in (set, frozenset):
        return (kind, sorted((shape(part) for part in value), key=repr))
    if kind is dict:
        return (kind, [(shape(key), shape(part)) for key, part in value.items()])
    if kind is int:
        return (kind, hex(value))
    if kind is datetime or kind is time:
        return (kind, value.isoformat(), value.fold, value.tzname())
    return (kind, repr(value))
