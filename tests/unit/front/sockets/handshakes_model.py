"""Histories of `deaths_model` in which sockets come and go: handshakes and closes between deaths, and their rows.

The worker's walk through its rows and its closes are real too. A page that was read is looked at some steps later, and
the request of a handshake has a word on the page of calls, as others have.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from holdfast_host.front.sockets.client import State, WebSocketClient
from holdfast_host.front.sockets.offers import Offer, Opened
from holdfast_host.storage.store import Changes, SocketRow, StoredInstance
from holdfast_host.wire.calls.frames import EVENT_SLOT, Kind, pack_reply, split, unpack_call, unpack_reply
from holdfast_host.wire.pages.state_page import BEGUN, NOT_BEGUN
from holdfast_host.wire.sockets.frames import ON_MESSAGE, Open, Send, SendKind, socket_number
from holdfast_host.worker.turns.entry import Entry
from tests.unit.front.sockets.deaths_model import FRONT, INSTANCES, SENDING, TYPE, WRITING, Disk, History, Wire, Worker

OFFERS, SOCKETS_EVER = 3, 40  # at a time; in a history
ACCEPTED = 200
Pages = tuple[list[tuple[StoredInstance, int, SocketRow]], "bytes | None"]


@dataclass(eq=False)
class Rows(Disk):
    """What is durable."""

    rows: dict[bytes, dict[int, SocketRow]] = field(default_factory=lambda: {name: {} for name in INSTANCES})
    ended: Counter[int] = field(default_factory=Counter)


class Request(NamedTuple):
    """A handshake's, on its way to a worker."""

    socket: int
    name: bytes
    words: list[int]  # its own one


class Deployed:
    """The type, for the walk."""

    function = type = "f"

    def may_handle(self, handler: str) -> bool:
        return True


class AcceptingTurn:
    """A request's."""

    broken = None

    def __init__(self, entry: Entry, words: list[int]) -> None:
        self.entry, self._words = entry, words

    def mark(self, group: int) -> None:
        self._words[0] = group


class RowsWorker(Worker):
    """One that reads and writes rows of sockets."""

    draining = False

    def __init__(self, disk: Rows, tick: Any) -> None:
        super().__init__(disk, tick)
        self.rows = {name: dict(found) for name, found in disk.rows.items()}  # as its turns have left them
        self.stored = disk
        self.closes: deque[Any] = deque()
        self.page: tuple[Pages, Callable[[Pages], None]] | None = None
        self.requests: deque[Request] = deque()

    # What its sockets need.

    def find(self, type_id: int) -> Any:
        return Deployed()

    def monotonic(self) -> float:
        return 0.0

    def is_quarantined(self, type_id: int, name: bytes) -> bool:
        return False

    def place(self, type_id: int, name: bytes) -> StoredInstance:
        return self.entries[name].stored

    def open(self, type_id: int, name: bytes, label: str) -> Entry:
        return self.entries[name]

    def deliver(self, turn: Any) -> None:
        self.closes.append(turn)

    def send(self, client: Any, slot: int, status: int, body: bytes) -> None:
        client.answer(slot, status, body)

    def read(self, generation: int, read: Callable[[], Pages], then: Callable[[Pages], None]) -> bool:
        self.page = read(), then
        return True

    def socket(self, owner: StoredInstance, socket: int) -> None:
        return None

    def socket_page(self, after: bytes, entries_max: int) -> Pages:
        found = [(name, socket, row) for name, rows in sorted(self.stored.rows.items()) for socket, row in rows.items()]
        keyed = sorted((name + socket.to_bytes(8, "big"), name, socket, row) for name, socket, row in found)
        left = [each for each in keyed if each[0] > after][:2]
        page = [(self.entries[name].stored, socket, row) for _, name, socket, row in left]
        return page, left[-1][0] if left and left[-1][0] != keyed[-1][0] else None

    # What it does.

    def receive(self, data: Any) -> None:
        if isinstance(data, Request):
            self.requests.append(data)
            return
        [(_, payload)], _ = split(data)
        if data[4] == Kind.SOCKETS:
            self.sockets.stand(cast("Any", self.client), payload)
        elif data[4] == Kind.CALL and unpack_call(payload).method != ON_MESSAGE:
            self.sockets.receive(cast("Any", self.client), unpack_call(payload))
        else:
            super().receive(data)

    def accept(self) -> None:
        request = self.requests.popleft()
        socket, name, words = request
        if name in self.running:
            self.requests.append(request)
            return
        turn = AcceptingTurn(self.entries[name], words)
        words[0], self.cut = BEGUN, name
        changes = Changes(sockets={socket: SocketRow(0)})
        self.rows[name][socket] = SocketRow(0)
        there = self.say(name, _first(socket), changes)
        changes.sends = [(Open(socket, False, TYPE, name), (socket,)), *(changes.sends or ())]
        assert socket in there
        turn.mark(self.gate.add(turn.entry, changes))
        self.sockets.leave(cast("Any", turn), changes, ends=True)
        self.gate.leave(turn.entry, None, _Accepted(self, socket))
        self.cut = None

    def say(self, name: bytes, text: str, changes: Changes) -> list[int]:
        there = [each for each in self.rows[name] if self.sockets.is_live(each)]
        changes.sends = [(Send(SendKind.TEXT, (), text.encode()), there)]
        return there

    def close(self) -> None:
        turn = self.closes.popleft()
        name, socket = turn.event.owner.name, turn.event.socket
        if name in self.running:
            self.closes.append(turn)
            return
        if self.rows[name].pop(socket, None) is not None:
            self.gate.add(turn.entry, Changes(sockets={socket: None}))
        self.sockets.closings.end(turn, turn.event)

    def walk(self) -> None:
        scan = self.sockets._scan
        if self.page is not None:
            (page, then), self.page = self.page, None
            then(page)
        elif scan.is_due:
            scan.read(0)

    def commit(self) -> None:
        super().commit()
        if self.flight is None or not self.is_written:
            return
        for batch in self.flight.batches:
            rows = self.stored.rows[batch.instance.name]
            for socket, row in (batch.changes.sockets or {}).items():
                if row is not None:
                    rows[socket] = row
                elif rows.pop(socket, None) is not None:
                    self.stored.ended[socket] += 1

    @property
    def is_busy(self) -> bool:
        return bool(self.closes or self.requests or self.page or self.sockets._scan.is_due)


class _Accepted:
    """The answer to a request, once it may leave."""

    def __init__(self, worker: RowsWorker, socket: int) -> None:
        self._worker, self._socket = worker, socket

    def go(self) -> None:
        assert self._worker.client is not None
        self._worker.client.post(pack_reply(self._socket & 0xFFFF, ACCEPTED, b""))

    def fail(self, error: Exception) -> None:
        raise error  # nothing is lost here


def _first(socket: int) -> str:
    return f"first of {socket & 0xFF}"


class ComingAndGoing(History):
    """One history."""

    steps, between, within = 400, 0.01, 0.005

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.disk: Rows = Rows()
        self.offers: dict[int, tuple[Offer, Request, asyncio.Task[Opened] | None]] = {}

    def new_worker(self) -> RowsWorker:
        return RowsWorker(self.disk, self.tick)

    def join(self, name: bytes) -> None:
        """All come by a handshake."""

    def step(self, *, last: bool = False) -> None:
        worker = cast("RowsWorker", self.worker)
        what = self.random.choice([*["other"] * 8, "offer", "accept", "close", "walk", "gone"])
        if what == "other":
            super().step(last=last)
        elif what == "offer" and not last and len(self.offers) < OFFERS and len(self.wires) < SOCKETS_EVER:
            offer = self.table.offer("f")
            request = Request(offer.number, self.random.choice(INSTANCES), [NOT_BEGUN])
            self.offers[offer.number & 0xFFFF] = offer, request, None
            self.link.out.append(cast("Any", request))
        elif what == "accept" and worker.requests:
            worker.accept()
        elif what == "close" and worker.closes:
            worker.close()
        elif what == "walk":
            worker.walk()
        elif what == "gone":
            self.leave(at_will=not last and self.random.random() < 0.1)
        elif self.link.out:
            worker.receive(self.link.out.popleft())
        self.shake_hands()

    def leave(self, *, at_will: bool) -> None:
        """A client goes, for it was closed or because it likes to."""
        there = [(client, wire) for _, client, wire in self.wires.values() if client._state is not State.OVER]
        going = [client for client, wire in there if at_will or wire.code is not None]
        if going:
            self.random.choice(going).connection_lost(None)

    def hear(self, data: bytes) -> None:
        slot = unpack_reply(data[5:])[0] if data[4] == Kind.REPLY else EVENT_SLOT
        if slot >= EVENT_SLOT:
            super().hear(data)
        elif slot in self.offers:
            offer, request, _ = self.offers[slot]
            task = asyncio.get_running_loop().create_task(offer.complete(TYPE, request.name, "it"))
            self.offers[slot] = offer, request, task

    def shake_hands(self) -> None:
        for slot, (offer, request, task) in [*self.offers.items()]:
            if task is None or not task.done():
                continue
            del self.offers[slot]
            if task.exception() is not None:
                self.table.withdraw(offer)
                continue
            opened, wire = task.result(), Wire()
            client = self.table.connect(offer, opened, cast("Any", wire))
            self.wires[offer.number] = request.name, cast("WebSocketClient", client), wire
            self.table.hand_over_early(offer, opened, client)

    def withdraw(self, slot: int) -> None:
        offer, _, task = self.offers.pop(slot)
        if task is not None:
            task.cancel()
        self.table.withdraw(offer)

    async def die(self) -> None:
        while self.worker.pipe:
            self.hear(self.worker.pipe.popleft())
        for _ in range(3):
            await asyncio.sleep(0)  # a handshake that is whole is made one
        self.shake_hands()
        asked = {slot: request for slot, (_, request, task) in self.offers.items() if task is None}
        await super().die()
        for slot, request in asked.items():
            if request.words[0] == NOT_BEGUN:
                self.link.out.append(cast("Any", request))
            else:
                self.withdraw(slot)  # it is answered with an error

    def excuse(self) -> None:
        """Whether a close was needed is `deaths_model`'s question."""

    def busy(self) -> bool:
        worker = cast("RowsWorker", self.worker)
        closed = any(
            wire.code is not None and client._state is not State.OVER for _, client, wire in self.wires.values()
        )
        if super().busy() or worker.is_busy or closed:
            return True
        for slot in [*self.offers]:
            self.withdraw(slot)  # its time is over
        return super().busy()

    def problems(self) -> list[str]:
        held = {socket_number(FRONT, serial): each for serial, each in self.table._held.items()}
        rows = {socket: name for name, found in self.disk.rows.items() for socket in found}
        found = [f"{each & 0xFF} has a row and no connection" for each in rows.keys() - held.keys()]
        found += [f"{each & 0xFF} has a connection and no row" for each in held.keys() - rows.keys()]
        found += [f"{each & 0xFF} is not live" for each in rows if not self.worker.sockets.is_live(each)]
        found += [f"{each & 0xFF} was closed {count} times" for each, count in self.disk.ended.items() if count > 1]
        for name in INSTANCES:
            heard = {
                each: self.wires[each][2].heard for each in held.keys() & self.wires if self.wires[each][0] == name
            }
            longest = max(heard.values(), key=len, default=[])
            for socket, texts in heard.items():
                if not texts or texts[0] != _first(socket) or texts != longest[-len(texts) :]:
                    found.append(f"gap: {socket & 0xFF} heard {texts}, another one {longest}")
                for kinds, came in ((SENDING, texts), (WRITING, self.disk.applied[name])):
                    wanted = [text for text in self.said[socket] if text.split()[1] in kinds]
                    if [text for text in came if text.startswith(f"{socket & 0xFF}.")] != wanted:
                        found.append(f"of {socket & 0xFF}: said {wanted}, came {came}")
            found += [f"twice: {text}" for text, count in Counter(self.disk.applied[name]).items() if count > 1]
        return found
