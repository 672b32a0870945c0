"""What annotations say, as far as it can be known: one that names what is not there at run time says nothing.

Nothing here fails: names that only a type checker sees are common, and no reason to refuse a class.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def hints_of(thing: Any) -> dict[str, Any]:
    """The annotations of a function or class, evaluated; those that cannot be are left out."""
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except Exception:
        return _hints_one_by_one(thing)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Its signature, no annotation evaluated that was not; in newer Pythons they are text then."""
    try:
        from annotationlib import Format  # type: ignore[import-not-found,unused-ignore]  # Python 3.14, as in the sandbox
    except ImportError:
        return inspect.signature(function)
    options: dict[str, Any] = {"annotation_format": Format.STRING}
    return inspect.signature(function, **options)


def _hints_one_by_one(thing: Any) -> dict[str, Any]:
    names = getattr(thing, "__globals__", None) or vars(sys.modules.get(getattr(thing, "__module__", ""), sys))
    found: dict[str, Any] = {}
    for name, annotation in _annotations(thing).items():
        one = SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(typing.get_type_hints(one, names, include_extras=True))
        except Exception:  # noqa: S112  (its names are not there)
            continue
    return found


def _annotations(thing: Any) -> dict[str, Any]:
    """As they are written or, in newer Pythons, as far as they can be evaluated."""
    try:
        from annotationlib import Format, get_annotations  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return inspect.get_annotations(thing)
    try:
        return dict(get_annotations(thing, format=Format.FORWARDREF))
    except Exception:
        return {}
