"""`[env.NAME]` of a manifest: what one environment says in place of what the file says for all.

An environment gives other values to what the file declares, and declares nothing new. So the sources, the types of env,
the tests and the component's bytes are the same in all of them; only what the host is told differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

ENVIRONMENTS_MAX: Final = 16

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MERGED: Final = ("vars", "limits")  # key by key
_REPLACED: Final = ("name", "outbound", "sockets", "cors", "triggers")  # whole
_KEYS: Final = ("name", "actors", *_MERGED, *_REPLACED[1:])
_ENTRY_KEYS: Final = ("binding", "type", "optional")
_REFUSED: Final = {
    **dict.fromkeys(
        ("main", "compatibility_date", "check_arguments", "dependencies"), "it is the same in every environment"
    ),
    "secrets": "each host keeps its own values under the names in [secrets]",
    "deploy": "the identity of an environment's function is kept for each host, outside this file",
    "env": "an environment has none of its own",
}


class EnvironmentsError(ValueError):
    """What `[env]` may not say, as the rest of a sentence that begins with the file's name."""


def check_environments(document: Mapping[str, Any]) -> None:
    """Look at the keys of all environments; their values are those of the manifest, and looked at where one is chosen.

    Args:
        document: A manifest, whose other tables keep the rules.

    Raises:
        EnvironmentsError: one names what it may not, or what the file does not declare.
    """
    environments = document.get("env", {})
    if not isinstance(environments, dict):
        raise EnvironmentsError("has env as no table: write [env.staging]")
    if len(environments) > ENVIRONMENTS_MAX:
        raise EnvironmentsError(f"has {len(environments)} environments, the limit is {ENVIRONMENTS_MAX}")
    variables = document.get("vars", {})
    bindings = {each["binding"] for each in document.get("actors", ())}
    for name, table in environments.items():
        if not _NAME.fullmatch(name):
            raise EnvironmentsError(f"has the environment {name!r:.100}: a name is like staging, {_NAME.pattern}")
        _check_table(f"env.{name}", table, _KEYS)
        for key in _MERGED:
            if not isinstance(table.get(key, {}), dict):
                raise EnvironmentsError(f"has env.{name}.{key} as no table: write [env.{name}.{key}]")
        for variable in table.get("vars", ()):
            if variable not in variables:
                raise EnvironmentsError(
                    f"has env.{name}.vars.{variable}, which [vars] does not have: give it a value there too"
                )
        _check_entries(name, table.get("actors", []), bindings)


def in_environment(document: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """The manifest as it is in an environment, without `env`; None: in none of them.

    Args:
        document: A manifest that `check_environments` has looked at.
        name: Which.

    Raises:
        EnvironmentsError: there is no such environment.
    """
    plain = {key: value for key, value in document.items() if key != "env"}
    if name is None:
        return plain
    environments: Mapping[str, Any] = document.get("env", {})
    if name not in environments:
        known = f"it has {', '.join(sorted(environments))}" if environments else f"add a table [env.{name}]"
        raise EnvironmentsError(f"has no environment {name!r:.100}: {known}")
    plain.pop("deploy", None)  # the identity of another function, or of this one on another host
    overrides = environments[name]
    plain |= {key: overrides[key] for key in _REPLACED if key in overrides}
    plain |= {key: {**plain.get(key, {}), **overrides[key]} for key in _MERGED if key in overrides}
    entries = {each["binding"]: each for each in overrides.get("actors", ())}
    if entries:
        plain["actors"] = [_overridden(each, entries.get(each["binding"], {})) for each in plain["actors"]]
    return plain


def _overridden(entry: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """An `[[actors]]` entry; of another type it says nothing of what the first one was renamed from."""
    kept = {key: value for key, value in entry.items() if key != "renamed_from" or "type" not in override}
    return {**kept, **override}


def _check_entries(name: str, entries: Any, bindings: set[str]) -> None:
    if not isinstance(entries, list):
        raise EnvironmentsError(f"has env.{name}.actors as no tables: write [[env.{name}.actors]]")
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        where = f"env.{name}.actors ({number})"
        _check_table(where, entry, _ENTRY_KEYS)
        binding = entry.get("binding")
        if not isinstance(binding, str) or binding not in bindings:
            known = ", ".join(sorted(bindings)) or "none"
            raise EnvironmentsError(
                f"has {where}.binding = {binding!r:.100}, which no [[actors]] has; they have: {known}"
            )
        if binding in seen:
            raise EnvironmentsError(f"has the binding {binding} twice in env.{name}.actors")
        seen.add(binding)


def _check_table(where: str, table: Any, known: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise EnvironmentsError(f"has {where} as no table")
    for key in table:
        if key not in known:
            if key in _REFUSED and known is _KEYS:
                raise EnvironmentsError(f"has {where}.{key}, which no environment overrides: {_REFUSED[key]}")
            raise EnvironmentsError(f"has the unknown key {where}.{key}; known here: {', '.join(known)}")
