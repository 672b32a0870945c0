"""Changes of what hosts share: each is one transaction, durable on return, over what its author has read.

A change names the document that it is of, and which state of it was read: where another host has written one since, it
is refused, and whoever wants it reads again and decides again. All changes of a store take the row of `cluster`, so
they have an order, and `catalog` is their number.

Nothing is cancelled and nothing has a timeout at the server: what does not answer is cut off here. Where that happens
to a COMMIT, or the server warns, the store is asked what became of it, by a write of its own: one that is clean proves
that all before it is as durable. Only where nobody answers that for `SETTLE_S` is the outcome not known, and said to
be so.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from holdfast_host.core.errors import HoldfastError, HostUnavailableError, StorageFullError
from holdfast_host.storage.postgres.deadlines import cut_after
from holdfast_host.storage.postgres.session import StoreAddress, connect
from holdfast_host.storage.records import MovedError

ANSWER_S: Final = 5.0
SETTLE_S: Final = 5.0
_SETTLE_AGAIN_S: Final = 0.2
_DISK_FULL: Final = "53100"
_CHANGE_BITS: Final = 62

_Read = TypeVar("_Read")
Connection = psycopg.Connection[Any]


class Changes:
    """A host's session for its part of that; one thread at a time uses it. Connects when it must, stays connected."""

    def __init__(self, address: StoreAddress, name: str) -> None:
        """`name` is how the server shows it."""
        self._address = address
        self._name = name
        self._connection: Connection | None = None
        self._warning: str | None = None
        self._using = threading.Lock()

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def read(self, query: Callable[[Connection], _Read]) -> _Read:
        """What `query` reads, in one snapshot.

        Raises:
            HostUnavailableError: the store cannot be read now.
        """
        with self._using:
            try:
                connection = self._connected()
                with cut_after(connection, ANSWER_S):
                    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    found = query(connection)
                    connection.execute("COMMIT")
            except psycopg.Error as error:
                self.close()
                raise HostUnavailableError(f"the store cannot be read: {error}") from error
            except BaseException:
                self.close()
                raise
            return found

    def change(self, document: str, seen: int | None, write: Callable[[Connection], object]) -> int:
        """Make one change of a document, by `write`; the document's state afterwards.

        Args:
            document: its name in the table `document`.
            seen: the state of it over which this was decided; None where it holds over any.
            write: writes; what it raises calls all off.

        Raises:
            MovedError: another host has changed it since.
            StorageFullError, HostUnavailableError: nothing was changed; or it is not known, and the message says so.
        """
        with self._using:
            change = secrets.randbits(_CHANGE_BITS)
            try:
                connection = self._connected()
                with cut_after(connection, ANSWER_S):
                    connection.execute("BEGIN")
                    number: int = _one(
                        connection, "UPDATE cluster SET catalog = catalog + 1 WHERE one RETURNING catalog"
                    )
                    _mark(connection, document, seen, (number, change))
                    write(connection)
            except psycopg.Error as error:
                self.close()
                full = error.sqlstate == _DISK_FULL
                kind = StorageFullError if full else HostUnavailableError
                raise kind(f"the store cannot be written ({error}); nothing was changed") from error
            except BaseException:
                self.close()  # which rolls it back
                raise
            if not self._commit(connection):
                self._settle(document, number, change)
            return number

    def _commit(self, connection: Connection) -> bool:
        """Whether it is there, and as durable as it is to be."""
        self._warning = None
        try:
            with cut_after(connection, ANSWER_S):
                connection.execute("COMMIT")
                names = _one(connection, "SELECT current_setting('synchronous_standby_names')")
        except psycopg.Error:
            self.close()
            return False
        is_clean = self._warning is None and (bool(names) or self._address.durability != "replicated")
        if not is_clean:
            self.close()
        return is_clean

    def _settle(self, document: str, number: int, change: int) -> None:
        """Return when the change is there; raise when it is not, or when nobody says."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            found = self._asked(document)
            if found is None:
                time.sleep(_SETTLE_AGAIN_S)
                continue
            if found[1] == change:
                return
            if found[0] <= number:  # as it was, or another host's change has our number
                raise HostUnavailableError(f"the store broke off; nothing was changed ({document})")
            break  # another host has changed it since: over ours, or over what was there before
        raise HostUnavailableError(
            f"the store does not say whether this change of {document} was recorded: look, before you try again"
        )

    def _asked(self, document: str) -> tuple[int, int] | None:
        """State and last change of a document, proved by a write; None where the store does not say so now."""
        try:
            connection = self._connected()
            with cut_after(connection, ANSWER_S):
                connection.execute("BEGIN")
                # Waits for the backend that has the change in its hands, and makes this a write.
                connection.execute("UPDATE cluster SET catalog = catalog WHERE one")
                row = connection.execute("SELECT changed, change FROM document WHERE name = %s", (document,)).fetchone()
            return row if self._commit(connection) else None
        except (HoldfastError, psycopg.Error):
            self.close()
            return None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._address, self._name, self._warn)
        return self._connection

    def _warn(self, message: str) -> None:
        self._warning = message


def _mark(connection: Connection, document: str, seen: int | None, mark: tuple[int, int]) -> None:
    """Give a document its next state and change, where it is in the state that was seen."""
    marked = connection.execute(
        "UPDATE document SET changed = %s, change = %s WHERE name = %s AND changed = coalesce(%s, changed)",
        (*mark, document, seen),
    )
    if marked.rowcount != 1:
        raise MovedError(document)


def _one(connection: Connection, query: str, *parameters: object) -> Any:
    """The value of the one row that there is."""
    (found,) = connection.execute(query, parameters).fetchone() or (None,)
    return found
