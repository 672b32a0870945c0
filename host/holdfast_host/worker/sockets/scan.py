"""Going through all rows of sockets, a page between turns, for those that must not stay as they are.

What it finds: sockets whose front has gone, or does not name them any more, which are closed; and those of instances
that run no more (not deployed, quarantined) or hear no more, which their fronts are told to close. To a front that has
just said which of its sockets stand, it tells again what may have been lost on the way from a predecessor: the OPEN of
a socket that is being offered, and which auto responses hold.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast_host.storage.store import AUTO_RESPONSE
from holdfast_host.wire.sockets.frames import (
    GOING_AWAY,
    INTERNAL_ERROR,
    SERVICE_RESTART,
    Auto,
    Open,
    front_of,
    serial_of,
)
from holdfast_host.worker.threads.leaders import any_thread, leaders

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.storage.store import SocketRow, Store, StoredInstance
    from holdfast_host.worker.sockets.closings import Closings
    from holdfast_host.worker.sockets.front_links import FrontLink
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
        settled: Callable[[], int],
    ) -> None:
        """`settled()` is the last group whose rows are those that are read."""
        self._store = store
        self._leadership = leadership
        self._mailboxes = mailboxes
        self._deployments = deployments
        self._closings = closings
        self._outgoing = outgoing
        self._settled = settled
        self._after: bytes | None = b""  # what is there at the start is a predecessor's
        self._again = False
        self._walk = 1  # which one it is, or was
        self._reading = False
        self._read_at = 0
        self._is_stale = False  # something was committed while a page was read: what it said may be old by now
        self._auto: tuple[StoredInstance, SocketRow] | None = None  # of the instance whose rows were read last
        self._told: tuple[StoredInstance, int] | None = None  # the instance, and the front, that was told of one last

    @property
    @any_thread
    def is_due(self) -> bool:
        """Whether a page is to be read now (monitor)."""
        return self._after is not None and not self._reading and self._closings.has_room

    @property
    def is_over(self) -> bool:
        """Whether all rows were looked at."""
        return self._after is None

    def begin(self) -> int:
        """Something has changed: all rows are to be looked at from now on; which walk does that."""
        if self._after is None and not self._reading:
            self._start()
            return self._walk
        self._again = True
        return self._walk + 1

    def stop(self) -> None:
        """The worker ends."""
        self._after, self._again = None, False

    def read(self, generation: int) -> bool:
        """Read a page. False: the leadership is lost."""
        self._reading = True
        self._read_at = self._settled()
        return self._leadership.read(generation, partial(self._read_page, self._after or b""), self._have)

    @any_thread
    def _read_page(self, after: bytes) -> _Page:
        """A page that goes on with an instance begins with its auto response too, as that is by now."""
        rows, further = self._store.socket_page(after, _PAGE)
        if after and rows and rows[0][1] != AUTO_RESPONSE:
            owner = rows[0][0]
            auto = self._store.socket(owner, AUTO_RESPONSE)
            if auto is not None:
                rows = [(owner, AUTO_RESPONSE, auto), *rows]
        return rows, further

    def _have(self, page: _Page) -> None:
        self._reading = False
        if self._after is None:
            return
        rows, self._after = page
        self._auto = None
        if self._read_at != self._settled():
            self._is_stale = self._again = True
        for owner, socket, row in rows:
            if socket == AUTO_RESPONSE:
                self._auto = owner, row
            else:
                self._look_at(owner, socket, row)
        if self._after is None:
            if not self._is_stale:
                self._outgoing.walked(self._walk)
            if self._again:
                self._start()

    def _start(self) -> None:
        self._walk += 1
        self._after, self._again, self._is_stale = b"", False, False

    def _look_at(self, owner: StoredInstance, socket: int, row: SocketRow) -> None:
        if self._closings.knows(owner, socket):
            return
        ending = row.ending or self._outgoing.ending_of(owner, socket)
        link = self._outgoing.unwalked(socket)
        if ending is not None:
            self._closings.start(owner, socket, ending, suspect=self._walk == 1 or link is not None)
            return
        if link is not None and link.walk <= self._walk:
            self._tell_again(owner, socket, row, link)
        loaded = self._deployments.find(owner.type_id)
        if loaded is None:
            self._outgoing.close(owner, (socket,), GOING_AWAY, "not deployed any more")
        elif self._mailboxes.is_quarantined(owner.type_id, owner.name):
            self._outgoing.close(owner, (socket,), INTERNAL_ERROR, "quarantined")
        elif not row.events and not loaded.may_handle("socket_message"):
            self._outgoing.close(owner, (socket,), SERVICE_RESTART, "a new version hears no messages")

    def _tell_again(self, owner: StoredInstance, socket: int, row: SocketRow, link: FrontLink) -> None:
        """What a predecessor has said to its front, or would have."""
        if link.is_offered(owner, serial_of(socket)):
            opened = Open(socket, row.events, owner.type_id, owner.name, row.protocol.decode(), again=True)
            self._outgoing.tell(owner, [(opened, (socket,))])
        auto, front = self._auto, front_of(socket)
        if auto is None or row.events or self._is_stale or auto[0] is not owner or self._told == (owner, front):
            return
        self._told = owner, front
        text, answer = auto[1].tags.decode(), auto[1].attachment.decode()
        self._outgoing.tell(owner, [(Auto(owner.type_id, owner.name, text, answer), (socket,))])
