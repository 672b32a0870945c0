"""The numbers of the fronts of all hosts of a store: none is given twice, whichever directory is lost.

A socket's number begins with its front's, and the store keeps rows of sockets. See supervisor/processes/front_numbers.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast_host.storage.postgres.records.changes import Changes, Connection

DOCUMENT: Final = "fronts"


class StoreFrontNumbers:
    """Any thread, one at a time."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def take(self) -> int:
        """The next one.

        Raises:
            OSError: the store does not give one, or does not say whether it has.
        """
        number = 0

        def write(connection: Connection) -> None:
            nonlocal number
            row = connection.execute(
                "UPDATE cluster SET next_front = next_front + 1 RETURNING next_front - 1"
            ).fetchone()
            number = 0 if row is None else row[0]

        try:
            self._changes.change(DOCUMENT, None, write)
        except HoldfastError as error:
            raise OSError(errno.EIO, error.message) from error
        return number

    def pass_by(self, following: int) -> None:
        """All below it have been given."""
        self._changes.change(
            DOCUMENT,
            None,
            lambda it: it.execute("UPDATE cluster SET next_front = greatest(next_front, %s)", (following,)),
        )
