"""A project's holdfast.toml and main module, as a local host needs them. What deploying needs is not looked at."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast._actor import StatefulActor
from holdfast._describe import Component

MANIFEST_FILE = "holdfast.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """What `LocalHost` takes."""

    name: str
    actors: dict[str, type[StatefulActor]]
    fetch: Callable[..., Any] | None
    variables: dict[str, str]
    secrets: frozenset[str]  # the names
    check_arguments: bool


def find_project(start: Path) -> Path | None:
    """The nearest directory with a holdfast.toml, upwards from a file or directory."""
    return next((each for each in (start, *start.parents) if (each / MANIFEST_FILE).is_file()), None)


def read_project(directory: Path, references: Mapping[str, type[StatefulActor]]) -> Project:
    """Read holdfast.toml and import the module that its `main` names.

    Raises:
        ValueError: What is missing or does not fit.
    """
    path = directory / MANIFEST_FILE
    try:
        facts = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:  # no file, no UTF-8, no TOML
        raise ValueError(f"{path}: {error}") from None
    main = facts.get("main")
    if not isinstance(main, str) or not (directory / main).is_file():
        raise ValueError(
            f'{path}: main must name the module that exports actors and fetch, like "src/app.py", not {main!r}'
        )
    component = Component.of_module(_imported(directory.resolve(), main))
    actors: dict[str, type[StatefulActor]] = {}
    for entry in facts.get("actors", ()):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("binding", "type")):
            raise ValueError(f"{path}: each [[actors]] has a binding and a type, both strings")
        binding, actor_type = entry["binding"], entry["type"]
        if binding in actors:
            raise ValueError(f"{path}: the binding {binding} is there twice: each name on env is declared once")
        found = component.actors.get(actor_type) or references.get(actor_type)
        if found is None:
            raise ValueError(
                f"{path}: the binding {binding} leads to {actor_type}, which {main} does not export: pass"
                f" references={{{actor_type!r}: the class}}"
            )
        actors[binding] = found
    checks = facts.get("check_arguments", False)
    if not isinstance(checks, bool):
        raise ValueError(f"{path}: check_arguments is true or false, not {checks!r}")  # noqa: TRY004  (as all here)
    variables, secrets = dict(facts.get("vars", {})), _secrets(path, facts.get("secrets", {}))
    return Project(str(facts.get("name", "local")), actors, component.fetch, variables, secrets, checks)


def _secrets(path: Path, table: Any) -> frozenset[str]:
    """The names that `[secrets]` grants."""
    names = table.get("names", []) if isinstance(table, dict) and table.keys() <= {"names"} else None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise ValueError(f'{path}: [secrets] has a list of names, like names = ["API_KEY"], and nothing else')
    return frozenset(names)


def _imported(directory: Path, main: str) -> ModuleType:
    """The module, imported as the build imports it: by its name, from the directory that its package lies in."""
    path = directory / main
    root, names = path.parent, [path.stem]
    while (root / "__init__.py").exists() and root != directory:
        names.insert(0, root.name)
        root = root.parent
    name = ".".join(names)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None:
        name = f"{name}@{path}"  # another project's module of the same name stays where it is
    sys.path.insert(0, str(root))
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    finally:
        sys.path.remove(str(root))
    return module
