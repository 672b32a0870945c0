"""What becomes of a worker's sockets when it is gone and its successor is there: a decision from evidence.

The evidence is three things that the worker left: the words of its events, the slots of the send page that nobody has
cleared (its link is read to its end by then), and the group that each partition had reached. From them:

- whose frames were lost: slots of a group that was reached, or of none. Those instances' sockets are closed (1012);
- an event that has taken effect is over; one that has not goes to the successor, a few times where a worker had begun
  it (then 1011); where nobody can know, its socket is closed (1012);
- where another worker had the partition in between, or this one lives and its link alone broke, nobody knows anything.

What is left is said to the successor before anything else (`wire.standing_sockets`). Nothing here sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.front.sockets.offers import Offer
from holdfast_host.front.sockets.protocol import RESTART
from holdfast_host.wire.calls.frames import EVENT_SLOT
from holdfast_host.wire.calls.window import REPEATS_MAX
from holdfast_host.wire.pages.evidence import is_next, is_same_worker
from holdfast_host.wire.pages.send_page import NO_GROUP
from holdfast_host.wire.pages.state_page import EventFate, fate_of_event
from holdfast_host.wire.sockets.frames import INTERNAL_ERROR, ON_ERROR, ON_MESSAGE, Closed, serial_of
from holdfast_host.wire.sockets.standing import Closing, StandingSockets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdfast_host.front.sockets.client import ClientSocket
    from holdfast_host.front.sockets.event_flow import EventFlow, Given
    from holdfast_host.front.sockets.rooms import Room
    from holdfast_host.front.worker_link import LinkUp
    from holdfast_host.wire.pages.evidence import Opened

_MISSED: Final = "a worker ended, and what it sent may be lost: connect again"
_UNKNOWN: Final = "a worker ended, and nobody knows what a message has done: connect again"
_KILLS: Final = "workers end while they hear its message"


class Why(NamedTuple):
    """Why a socket is closed."""

    code: int
    reason: str


class Recovered(NamedTuple):
    """What follows from the evidence."""

    standing: StandingSockets
    closes: dict[Why, list[int]]  # the serials of those that have to be closed, and count as lost already


class Recovery:
    """Of one link, when it is up again."""

    def __init__(
        self, flow: EventFlow, rooms: Iterable[Room], held: Mapping[int, ClientSocket | Offer], up: LinkUp
    ) -> None:
        """`rooms` are those whose flow that is; `held` are all of the front's sockets and offers, by serial."""
        self._flow = flow
        self._held = held
        self._after, self._left = up.after, up.left
        self._is_same = False  # the worker lives
        self._owners: set[int] = set()  # whose frames were lost
        self._everybody = False
        self._lost: set[Room] = set()
        self._sockets: dict[ClientSocket, Why] = {}  # that an event has ended
        if up.before is not None:
            self._is_same = is_same_worker(up.before, up.after)
            self._read_sends(up.before, [*rooms])
            self._read_events()

    def decide(self, next_serial: int) -> Recovered:
        """Say what stands, take leave of what does not; serials below that one are all that there were."""
        offers: list[int] = []
        standing: dict[int, int] = {}
        closing: list[Closing] = []
        closes: dict[Why, list[int]] = {}
        for serial, held in self._held.items():
            if isinstance(held, Offer):
                self._look_at_offer(held)
                offers.append(serial)
            elif held.room.flow is self._flow:
                why = Why(RESTART, _MISSED) if held.room in self._lost else self._sockets.get(held)
                if why is not None:
                    held.lose(*why)
                    closes.setdefault(why, []).append(serial)
                said = held.said
                if said is None:
                    standing[serial] = held.room.mark
                else:
                    broke = said.method == ON_ERROR
                    closing.append(Closing(serial, held.room.mark, said.code, said.clean, broke, said.reason))
        under_way, speaking = self._closes_under_way(), self._speaking()
        late = {each.serial: each.owner for each in under_way if (each.serial, each.owner) in speaking}
        closing += [each for each in under_way if each.serial not in late]
        if late:
            standing = dict(sorted({**standing, **late}.items()))
        return Recovered(StandingSockets(next_serial, () if self._is_same else offers, standing, closing), closes)

    def _read_sends(self, before: Opened, rooms: Sequence[Room]) -> None:
        """Find whose frames were lost; that may be what these answer by themselves, which is then said anew."""
        by_mark = {room.mark: room for room in rooms}
        after, left = self._after, self._left
        unclear = {number for number in after.epochs if not is_next(before, after, number)}
        everybody = self._is_same or left is None or left.sends.stands_for_everybody
        if left is not None and not everybody:
            for owner, group in left.sends.in_flight():
                room = by_mark.get(owner)
                # Of an instance without a socket here, but for one that is being offered, the partition is not known.
                reached = max(after.groups.values(), default=0) if room is None else after.groups.get(room.partition, 0)
                if group == NO_GROUP or group <= reached:
                    self._owners.add(owner)
        self._lost = {
            room
            for room in rooms
            if everybody or room.mark in self._owners or room.partition in unclear or room.partition not in after.epochs
        }
        for room in self._lost:
            room.auto = None
        self._everybody = everybody or bool(unclear)

    def _read_events(self) -> None:
        """Judge what is under way; what goes to the successor stays there."""
        given = [(slot, each) for slot, each in self._flow.all_given() if each.method == ON_MESSAGE]
        over = {slot for slot, each in given if self._is_over(slot, each)}
        for slot, each in given:
            # Where the worker lives it may still run what even a socket that has gone meanwhile has given.
            if self._is_same or slot in over or each.room in self._lost or each.socket in self._sockets:
                self._flow.end(slot)

    def _is_over(self, slot: int, given: Given) -> bool:
        """Whether an event has taken effect; who sent it is lost where that is not known."""
        fate = EventFate.NOT_BEGUN
        if self._left is not None and given.is_sent:
            reached = self._after.groups.get(given.room.partition, 0)
            fate = fate_of_event(self._left.events.words[slot - EVENT_SLOT], reached)
        if fate is EventFate.UNKNOWN and given.socket is not None:
            self._sockets[given.socket] = Why(RESTART, _UNKNOWN)
        elif fate is EventFate.NOT_COMMITTED:
            given.deaths += 1
            if given.deaths > REPEATS_MAX and given.socket is not None:
                self._sockets[given.socket] = Why(INTERNAL_ERROR, _KILLS)
        return fate is EventFate.OVER

    def _look_at_offer(self, offer: Offer) -> None:
        offer.note_missed(self._owners, everybody=self._everybody)
        for opened in [*offer.opened]:
            if opened.room in self._lost:
                offer.lose(opened.room)

    def _speaking(self) -> set[tuple[int, int]]:
        """Serials and owners of those whose messages go to the successor: who has left stands until these are heard."""
        given = [each for _, each in self._flow.all_given() if each.method == ON_MESSAGE]
        return {(each.socket.serial, each.room.mark) for each in given if each.socket is not None}

    def _closes_under_way(self) -> list[Closing]:
        found = []
        for _, given in self._flow.all_given():
            if given.method != ON_MESSAGE:
                closed = Closed.unpack(given.body)
                broke = given.method == ON_ERROR
                serial = serial_of(closed.socket)
                found.append(Closing(serial, given.room.mark, closed.code, closed.clean, broke, closed.reason))
        return found
