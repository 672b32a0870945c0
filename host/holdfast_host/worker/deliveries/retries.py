"""What becomes of a row when an attempt at it has failed: the next one, twice as far away each time, or the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from holdfast_host.core.errors import HoldfastError
    from holdfast_host.worker.deliveries.stages import Row

_FIRST_US: Final = 1_000_000
_ERROR_CHARS_MAX: Final = 1_000


def after_failure(row: Row, error: HoldfastError, *, killed: bool, state: str, now_us: int, retries_max: int) -> Row:
    """The row from then on.

    Args:
        row: as the attempt found it.
        error: why it failed.
        killed: its worker died of it.
        state: of one that is tried again.
        now_us: the wall clock, from which the next attempt is counted.
        retries_max: after so many it is abandoned.
    """
    row = replace(row, last_error=last_error_of(error), begun=False, killed=killed)
    if row.retry_count >= retries_max:
        row.state = "abandoned"
    else:
        row.state = state
        row.due_us = now_us + (_FIRST_US << row.retry_count)
        row.retry_count += 1
    return row


def last_error_of(error: HoldfastError) -> str:
    """What a row says of it."""
    return f"{error.name}: {error.message}"[:_ERROR_CHARS_MAX]
