"""holdfast.toml: what it may say, and one sentence for every way to get it wrong.

The same rules hold for a project that is built, for the manifest part of a deploy, and for the manifest that is derived
where a bare component comes without one. Strangers write manifests, and the supervisor reads them: that takes time in
proportion to their length. The only importer of rtoml, which it imports where it reads a text: commands that only talk
to a host do without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Final

from holdfast_host.core.cors import Cors, CorsError, read_cors
from holdfast_host.core.environments import EnvironmentsError, check_environments, in_environment
from holdfast_host.core.errors import InvalidManifestError, InvalidNameError
from holdfast_host.core.ids import check_function_name, check_identifier, check_type_name
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.core.origins import OriginError, read_origins
from holdfast_host.core.outbound import PatternError, read_allow, read_filled_headers

MANIFEST_FILE: Final = "holdfast.toml"
COMPATIBILITY_DATE: Final = date(2026, 11, 1)  # the host's own; a later one asks for behaviour it does not have
CRONS_MAX: Final = 50
MEMORY_MIB_MIN: Final = 25  # a Python guest starts with 23.4, and a bare one cannot work in 24

_FUNC_ID: Final = re.compile(r"fn_[A-Za-z0-9_-]{1,61}")
_SINGLE: Final = ("name", "main", "compatibility_date", "check_arguments", "dependencies")
_TABLES: Final = ("actors", "vars", "secrets", "outbound", "sockets", "cors", "triggers", "limits", "deploy", "env")
_KEYS: Final = (*_SINGLE, *_TABLES)


@dataclass(frozen=True, slots=True)
class ActorEntry:
    """One `[[actors]]` table: a property of `env` and the actor type that it leads to."""

    binding: str
    type: str
    renamed_from: str | None = None
    optional: bool = False  # a reference whose owner need not be deployed


@dataclass(frozen=True, slots=True)
class Manifest:
    """A holdfast.toml that keeps every rule.

    Attributes:
        name: The function's name.
        main: The source file that exports actor classes and fetch, relative to the project, in whatever language; None
            for a bare component. Who builds it says what it must be.
        check_arguments: Whether arguments that come as plain JSON are checked and converted by their annotations; None
            where the host's default holds.
        dependencies: Requirements of pure-Python packages that go into the component.
        vars: Plain variables by name.
        secrets: The names of those secrets of the host that the function sees; no others.
        outbound_allow: Patterns of what the function may ask outside, see core.outbound.
        outbound_headers: By origin, then by name, the headers that are filled in for it, with `{NAME}` for a secret.
        origins: Of pages that may open WebSockets of the function, beside its own, see core.origins.
        cors: What pages of other origins may do, None where the function sees to that itself.
        crons: Cron texts, in UTC, at whose times the function's `scheduled` runs.
        memory_bytes_max, method_timeout_s: The function's own limits; 0 where the host's hold.
        func_id: The function's identity; None until its first deploy.
    """

    name: str
    main: str | None = None
    compatibility_date: date = COMPATIBILITY_DATE
    check_arguments: bool | None = None
    dependencies: tuple[str, ...] = ()
    actors: tuple[ActorEntry, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    outbound_allow: tuple[str, ...] = ()
    outbound_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    cors: Cors | None = None
    crons: tuple[str, ...] = ()
    memory_bytes_max: int = 0
    method_timeout_s: float = 0.0
    func_id: str | None = None


def parse_manifest(text: str, limits: Limits | None = None, environment: str | None = None) -> Manifest:
    """The manifest in a text; InvalidManifestError, one sentence, where it breaks a rule.

    Args:
        text: TOML.
        limits: The operator's limits, within which a function may lower its own; the defaults where None.
        environment: The `[env.NAME]` that overrides the rest; None for the file without any.
    """
    document = _document(text)
    manifest = _parsed(document, limits)
    try:
        check_environments(document)
        if environment is None:
            return manifest
        overridden = in_environment(document, environment)
    except EnvironmentsError as error:
        raise _broken(str(error)) from None
    try:
        return _parsed(overridden, limits)
    except InvalidManifestError as error:
        said = error.message.removeprefix(MANIFEST_FILE)
        raise InvalidManifestError(f"{MANIFEST_FILE} with [env.{environment}]{said}") from None


def text_for_host(text: str, environment: str | None, func_id: str | None) -> str:
    """What a host is given of a text that `parse_manifest` has read: one environment, and no word of the others.

    The text itself where it has no environments, with its comments.

    Args:
        text: TOML.
        environment: Which; None for the file without any, whose `[deploy] func_id` goes along.
        func_id: Of the environment's function, where it is known.
    """
    document = _document(text)
    if "env" not in document:
        return text
    shown = in_environment(document, environment)
    if func_id is not None:
        shown["deploy"] = {"func_id": func_id}
    import rtoml

    return rtoml.dumps(shown)


def environments_of(text: str) -> list[str]:
    """The names of the environments in a text that `parse_manifest` has read."""
    return list(_document(text).get("env", ()))


def _document(text: str) -> dict[str, Any]:
    import rtoml

    try:
        return rtoml.loads(text)
    except ValueError as error:
        raise _broken(f"is no TOML: {error}") from None


def _parsed(document: dict[str, Any], limits: Limits | None) -> Manifest:
    try:
        return _manifest(_Table("", document, _KEYS), limits or Limits())
    except InvalidNameError as error:
        raise _broken(f"says something that it may not: {error.message}") from None


def derive_manifest(name: str, types: Iterable[str]) -> Manifest:
    """The manifest of a bare component: each of its classes bound under its UPPER_SNAKE name."""
    check_function_name(name)
    return Manifest(name=name, actors=tuple(ActorEntry(upper_snake(each), each) for each in types))


def upper_snake(type_name: str) -> str:
    """`ShoppingCart` -> `SHOPPING_CART`, `HTTPCache2` -> `HTTP_CACHE2`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type_name)
    return re.sub(r"_+", "_", parted).upper()


def _broken(what: str) -> InvalidManifestError:
    return InvalidManifestError(f"{MANIFEST_FILE} {what}")


class _Table:
    """One table of the file, read key by key; a key that is not known is an error that lists those that are."""

    def __init__(self, path: str, values: Any, known: tuple[str, ...]) -> None:
        self._path = path
        if not isinstance(values, dict):
            raise _broken(f"has {path} as {_kind(values)}, it must be a table")
        self._values: dict[str, Any] = values
        for key in values:
            if key not in known:
                raise _broken(f"has the unknown key {self._name(key)}; known here: {', '.join(known)}")

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def inner(self, key: str, *known: str) -> _Table:
        """A table in this one; an empty one where the key is absent."""
        return _Table(self._name(key), self._values.get(key, {}), known)

    def text(self, key: str) -> str | None:
        """A string that is not empty; None where the key is absent."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise _broken(f"has {self._name(key)} as {_kind(value)}, it must be a string")
        if not value.strip():
            raise _broken(f"has an empty {self._name(key)}")
        return value

    def needed(self, key: str, example: str) -> str:
        value = self.text(key)
        if value is None:
            raise _broken(f"has no {self._name(key)}: add {key} = {example}")
        return value

    def flag(self, key: str) -> bool | None:
        """A boolean; None where the key is absent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise _broken(f"has {self._name(key)} as {_kind(value)}, it must be true or false")
        return value

    def number(self, key: str, least: float, most: float, unit: str) -> float:
        """A number within bounds; 0 where the key is absent."""
        value = self._values.get(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _broken(f"has {self._name(key)} as {_kind(value)}, it must be a number of {unit}")
        if not least <= value <= most:
            raise _broken(f"has {self._name(key)} = {value}, it must be {least:g} to {most:g} {unit} on this host")
        return value


def _manifest(table: _Table, limits: Limits) -> Manifest:
    name = check_function_name(table.needed("name", '"my-function"'))
    actors = _actors(table.get("actors"))
    bindings = {each.binding for each in actors}
    variables = _vars(table.get("vars"), bindings)
    outbound = table.inner("outbound", "allow", "headers")
    try:
        allow = read_allow(outbound.get("allow"))
        headers = read_filled_headers(outbound.get("headers"), allow)
    except PatternError as error:
        raise _broken(f"has in [outbound]: {error}") from None
    try:
        origins = read_origins(table.inner("sockets", "origins").get("origins"))
    except OriginError as error:
        raise _broken(f"has in [sockets]: {error}") from None
    try:
        cors = read_cors(table.get("cors"))
    except CorsError as error:
        raise _broken(f"has in [cors]: {error}") from None
    own = table.inner("limits", "memory_mib", "method_s")
    memory_mib = own.number("memory_mib", MEMORY_MIB_MIN, limits.memory_bytes_max // MIB, "MiB")
    if memory_mib != int(memory_mib):
        raise _broken(f"has limits.memory_mib = {memory_mib}, it must be a whole number")
    return Manifest(
        name=name,
        main=_main(table.text("main")),
        compatibility_date=_compatibility_date(table.get("compatibility_date")),
        check_arguments=table.flag("check_arguments"),
        dependencies=_dependencies(table.get("dependencies")),
        actors=actors,
        vars=variables,
        secrets=_secrets(table.inner("secrets", "names").get("names"), bindings | variables.keys()),
        outbound_allow=allow,
        outbound_headers=headers,
        origins=origins,
        cors=cors,
        crons=_crons(table.inner("triggers", "crons").get("crons")),
        memory_bytes_max=int(memory_mib) * MIB,
        method_timeout_s=float(own.number("method_s", 0.001, limits.method_timeout_s, "seconds")),
        func_id=_func_id(table.inner("deploy", "func_id").text("func_id")),
    )


def _main(value: str | None) -> str | None:
    if value is None:
        return None
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or "\0" in value:
        raise _broken(f"has main = {value!r}, it must be a path inside the project, like src/app.py")
    return str(path)


def _compatibility_date(value: Any) -> date:
    today = COMPATIBILITY_DATE.isoformat()
    if value is None:
        raise _broken(f'has no compatibility_date: add compatibility_date = "{today}"')
    found = value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = value
    if type(found) is not date:
        raise _broken(f'has compatibility_date = {str(value)!r}, it must be a date like "{today}"')
    if found > COMPATIBILITY_DATE:
        raise _broken(f"has the compatibility_date {found}, this host knows none later than {today}")
    return found


def _actors(value: Any) -> tuple[ActorEntry, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _broken(f"has actors as {_kind(value)}, it must be tables: [[actors]]")
    actors: dict[str, ActorEntry] = {}
    for number, each in enumerate(value, 1):
        table = _Table(f"actors ({number})", each, ("binding", "type", "renamed_from", "optional"))
        binding = check_identifier("binding", table.needed("binding", '"ACCOUNT"'))
        actor_type = check_type_name(table.needed("type", '"Account"'))
        renamed_from = table.text("renamed_from")
        if renamed_from is not None and check_type_name(renamed_from) == actor_type:
            raise _broken(f"says that {actor_type} was renamed from itself")
        optional = table.flag("optional") or False
        if optional and renamed_from is not None:
            raise _broken(f"says that {actor_type} is optional and was renamed: only a reference is optional")
        if binding in actors:
            raise _broken(f"has the binding {binding} twice: each name on env is declared once")
        actors[binding] = ActorEntry(binding, actor_type, renamed_from, optional)
    return tuple(actors.values())


def _vars(value: Any, bindings: set[str]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _broken(f"has vars as {_kind(value)}, it must be a table: [vars]")
    for name, text in value.items():
        check_identifier("variable", name)
        if name.startswith("_"):
            raise _broken(f"has the variable {name}: a name on env does not begin with an underscore")
        if name in bindings:
            raise _broken(f"has {name} both as a binding and as a variable: each name on env is declared once")
        if not isinstance(text, str):
            raise _broken(f'has vars.{name} as {_kind(text)}, it must be a string: {name} = "..."')
    return dict(value)


def _secrets(value: Any, taken: set[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _broken('has secrets.names as no list of strings, like names = ["API_KEY"]')
    for name in value:
        check_identifier("secret", name)
        if name.startswith("_"):
            raise _broken(f"has the secret {name}: a name on env does not begin with an underscore")
        if name in taken:
            raise _broken(f"has {name} as a secret and a second time: each name on env is declared once")
        taken.add(name)
    return tuple(value)


def _crons(value: Any) -> tuple[str, ...]:
    from holdfast_host.core.cron import next_after

    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _broken('has triggers.crons as no list of strings, like crons = ["*/5 * * * *"]')
    if len(value) > CRONS_MAX:
        raise _broken(f"has {len(value)} triggers.crons, the limit is {CRONS_MAX}")
    for each in value:
        try:
            next_after(each, "UTC", 0)
        except ValueError as error:
            raise _broken(f"has in [triggers]: {error}") from None
        if value.count(each) > 1:
            raise _broken(f"has {each!r} twice in triggers.crons")
    return tuple(value)


def _dependencies(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _broken('has dependencies that are no list of strings, like dependencies = ["attrs>=25"]')
    for each in value:
        if not each.strip() or each.lstrip().startswith("-") or "\n" in each:
            raise _broken(f'has {each!r} in dependencies, it must be a requirement like "attrs>=25"')
    return tuple(value)


def _func_id(value: str | None) -> str | None:
    if value is not None and not _FUNC_ID.fullmatch(value):
        raise _broken(f"has deploy.func_id = {value!r}, which no host wrote: remove it or restore the one it had")
    return value


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")
