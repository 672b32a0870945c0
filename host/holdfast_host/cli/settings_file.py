"""`holdfast serve --config FILE`: every flag of a command as a key of a TOML file.

A key is its flag's name with underscores: `trusted_proxy = ["10.0.0.0/8"]`. What may be repeated is a list, `on` and
`off` are booleans too, and limits are a table. The command line wins over the variables, these over the file; in a
table each name by itself. Paths in the file begin at its folder.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import tomlkit
from click.core import ParameterSource

from holdfast_host.cli.variables import VariableOption
from holdfast_host.core.bucket_address import is_bucket
from holdfast_host.core.errors import ConfigurationError

_FLAG: Final = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
_PAIRS: Final = "NAME=VALUE"  # what a flag takes that is a table in the file
_SELF: Final = "config"
_STDOUT: Final = "-"  # in the place of a path
_ARGUMENTS: Final = "holdfast.arguments"
_Made = TypeVar("_Made")

_KINDS: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list of strings",
}


class CommandWithSettings(click.Command):
    """A command that remembers what was typed, to read everything anew."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read flags, variables and file."""
        ctx.meta[_ARGUMENTS] = [*args]
        left, file = super().parse_args(ctx, args), ctx.default_map or {}
        for param in self.params:
            name = str(param.name)
            if param.metavar == _PAIRS and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT_MAP:
                ctx.params[name] = (*file.get(name, ()), *ctx.params[name])  # of one name the last holds
        return left


def anew(context: click.Context) -> click.Context:
    """The same command line, with what variables and file say now."""
    arguments: list[str] = [*context.meta[_ARGUMENTS]]
    return context.command.make_context(context.info_name, arguments, parent=context.parent)


def read_settings(context: click.Context, path: Path | None) -> None:
    """Have what the file says hold wherever neither command line nor environment says anything.

    Raises:
        ConfigurationError: it cannot be read, is no TOML, or has a key or a value that no flag takes.
    """
    context.default_map = {} if path is None else _read(context.command, path)


def checked(context: click.Context, path: Path | None, make: Callable[[], _Made]) -> _Made:
    """What `make` returns; where it refuses what stands in the file, the refusal names file and key."""
    try:
        return make()
    except ConfigurationError as error:
        found = _FLAG.search(error.message)
        param = None if found is None else _options(context.command).get(found[1].replace("-", "_"))
        if path is None or found is None or param is None:
            raise
        if context.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT_MAP:
            raise
        text = error.message.replace(found[0], found[1].replace("-", "_"), 1)
        raise ConfigurationError(f"{path}: {text}") from None


def settings_text(command: click.Command, values: dict[str, Any]) -> str:
    """The values as such a file; what has none is left out."""
    document = tomlkit.document()
    tables: dict[str, Any] = {}
    for key, param in _options(command).items():
        value = values[str(param.name)]
        if param.metavar == _PAIRS:
            tables[key] = {name: _number(text) for name, _, text in (each.partition("=") for each in value)}
        elif param.multiple:
            document[key] = list(value)
        elif value is not None:
            document[key] = _as_written(param, value)
    for key, table in tables.items():
        document[key] = table
    return tomlkit.dumps(document)


def _read(command: click.Command, path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"cannot read --config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of the library: the numbers and tables that it cannot hold, too
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    options = _options(command)
    found = {}
    for key, value in document.items():
        param = options.get(key)
        if param is None:
            near = difflib.get_close_matches(key, options, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"'holdfast {command.name} --help' shows the flags"
            raise ConfigurationError(f"{path}: there is no setting {key!r}; {hint}")
        found[str(param.name)] = _value(path, key, param, value)
    return found


def _value(path: Path, key: str, param: click.Option, value: Any) -> Any:
    """As the flag would have it."""
    if param.metavar == _PAIRS:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{path}: {key} is {_kind(value)}, it must be a table: [{key}]")
        for name, each in value.items():
            if isinstance(each, bool) or not isinstance(each, int | float):
                raise ConfigurationError(f"{path}: {key}.{name} is {_kind(each)}, it must be a number")
        return [f"{name}={each}" for name, each in value.items()]
    if param.multiple:
        if not isinstance(value, list):
            raise ConfigurationError(f"{path}: {key} is {_kind(value)}, it must be a list of strings")
        for each in value:
            if not isinstance(each, str):
                raise ConfigurationError(f"{path}: {key} has {_kind(each)} in it, it must be a list of strings")
        return value
    if _is_switch(param) and isinstance(value, bool):
        return "on" if value else "off"
    wanted = bool if param.is_flag else int if param.type is click.INT else str
    if type(value) is not wanted:
        raise ConfigurationError(f"{path}: {key} is {_kind(value)}, it must be {_KINDS[wanted]}")
    if isinstance(param.type, click.Choice) and value not in param.type.choices:
        raise ConfigurationError(f"{path}: {key} is {value!r:.80}, it must be one of {', '.join(param.type.choices)}")
    is_path = isinstance(param.type, click.Path) and value != _STDOUT and not is_bucket(value)
    return path.absolute().parent / str(value) if is_path else value


def _options(command: click.Command) -> dict[str, click.Option]:
    """The flags by their keys."""
    found: dict[str, click.Option] = {}
    for param in command.params:
        if isinstance(param, VariableOption):
            [flag] = [each for each in param.opts if each.startswith("--")]
            found[flag.removeprefix("--").replace("-", "_")] = param
    found.pop(_SELF, None)
    return found


def _is_switch(param: click.Option) -> bool:
    return isinstance(param.type, click.Choice) and set(param.type.choices) == {"on", "off"}


def _as_written(param: click.Option, value: Any) -> Any:
    if _is_switch(param):
        return value == "on"
    if isinstance(value, Path):
        return str(value) if str(value) == _STDOUT else str(value.absolute())
    return value


def _number(text: str) -> int | float:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        return float(text)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    return _KINDS.get(type(value), "a number" if isinstance(value, float) else "a date or time")
