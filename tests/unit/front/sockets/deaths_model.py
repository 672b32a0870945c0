"""One history of sockets whose worker dies at random, drawn by a seed: real parts at both ends, and nothing between.

The front is a real SocketTable with real WebSocketClients; the worker's gate, `Sockets`, events and links are real, its
guest, its disk and its loop are played here. A death may come between any two steps, and within a turn's end. What has
left for the front before is read to its end.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, cast

from holdfast_host.core.limits import Limits
from holdfast_host.front.sockets.client import State, WebSocketClient
from holdfast_host.front.sockets.table import SocketTable
from holdfast_host.front.worker_link import LinkUp, WorkerLink
from holdfast_host.storage.store import Changes, StoredInstance
from holdfast_host.wire.calls.frames import Kind, pack_reply, split, unpack_call, unpack_reply
from holdfast_host.wire.calls.window import REPEATS_MAX
from holdfast_host.wire.pages.evidence import Opened
from holdfast_host.wire.pages.state_page import BEGUN
from holdfast_host.wire.sockets.frames import ON_MESSAGE, Message, Open, Send, SendKind, socket_number
from holdfast_host.wire.sockets.pages import SocketPages
from holdfast_host.wire.sockets.standing import StandingSockets
from holdfast_host.worker.commits.gate import Exit, Gate, Group
from holdfast_host.worker.sockets.events import MessageEvent
from holdfast_host.worker.sockets.reception import Sockets
from holdfast_host.worker.turns.entry import Entry
from tests.unit.front.sockets.frames import TEXT, frame

FRONT, TYPE = 3, 7
LIMITS = Limits()
INSTANCES = (b"a", b"b")
SOCKETS = 3  # of each instance
KINDS = ("write", "send", "send", "send", "both", "nothing", "outside")  # outside: it calls somebody before it ends
STEPS = ("talk", "hear", "begin", "begin", "end", "end", "commit", "commit", "commit", "flush", "front")
DEATHS_BETWEEN, DEATHS_WITHIN = 0.04, 0.03  # two steps; a step, wherever something leaves
SENDING, WRITING = ("send", "both", "outside"), ("write", "both", "outside")


class KilledError(Exception):
    """The worker is killed here."""


class Wire:
    """A client's connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.code: int | None = None
        self.reading = True

    def write(self, data: bytes) -> None:
        opcode, length = data[0] & 15, data[1]
        body = data[2 : 2 + length]
        if opcode == TEXT:
            self.heard.append(body.decode())
        else:
            self.code = int.from_bytes(body[:2], "big")

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.code is not None

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        """After its time; no history lasts so long."""


@dataclass(eq=False)
class Link:
    """The front's end of a link."""

    pages: SocketPages
    out: deque[bytes] = field(default_factory=deque)

    def send_frame(self, data: bytes) -> None:
        self.out.append(data)


@dataclass
class Disk:
    """What is durable."""

    group: int = 1
    epoch: int = 0
    applied: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    sockets: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))


class CuttableGate(Gate):
    """Whose worker may die before anything leaves."""

    def __init__(self, settled: int, tick: Any) -> None:
        super().__init__(settled)
        self.tick = tick

    def leave(self, entry: Entry, turn: Any, leaving: Exit) -> None:
        self.tick()
        super().leave(entry, turn, leaving)


class ModelTurn:
    """An event's turn."""

    broken = None

    def __init__(self, entry: Entry, event: MessageEvent, kind: str, text: str) -> None:
        self.entry, self.event, self.kind, self.text = entry, event, kind, text

    def mark(self, group: int) -> None:
        self.event.note(group)


class Client:
    """The worker's end of a link."""

    closed = False

    def __init__(self, pages: SocketPages, out: list[bytes]) -> None:
        self.front = FRONT
        self.pages = pages
        self._out = out

    def post(self, data: bytes) -> None:
        self._out.append(data)

    def answer(self, slot: int, status: int, body: bytes) -> bool:
        self._out.append(pack_reply(slot, status, body))
        return True


class Worker:
    """One process, until it dies."""

    def __init__(self, disk: Disk, tick: Any) -> None:
        disk.epoch += 1
        self.disk = disk
        self.gate = CuttableGate(disk.group, tick)
        nothing = cast("Any", self)
        self.sockets = Sockets(
            store=nothing, limits=LIMITS, output=nothing, clock=nothing, leadership=nothing, gate=self.gate,
            mailboxes=nothing, directory=nothing, deployments=nothing, replies=nothing,
        )  # fmt: skip
        self.sockets.know_fronts([FRONT])
        self.entries = {name: Entry(TYPE, name.decode(), StoredInstance(0, TYPE, name)) for name in INSTANCES}
        self.mail: dict[bytes, deque[tuple[MessageEvent, str]]] = {name: deque() for name in INSTANCES}
        self.running: dict[bytes, ModelTurn] = {}
        self.unflushed: list[bytes] = []
        self.pipe: deque[bytes] = deque()  # to the front
        self.flight: Group | None = None
        self.is_written = False
        self.client: Client | None = None
        self.cut: bytes | None = None  # whose turn is at its end
        self.left: list[tuple[int, bytes, str]] = []  # events that let something out: socket, instance, text

    def find(self, type_id: int) -> None:
        return None

    def note_unsent(self, client: Any) -> None:
        return None

    def connect(self, pages: SocketPages) -> None:
        self.client = Client(pages, self.unflushed)
        self.sockets.connect(cast("Any", self.client))

    def receive(self, data: bytes) -> None:
        [(_, payload)], _ = split(data)
        if data[4] == Kind.SOCKETS:
            self.sockets.outgoing.stand(cast("Any", self.client), StandingSockets.unpack(payload), 1)
            return
        if data[4] != Kind.CALL:
            return  # TAKEN
        call = unpack_call(payload)
        if call.method == ON_MESSAGE:
            message = Message.unpack(call.body)
            event = MessageEvent(message, cast("Any", self.client), call.slot)
            self.mail[call.name].append((event, message.data.decode()))
        elif self.client is not None:
            self.client.answer(call.slot, 200, b"")

    def begin(self, name: bytes) -> None:
        event, text = self.mail[name].popleft()
        turn = self.running[name] = ModelTurn(self.entries[name], event, text.split()[1], text)
        event.note(BEGUN)
        if turn.kind == "outside":
            event.note_left()
            self.left.append((event.socket, name, text))

    def end(self, name: bytes) -> None:
        """As the executor does it."""
        turn, self.cut = self.running.pop(name), name
        changes = Changes()
        if turn.kind in WRITING:
            changes.writes[turn.text.encode()] = b""
            turn.mark(self.gate.add(turn.entry, changes))
        if turn.kind in SENDING:
            self.say(name, turn.text, changes)
            self.sockets.leave(cast("Any", turn), changes, ends=True)
        self.sockets.end(cast("Any", turn))
        self.cut = None

    def say(self, name: bytes, text: str, changes: Changes) -> list[int]:
        there = [each for each in self.disk.sockets[name] if self.sockets.is_live(each)]
        changes.sends = [(Send(SendKind.TEXT, (), text.encode()), there)]
        return there

    def commit(self) -> None:
        """One step of three: taken, durable, settled."""
        if self.flight is None:
            self.flight, self.is_written = self.gate.take(), False
        elif not self.is_written:
            for batch in self.flight.batches:
                self.disk.applied[batch.instance.name] += [key.decode() for key in batch.changes.writes]
            self.disk.group, self.is_written = self.flight.number, True
        else:
            group, self.flight = self.flight, None
            self.gate.settle(group, {})

    def flush(self, count: int) -> None:
        """So many frames leave: a write takes what there is room for."""
        self.pipe.extend(self.unflushed[:count])
        del self.unflushed[:count]


class History:
    """One, and what is wrong with it."""

    steps, between, within = 160, DEATHS_BETWEEN, DEATHS_WITHIN

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.disk = Disk()
        self.wires: dict[int, tuple[bytes, WebSocketClient, Wire]] = {}
        self.said: dict[int, list[str]] = defaultdict(list)
        self.excused: set[int] = set()  # sockets that may be closed
        self.deaths = self.closes = 0
        self.dying = 0.0

    async def run(self) -> list[str]:
        self.table = SocketTable(FRONT, lambda _: "f", lambda *_: 0, LIMITS)
        self.link = Link(SocketPages.create())
        self.before: Opened | None = None
        self.worker = self.new_worker()
        self.meet()
        for name in INSTANCES:
            for _ in range(SOCKETS):
                self.join(name)
        for _ in range(self.steps):
            try:
                self.step()
                self.tick(self.between)
            except KilledError:
                await self.die()
            await asyncio.sleep(0)
        self.dying = 0.0
        for _ in range(2_000):
            if not self.busy():
                break
            self.step(last=True)
            await asyncio.sleep(0)
        problems = self.problems()
        self.link.pages.close()
        if self.table._ticking is not None:
            self.table._ticking.cancel()
        return problems

    def new_worker(self) -> Worker:
        return Worker(self.disk, self.tick)

    def tick(self, odds: float | None = None) -> None:
        if self.random.random() < (self.dying if odds is None else odds):
            raise KilledError

    def join(self, name: bytes) -> None:
        offer = self.table.offer("f")
        data = Open(offer.number, False, TYPE, name).pack()
        self.table.on_frame(cast("Any", self.link), data[4], data[5:])
        wire = Wire()
        client = self.table.connect(offer, offer.opened[0], cast("Any", wire))
        self.wires[offer.number] = name, cast("WebSocketClient", client), wire
        self.disk.sockets[name].append(offer.number)

    def step(self, *, last: bool = False) -> None:
        self.dying = 0.0 if last else self.within
        worker = self.worker
        what = self.random.choice(
            ["talk", "hear", "begin", "begin", "end", "end", "commit", "commit", "flush", "front"]
        )
        name = self.random.choice(INSTANCES)
        if what == "talk" and self.wires and not last:
            socket = self.random.choice([*self.wires])
            _, client, wire = self.wires[socket]
            if wire.code is None and wire.reading:
                text = f"{socket & 0xFF}.{len(self.said[socket])} {self.random.choice(KINDS)}"
                self.said[socket].append(text)
                client.data_received(frame(TEXT, text.encode()))
        elif what == "hear" and self.link.out:
            worker.receive(self.link.out.popleft())
        elif what == "begin" and worker.mail[name] and name not in worker.running:
            worker.begin(name)
        elif what == "end" and name in worker.running:
            worker.end(name)
        elif what == "commit":
            worker.commit()
        elif what == "flush":
            worker.flush(self.random.randint(0, len(worker.unflushed)))
        elif what == "front" and worker.pipe:
            self.hear(worker.pipe.popleft())

    def hear(self, data: bytes) -> None:
        """The front reads a frame."""
        if data[4] == Kind.REPLY:
            slot, _, _ = unpack_reply(data[5:])
            self.table.on_reply(cast("Any", self.link), slot)
        else:
            self.table.on_frame(cast("Any", self.link), data[4], data[5:])

    def busy(self) -> bool:
        worker = self.worker
        under_way = sum(flow.under_way for flow in self.table._flows.values())
        gathered = worker.flight is not None or bool(worker.gate.current.batches)
        waiting = any(worker.mail.values()) or bool(worker.running)
        return bool(under_way or gathered or waiting or worker.unflushed or worker.pipe or self.link.out)

    async def die(self) -> None:
        self.deaths += 1
        self.excuse()
        while self.worker.pipe:
            self.hear(self.worker.pipe.popleft())
        self.table.on_lost(cast("WorkerLink", self.link))
        self.link.out.clear()
        self.worker = self.new_worker()
        if self.random.random() < 0.1:  # it dies before the front has met it, with groups of its own
            self.excused |= {*self.wires}
            self.disk.group += self.random.randint(0, 2)
            self.worker = self.new_worker()
        self.meet()
        await asyncio.sleep(0)

    def excuse(self) -> None:
        """Note whose frames are lost by this death, and whose events nobody can judge, as the model sees it."""
        worker = self.worker
        instances = {worker.cut, *(Send.unpack(data[5:]).name for data in worker.unflushed if data[4] == Kind.SEND)}
        instances |= {owner.name for link in worker.sockets.outgoing._links.values() for owner in link.queues}
        if worker.flight is not None and worker.is_written:
            instances |= {entry.stored.name for entry, _ in worker.flight.held}
        self.excused |= {socket for socket, (name, _, _) in self.wires.items() if name in instances}
        self.excused |= {socket for socket, name, text in worker.left if text not in self.disk.applied[name]}
        for _, given in self.table._flows[cast("Any", self.link)].all_given():
            if given.deaths >= REPEATS_MAX and given.socket is not None:
                self.excused.add(socket_number(FRONT, given.socket.serial))

    def meet(self) -> None:
        """The front connects, and judges what the last one has left."""
        pages = SocketPages.create()
        left, self.link.pages = self.link.pages, pages
        self.worker.connect(pages)
        opened = Opened(self.disk.epoch, {0: self.disk.epoch}, {0: self.disk.group})
        before, self.before = self.before, opened
        self.table.on_up(cast("Any", self.link), LinkUp(before, opened, left))
        left.close()

    def problems(self) -> list[str]:
        found: list[str] = []
        open_ = {
            socket: (name, wire)
            for socket, (name, client, wire) in self.wires.items()
            if wire.code is None and client._state is State.OPEN
        }
        self.closes = len(self.wires) - len(open_)
        found += [f"needless close of {each & 0xFF}" for each in self.wires.keys() - open_.keys() - self.excused]
        for name in INSTANCES:
            heard = {socket: wire.heard for socket, (whose, wire) in open_.items() if whose == name}
            if len({tuple(each) for each in heard.values()}) > 1:
                found.append(f"gap: {heard}")
            for texts in [*heard.values(), self.disk.applied[name]]:
                found += [f"twice: {text}" for text, count in Counter(texts).items() if count > 1]
            for socket in heard:
                said = self.said[socket]
                for kinds, texts in ((SENDING, heard[socket]), (WRITING, self.disk.applied[name])):
                    wanted = [text for text in said if text.split()[1] in kinds]
                    own = [text for text in texts if text.startswith(f"{socket & 0xFF}.")]
                    if own != wanted:
                        found.append(f"of {socket & 0xFF}: said {wanted}, came {own}")
        return found


async def histories(
    seeds: range, *, until_wrong: bool = False, of: type[History] = History
) -> tuple[list[str], int, int]:
    """What is wrong with these, or the first that is; how many deaths there were, and how many sockets were closed."""
    found: list[str] = []
    deaths = closes = 0
    for seed in seeds:
        history = of(seed)
        found += [f"{seed}: {each}" for each in await history.run()]
        deaths += history.deaths
        closes += history.closes
        if found and until_wrong:
            break
    return found, deaths, closes
