"""Values on a command line: JSON where they are JSON, texts otherwise. What looks like broken JSON is refused."""

from __future__ import annotations

import json
import math
from typing import NoReturn

import click


class _NumberTooLargeError(Exception):
    """JSON, but no number of a host: what comes after `has`."""


def json_of(text: str, what: str) -> str:
    """The value as JSON text, digit for digit as it was typed; NaN and the like are texts, for they are no JSON.

    Args:
        text: what was typed.
        what: what it is to be, for the refusal: `the value of 'owner'`.

    Raises:
        UsageError: it begins with a brace or a bracket, so that an object or array was meant, and is none; or it is or
            has a number that no float can hold.
    """
    try:
        _parse(text)
    except _NumberTooLargeError as error:
        raise click.UsageError(f"{what} {'has' if begins_container(text) else 'is'} {error}.") from None
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
    except _NumberTooLargeError as error:
        raise click.UsageError(f"The arguments have {error}.") from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"The arguments are no JSON object or array: {_reason(error)}.") from None
    return text


def begins_container(text: str) -> bool:
    """Whether an object or an array was meant."""
    return text.lstrip()[:1] in {"{", "["}


def _parse(text: str) -> None:
    # Digits stay text: an integer may be longer than Python reads without being told to.
    json.loads(text, parse_int=str, parse_float=_check_float, parse_constant=_refuse_constant)


def _check_float(digits: str) -> str:
    if math.isinf(float(digits)):
        raise _NumberTooLargeError(f"a number that no float can hold: {digits:.40}")
    return digits


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _reason(error: Exception) -> str:
    return "nested too deep, at most 100 levels pass" if isinstance(error, RecursionError) else str(error)
