"""Values on a command line: JSON where they are JSON, texts otherwise. What looks like broken JSON is refused."""

from __future__ import annotations

import json
from typing import NoReturn

import click


def json_of(text: str, what: str) -> str:
    """The value as JSON text, digit for digit as it was typed; NaN and the like are texts, for they are no JSON.

    Args:
        text: what was typed.
        what: what it is to be, for the refusal: `the value of 'owner'`.

    Raises:
        UsageError: it begins with a brace or a bracket, so that an object or array was meant, and is none.
    """
    try:
        _parse(text)
    except (ValueError, RecursionError) as error:
        if not begins_container(text):
            return json.dumps(text)
        raise click.UsageError(
            f"{what} begins as JSON and is none ({_reason(error)}): mend it, or give a text as '\"...\"'."
        ) from None
    return text


def container_of(text: str) -> str:
    """The only argument as it is, a JSON object or array; else UsageError."""
    try:
        _parse(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"The arguments are no JSON object or array: {_reason(error)}.") from None
    return text


def begins_container(text: str) -> bool:
    """Whether an object or an array was meant."""
    return text.lstrip()[:1] in {"{", "["}


def _parse(text: str) -> None:
    # Digits stay text: an integer may be longer than Python reads without being told to.
    json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _reason(error: Exception) -> str:
    return "nested too deep, at most 100 levels pass" if isinstance(error, RecursionError) else str(error)
