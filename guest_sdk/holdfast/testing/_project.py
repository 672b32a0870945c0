"""A project's holdfast.toml and main module, as a local host needs them. What deploying needs is not looked at."""

from __future__ import annotations

import importlib.util
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast._actor import StatefulActor
from holdfast._component.lint import check_bindings
from holdfast._describe import Component, RuleError

MANIFEST_FILE = "holdfast.toml"
REQUIREMENTS_FILE = "requirements.txt"


@dataclass(frozen=True, slots=True)
class Project:
    """What `LocalHost` takes."""

    name: str
    actors: dict[str, type[StatefulActor]]
    absent: dict[str, str]  # optional references that no class was given for: binding and type
    fetch: Callable[..., Any] | None
    variables: dict[str, str]
    secrets: frozenset[str]  # the names
    check_arguments: bool
    outbound: tuple[str, ...] = ()  # what it may ask
    scheduled: Callable[..., Any] | None = None
    crons: tuple[str, ...] = ()  # when `scheduled` runs


def find_project(start: Path) -> Path | None:
    """The nearest directory with a holdfast.toml, upwards from a file or directory."""
    return next((each for each in (start, *start.parents) if (each / MANIFEST_FILE).is_file()), None)


def find_packages(directory: Path) -> None:
    """Have imports find the packages of a project where `holdfast build` put them; what is installed goes before."""
    packages = str(directory.resolve() / "build" / "packages")
    if Path(packages).is_dir() and packages not in sys.path:
        sys.path.append(packages)


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
    find_packages(directory)
    try:
        module = _imported(directory.resolve(), main)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(_what_to_install(directory, facts, error), name=error.name) from error
    component = Component.of_module(module)
    bound, optional = _bound(path, facts.get("actors", ()))
    try:
        check_bindings(module, component, [pair for pair in bound.items() if pair[1] not in references])
    except RuleError as error:
        raise ValueError(f"{path}: {error.message}") from None
    actors: dict[str, type[StatefulActor]] = {}
    absent: dict[str, str] = {}
    for binding, actor_type in bound.items():
        found = component.actors.get(actor_type) or references.get(actor_type)
        if found is None and binding in optional:
            absent[binding] = actor_type
            continue
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
    outbound = facts.get("outbound", {})
    allow = outbound.get("allow", []) if isinstance(outbound, dict) else None
    if not isinstance(allow, list) or not all(isinstance(each, str) for each in allow):
        raise ValueError(f'{path}: [outbound] has a list of texts, like allow = ["https://api.example.com"]')
    name = str(facts.get("name", "local"))
    crons = _crons(path, facts.get("triggers", {}))
    return Project(
        name, actors, absent, component.fetch, variables, secrets, checks, tuple(allow), component.scheduled, crons
    )


def _crons(path: Path, table: Any) -> tuple[str, ...]:
    """When the function runs."""
    crons = table.get("crons", []) if isinstance(table, dict) and table.keys() <= {"crons"} else None
    if not isinstance(crons, list) or not all(isinstance(each, str) for each in crons):
        raise ValueError(f'{path}: [triggers] has a list of cron texts, like crons = ["*/5 * * * *"]')
    return tuple(crons)


def _secrets(path: Path, table: Any) -> frozenset[str]:
    """The names that `[secrets]` grants."""
    names = table.get("names", []) if isinstance(table, dict) and table.keys() <= {"names"} else None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise ValueError(f'{path}: [secrets] has a list of names, like names = ["API_KEY"], and nothing else')
    return frozenset(names)


def _bound(path: Path, entries: Any) -> tuple[dict[str, str], set[str]]:
    """The type of each binding, and those bindings that are optional."""
    bound: dict[str, str] = {}
    optional: set[str] = set()
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("binding", "type")):
            raise ValueError(f"{path}: each [[actors]] has a binding and a type, both strings")
        if entry["binding"] in bound:
            text = f"the binding {entry['binding']} is there twice: each name on env is declared once"
            raise ValueError(f"{path}: {text}")
        bound[entry["binding"]] = entry["type"]
        if entry.get("optional") is True:
            optional.add(entry["binding"])
    return bound, optional


def _what_to_install(directory: Path, facts: Mapping[str, Any], error: ModuleNotFoundError) -> str:
    """What `pip install` is to be told where the project has packages that this Python has not."""
    wanted = [shlex.quote(str(each)) for each in facts.get("dependencies", ())]
    if (directory / REQUIREMENTS_FILE).is_file():
        wanted.append(f"-r {shlex.quote(str(directory / REQUIREMENTS_FILE))}")
    if not wanted or error.name is None or error.name.partition(".")[0] in sys.stdlib_module_names:
        return str(error)
    return (
        f"{error}: tests run in your own Python, so give it what the project depends on: run holdfast build, which puts"
        f" it into build/packages for them, or pip install {' '.join(wanted)}"
    )


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
