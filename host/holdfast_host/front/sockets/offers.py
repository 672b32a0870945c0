"""A handshake that is under way: a request that an instance may accept as a socket.

It has two halves, in either order: the answer, which names the instance, and the OPEN of that instance, whose turn has
committed. What is sent to the socket before both are here waits for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.core.errors import ActorMethodError, HostUnavailableError
from holdfast_host.core.limits import MIB
from holdfast_host.front.sockets.deliveries import Closing, Delivery, Receiver, Sent

if TYPE_CHECKING:
    from holdfast_host.front.sockets.rooms import Room

EARLY_BYTES_MAX: Final = 16 * MIB
_GATEWAY: Final = 502


class Opened(NamedTuple):
    """An instance that has accepted it."""

    room: Room
    events: bool
    protocol: str


class EarlyBytes:
    """What waits for handshakes, of all offers of a front together."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held = 0


class Offer(Receiver):
    """One. Lives for its request; `front.sockets.table` has it among the sockets meanwhile."""

    def __init__(self, number: int, serial: int, function: str, handshake_s: float, of_all: EarlyBytes) -> None:
        self.number = number
        self.serial = serial
        self.function = function
        self.opened: list[Opened] = []
        self.early: list[Delivery] = []
        self.expected: list[Room] = []  # of instances that sent to it before their OPEN was here
        self._handshake_s = handshake_s
        self._early_bytes = 0
        self._of_all = of_all
        self._overflow: ActorMethodError | None = None  # it was sent too much, and will never be a socket
        self._named: tuple[int, bytes] | None = None
        self._found: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        self._expiry: asyncio.TimerHandle | None = None
        self._missed: set[int] = set()  # marks of instances whose first words were lost
        self._missed_all = False

    def note_missed(self, owners: set[int], *, everybody: bool) -> None:
        """A worker is gone, and what these instances sent was lost: what they have accepted would begin with a gap."""
        self._missed |= owners
        self._missed_all = self._missed_all or everybody

    def has_missed(self, room: Room) -> bool:
        """Whether something was lost that the instance may have sent to it."""
        return self._missed_all or room.mark in self._missed

    def has(self, room: Room) -> bool:
        """Whether that instance's OPEN is here."""
        return any(each.room is room for each in self.opened)

    def open(self, opened: Opened) -> None:
        """An instance's turn has accepted it and committed."""
        self.opened.append(opened)
        self._expect()
        self._match()

    async def complete(self, type_id: int, name: bytes, label: str) -> Opened:
        """The answer names that instance: return when it has opened.

        Raises:
            ActorMethodError: 502, it does not in time, or sent too much before.
            HostUnavailableError: its worker is gone.
        """
        self._named = (type_id, name)
        self._expect()
        self._match()
        try:
            found = await self._found
        except TimeoutError:
            raise ActorMethodError(
                f"the answer names {label} as the one who accepted the socket, which it did not do within "
                f"{self._handshake_s:g} s",
                status=_GATEWAY,
            ) from None
        if self._overflow is not None:  # since both halves are here
            raise self._overflow
        return found

    def fail(self, error: Exception) -> None:
        """There will be no socket."""
        if not self._found.done():
            self._found.set_exception(error)
            self._found.exception()  # who asked may never come to look

    def settle(self) -> None:
        """It is over: forget the time, and what is counted."""
        self._of_all.held -= self._early_bytes
        self._early_bytes = 0
        if self._expiry is not None:
            self._expiry.cancel()

    def lose(self, room: Room) -> None:
        """What that instance has sent may be lost."""
        self.opened = [each for each in self.opened if each.room is not room]
        room.sockets -= 1
        if self._named == (room.type_id, room.name):
            self.fail(HostUnavailableError("the worker of the instance that accepted the socket ended"))

    def take(self, delivery: Delivery) -> None:
        """Keep a message for the socket."""
        if isinstance(delivery, Sent):
            self._count(delivery.payload_bytes)
        if self._overflow is None:
            self.early.append(delivery)

    def _count(self, payload_bytes: int) -> None:
        if self._overflow is not None:
            return
        of_all = self._of_all
        self._early_bytes += payload_bytes
        of_all.held += payload_bytes
        if self._early_bytes > EARLY_BYTES_MAX:
            text = f"more than {EARLY_BYTES_MAX} bytes were sent to a socket before it was open"
        elif of_all.held > of_all.bytes_max:
            text = f"more than {of_all.bytes_max} bytes were sent to sockets of this host before they were open"
        else:
            return
        self._overflow = ActorMethodError(text, status=_GATEWAY)
        self.early.clear()
        of_all.held -= self._early_bytes
        self._early_bytes = 0
        self.fail(self._overflow)

    def close(self, closing: Closing) -> None:
        """Keep a close for the socket."""
        self.early.append(closing)

    def _expect(self) -> None:
        """The other half is to come in time."""
        if self._expiry is None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self._handshake_s, self.fail, TimeoutError())

    def _match(self) -> None:
        for each in self.opened:
            if self._named == (each.room.type_id, each.room.name) and not self._found.done():
                self._found.set_result(each)
