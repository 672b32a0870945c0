"""Names and what follows from them: rules, shards, partitions.

A shard is a function of the type's *number* and the instance's name, never of the type's name: renaming a class is one
row in the registry and moves no instance.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from holdfast_host.core.errors import InvalidNameError
from holdfast_host.core.limits import SHARDS

NAME_BYTES_MAX: Final = 256
TYPE_CHARS_MAX: Final = 32

_FUNCTION: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def shard_of(type_id: int, name: bytes) -> int:
    """The shard (0 to 255) of an instance: stable for ever, for it decides which file holds the state."""
    return zlib.crc32(name, type_id) % SHARDS


def partition_of(type_id: int, name: bytes, partitions: int) -> int:
    """The partition in which an instance lies, of so many; as stable as they are."""
    return shard_of(type_id, name) % partitions


def check_instance_name(name: str) -> bytes:
    """The name's UTF-8 bytes, or InvalidNameError: 1 to 256 bytes, no NUL, no lone surrogate."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidNameError("an instance name must be valid Unicode: it has a lone surrogate") from None
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise InvalidNameError(f"an instance name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, this one {len(encoded)}")
    if b"\0" in encoded:
        raise InvalidNameError("an instance name must not contain NUL")
    return encoded


def is_function_name(name: str) -> bool:
    """Whether a function may be called so."""
    return _FUNCTION.fullmatch(name) is not None


def check_function_name(name: str) -> str:
    """The name itself, or InvalidNameError."""
    if not is_function_name(name):
        raise InvalidNameError(f"{name!r} is no function name: [a-z][a-z0-9-]{{0,62}}")
    return name


def check_identifier(what: str, name: str, chars_max: int = 64) -> str:
    """A type (`chars_max=32`), binding or variable name, or InvalidNameError."""
    if not _IDENTIFIER.fullmatch(name) or "__" in name:
        raise InvalidNameError(f"{name!r} is no {what}: an ASCII identifier without '__'")
    if len(name) > chars_max:
        raise InvalidNameError(f"the {what} {name!r} has {len(name)} characters, the limit is {chars_max}")
    return name


def check_type_name(name: str) -> str:
    """The type's name itself, or InvalidNameError."""
    return check_identifier("actor type", name, TYPE_CHARS_MAX)
