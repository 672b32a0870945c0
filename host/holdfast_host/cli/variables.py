"""The variables of the environment: each is named as its flag is, `--log-level` is HOLDFAST_LOG_LEVEL.

The token itself is no flag, for command lines are seen by every process of the machine. Whatever else begins with
HOLDFAST_ is somebody's mistake, and said.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import click

PREFIX: Final = "HOLDFAST_"
# Written out, since the commands are imported one by one; a test holds them against this.
KNOWN: Final = frozenset(
    PREFIX + name
    for name in (
        "ACCESS_LOG",
        "ALLOWED_HOST",
        "ARCHIVE",
        "ARCHIVE_KEEP",
        "CA",
        "CHECK_ARGUMENTS",
        "CLUSTER_KEY_FILE",
        "CONFIG",
        "CORS_ORIGIN",
        "DATA",
        "DOMAIN",
        "DURABILITY",
        "FRONTS",
        "HOST",
        "HOST_TTL",
        "KNOWN_HEADS",
        "LIMIT",
        "LISTEN",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "NO_UI",
        "OUTBOUND",
        "OUTBOUND_PRIVATE",
        "STORE",
        "TENANT",
        "TLS_CERT",
        "TLS_KEY",
        "TOKEN",
        "TOKEN_FILE",
        "TRACES",
        "TRUSTED_PROXY",
        "WORKERS",
    )
)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class VariableOption(click.Option):
    """A flag that is a variable too, which its help shows; one that may be repeated takes words there."""

    def __init__(self, param_decls: Sequence[str], **attributes: Any) -> None:
        [flag] = [each for each in param_decls if each.startswith("--")]
        super().__init__(param_decls, envvar=variable_of(flag), show_envvar=True, **attributes)


def option(*param_decls: str, **attributes: Any) -> Callable[[_Decorated], _Decorated]:
    """`click.option` for a flag that is a variable too."""
    return click.option(*param_decls, cls=VariableOption, **attributes)


def variable_of(flag: str) -> str:
    """`--log-level` is HOLDFAST_LOG_LEVEL."""
    return PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def name_unknown(names: Iterable[str]) -> str | None:
    """One sentence about the variables that nothing reads; None where there are none. Their values are not shown."""
    unknown = sorted(name for name in names if name.startswith(PREFIX) and name not in KNOWN)
    if not unknown:
        return None
    known = [name.removeprefix(PREFIX) for name in KNOWN]
    near = difflib.get_close_matches(unknown[0].removeprefix(PREFIX), known, 1)
    hint = f"did you mean {PREFIX}{near[0]}?" if near else "'holdfast serve --help' shows those that there are"
    verdict = "is no variable of holdfast" if len(unknown) == 1 else "are no variables of holdfast"
    return f"{', '.join(unknown)} {verdict}, nothing reads it: {hint}"
