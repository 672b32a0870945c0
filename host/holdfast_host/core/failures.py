"""What a rule of ours or the disk did not keep, as an error."""

from __future__ import annotations

import errno
from typing import TypeVar

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, InternalError, StorageFullError

_Value = TypeVar("_Value")


def required(value: _Value | None, what: str) -> _Value:
    """The value, which a rule of ours says is there; InternalError where it is not.

    An assertion would say so only as long as nobody sets PYTHONOPTIMIZE.
    """
    if value is None:
        raise InternalError(f"{what} is missing: this is a bug of the host")
    return value


def disk_error(error: OSError, what: str, so: str) -> HoldfastError:
    """What the disk did not do, why, and so what: StorageFullError where it is full, else HostUnavailableError."""
    kind = StorageFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else HostUnavailableError
    return kind(f"{what}: {error.strerror}; {so}")
