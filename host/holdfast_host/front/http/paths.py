"""Reading a request's target: raw segments, decoded exactly once, and query flags.

HTTP libraries normalise paths (`..`, `//`, `%2F`), but here a name may be any text: `..`, `a/b`, `%`. So routing looks
at the raw target, and only a segment that is a name is decoded.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from holdfast_host.core.errors import BadRequestError, InvalidNameError

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
TRUTH: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target, both raw; an absolute target (`http://host/path`) loses its authority."""
    if not target.startswith("/"):
        found = _AUTHORITY.match(target)
        target = target[found.end() :] if found is not None else target
    path, _, query = target.partition("#")[0].partition("?")
    return path, query


def split_authority(target: str) -> tuple[str, str]:
    """Host (empty where it names none) and raw path with query of an absolute target, `http://host/path`."""
    found = _AUTHORITY.match(target)
    if found is None:
        return "", target
    rest = target[found.end() :]
    return found[0].partition("://")[2].rpartition("@")[2], rest if rest.startswith("/") else f"/{rest}"


def decode_segment(raw: str) -> str:
    """One path segment as the text that the caller meant; `+` is a plus.

    Raises:
        InvalidNameError: an escape that is none, or bytes that are not UTF-8.
    """
    if "%" not in raw and raw.isascii():
        return raw
    bad = _BAD_ESCAPE.search(raw)
    if bad is not None:
        raise InvalidNameError(
            f"{raw[bad.start() : bad.start() + 3]!r} in the path is no percent-encoding: write % itself as %25"
        )
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError as error:
        raise InvalidNameError(
            f"a name in the path is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}"
        ) from None


def read_flags(query: str, *known: str) -> dict[str, bool]:
    """The boolean parameters of a query, False where absent; BadRequestError for any other."""
    flags = dict.fromkeys(known, False)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in flags:
            raise BadRequestError(f"unknown parameter {name!r}: this route takes {', '.join(known) or 'none'}")
        if value.lower() not in TRUTH:
            raise BadRequestError(f"the parameter {name} is {value!r}: write true or false")
        flags[name] = TRUTH[value.lower()]
    return flags


def read_number(given: dict[str, str], name: str, least: int, most: int) -> int | None:
    """A parameter that is a whole number of that range; None where it is absent, BadRequestError for anything else."""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise BadRequestError(f"the parameter {name} is {text[:40]!r}: write a number from {least} to {most}")
    return int(text)


def cursor_of(position: str) -> str:
    """A position in a listing as callers carry it; what it means is ours."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_cursor(text: str) -> str:
    """The position in a cursor; BadRequestError where it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequestError("the parameter cursor is none: send back the one that the last page ended with") from None


def read_parameters(query: str, *known: str) -> dict[str, str]:
    """The parameters of a query that are there; BadRequestError for an unknown or repeated one, or one not UTF-8."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadRequestError("a parameter of the query is not UTF-8") from None
    for name, value in pairs:
        if name not in known:
            raise BadRequestError(f"unknown parameter {name!r}: this route takes {', '.join(known) or 'none'}")
        if name in found:
            raise BadRequestError(f"the parameter {name} is given twice")
        found[name] = value
    return found
