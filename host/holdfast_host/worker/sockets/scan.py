"""Going through all rows of sockets, a page between turns, for those that must not stay as they are.

What it finds: sockets whose front has gone, which are closed; and those of instances that run no more (not deployed,
quarantined) or hear no more, which their fronts are told to close.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.store import Ending
from holdfast_host.wire.sockets import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, SERVICE_RESTART
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from holdfast_host.storage.store import SocketRow, Store, StoredInstance
    from holdfast_host.worker.sockets.closings import Closings
    from holdfast_host.worker.sockets.outgoing import Outgoing
    from holdfast_host.worker.threads.leadership import Leadership
    from holdfast_host.worker.turns.deployments import Deployments
    from holdfast_host.worker.turns.mailboxes import Mailboxes

_PAGE: Final = 256
_Page = tuple["list[tuple[StoredInstance, int, SocketRow]]", "bytes | None"]


@leaders
class Scan:
    """The walks of one worker through its rows, one at a time."""

    def __init__(
        self,
        store: Store,
        leadership: Leadership,
        mailboxes: Mailboxes,
        deployments: Deployments,
        closings: Closings,
        outgoing: Outgoing,
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._mailboxes = mailboxes
        self._deployments = deployments
        self._closings = closings
        self._outgoing = outgoing
        self._after: bytes | None = b""  # what is there at the start is a predecessor's
        self._again = False
        self._is_first = True
        self._reading = False

    @property
    @any_thread
    def is_due(self) -> bool:
        """Whether a page is to be read now (monitor)."""
        return self._after is not None and not self._reading and self._closings.has_room

    @property
    def is_over(self) -> bool:
        """Whether all rows were looked at."""
        return self._after is None

    def begin(self) -> None:
        """Something has changed: all rows are to be looked at from now on."""
        if self._after is None and not self._reading:
            self._after = b""
        else:
            self._again = True

    def stop(self) -> None:
        """The worker ends."""
        self._after, self._again = None, False

    def read(self, generation: int) -> bool:
        """Read a page. False: the leadership is lost."""
        self._reading = True
        read = partial(self._store.socket_page, self._after or b"", _PAGE)
        return self._leadership.read(generation, read, self._have)

    def _have(self, page: _Page) -> None:
        self._reading = False
        if self._after is None:
            return
        rows, self._after = page
        for owner, socket, row in rows:
            self._look_at(owner, socket, row)
        if self._after is None:
            self._is_first = False
            if self._again:
                self._after, self._again = b"", False

    def _look_at(self, owner: StoredInstance, socket: int, row: SocketRow) -> None:
        if self._closings.knows(owner, socket):
            return
        if row.ending is not None or not self._outgoing.is_live(socket):
            ending = row.ending or Ending(ABNORMAL, "", clean=False)
            self._closings.start(owner, socket, ending, suspect=self._is_first)
            return
        loaded = self._deployments.find(owner.type_id)
        if loaded is None:
            self._outgoing.close(owner, (socket,), GOING_AWAY, "not deployed any more")
        elif self._mailboxes.is_quarantined(owner.type_id, owner.name):
            self._outgoing.close(owner, (socket,), INTERNAL_ERROR, "quarantined")
        elif not row.events and not loaded.may_handle("socket_message"):
            self._outgoing.close(owner, (socket,), SERVICE_RESTART, "a new version hears no messages")
