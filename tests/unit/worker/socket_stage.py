"""A worker with sockets over a store in memory, and a front that the test plays: it offers, hears and tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import Limits
from holdfast_host.storage.store import SocketRow, StoredInstance
from holdfast_host.wire.calls.frames import EVENT_SLOT, Call, CallKind, Kind, pack_call
from holdfast_host.wire.pages.send_page import NO_SLOT
from holdfast_host.wire.sockets.frames import (
    Auto,
    Close,
    Closed,
    Frame,
    Message,
    Open,
    Send,
    pack_taken,
    socket_number,
    socket_text,
)
from holdfast_host.wire.sockets.standing import StandingSockets
from holdfast_host.worker.tracing.spans import SpanSink
from holdfast_host.worker.turns.turn import Turn
from holdfast_host.worker.worker import Worker
from tests.harness.clock import ManualClock
from tests.harness.memory_store import MemoryStore
from tests.unit.worker.stage import TYPE, Client, Guest, Stage

READERS: dict[int, Callable[[bytes], Frame]] = {
    Kind.OPEN: Open.unpack,
    Kind.SEND: Send.unpack,
    Kind.CLOSE: Close.unpack,
    Kind.AUTO: Auto.unpack,
}
PATIENCE_S = 20


class Front(Client):
    """A link of a front. `told` is what came of sockets, in order."""

    clears = True  # the slots of the send page, as frames come

    def __init__(
        self,
        worker: Worker,
        front: int = 7,
        serial: int = 1,
        standing: StandingSockets | None = None,
        says: bool = True,
    ) -> None:
        """`standing` is what it says of its sockets; unless `says` is False, who says it by `stand`."""
        self.told: list[Frame] = []
        self.send_bytes = 0
        self.front = front
        self._serials = serial
        self._events = 0
        super().__init__(worker, front=front)
        if says:
            self.stand(standing or StandingSockets(serial))

    def stand(self, standing: StandingSockets) -> None:
        self.socket.sendall(standing.pack())

    def take(self, kind: int, payload: bytes) -> None:
        if kind in READERS:
            frame = READERS[kind](payload)
            if not isinstance(frame, Open):
                if self.clears:
                    self.pages.sends.clear(frame.slot)
                frame = frame._replace(slot=NO_SLOT) if isinstance(frame, Send) else replace(frame, slot=NO_SLOT)
            self.told.append(frame)
            self.send_bytes += (len(payload) + 5) * (kind == Kind.SEND)

    def offer(self) -> int:
        """The number of a new socket."""
        serial, self._serials = self._serials, self._serials + 1
        return socket_number(self.front, serial)

    def ask(self, name: str, request: dict[str, Any], offer: int) -> int:
        """Send a fetch that may accept that socket; its slot."""
        with self._sending:
            slot, self._slot = self._slot, self._slot + 1
            self.replies.pop(slot, None)
            body = json.dumps(request).encode()
            call = Call(slot, TYPE, 0, CallKind.FETCH, 0, name.encode(), b"fetch", b"", body, offer=offer)
            self.page.words[slot] = 0
            self.socket.sendall(pack_call(call))
        return slot

    def accept(self, name: str, **options: Any) -> int:
        """A new socket that the instance has accepted, durable and open."""
        socket = self.offer()
        status, body = self.wait(self.ask(name, {"accept": socket_text(socket), **options}, socket))
        assert status == 200, body
        self.wait_told(lambda told: any(isinstance(each, Open) and each.socket == socket for each in told))
        return socket

    def event(self, name: str, method: str, body: bytes) -> int:
        with self._sending:
            slot, self._events = EVENT_SLOT | self._events, self._events + 1
            call = Call(slot, TYPE, 0, CallKind.SOCKET, 0, name.encode(), method.encode(), b"", body)
            self.socket.sendall(pack_call(call))
        return slot

    def say(self, name: str, socket: int, text: str) -> int:
        """The client's message; the slot of its event."""
        return self.event(name, "socket_message", Message(socket, binary=False, data=text.encode()).pack())

    def closed(self, name: str, socket: int, code: int = 1000, *, clean: bool = True, method: str = "close") -> int:
        return self.event(name, f"socket_{method}", Closed(socket, code, clean, "bye").pack())

    def taken(self, send_bytes: int) -> None:
        self.socket.sendall(pack_taken(send_bytes))

    def wait_told(self, ready: Callable[[list[Frame]], bool]) -> list[Frame]:
        with self.arrived:
            if not self.arrived.wait_for(lambda: ready(self.told), PATIENCE_S):
                raise TimeoutError(f"the front was told {self.told}")
            return list(self.told)

    def texts(self, socket: int) -> list[str]:
        """The messages that a socket was sent so far."""
        with self.arrived:
            sends = [each for each in self.told if isinstance(each, Send)]
        return [each.data.decode() for each in sends if socket & 0xFFFFFFFF in each.serials]

    def closes(self) -> list[tuple[int, tuple[int, ...]]]:
        """Code and serials of what the front is to close."""
        with self.arrived:
            return [(each.code, each.serials) for each in self.told if isinstance(each, Close)]


@dataclass
class Steps:
    """What a turn does: one of these in `do`, with what it needs."""

    turn: Turn

    def do(self, what: str, *facts: Any) -> Any:
        turn, sockets = self.turn, self.turn.sockets
        if what == "send":
            return sockets.send(json.dumps(facts[0]).encode(), facts[1].encode(), json.dumps(facts[2:] or {}).encode())
        if what == "close":
            return sockets.close(json.dumps(facts[0]).encode(), facts[1], b"enough")
        if what == "put":
            return turn.storage.put(facts[0].encode(), json.dumps(facts[1]).encode())
        if what == "get":
            return json.loads(turn.storage.get(facts[0].encode()) or b"null")
        if what == "count":
            return sockets.count(None if not facts else facts[0].encode())
        if what == "list":
            return [each["id"] for each in json.loads(sockets.list(None, b"", 1000))["sockets"]]
        if what == "auto":
            return sockets.auto_response(*(each.encode() for each in facts))
        if what == "attach":
            return sockets.attach(facts[0].encode(), json.dumps(facts[1]).encode())
        if what == "sync":
            return turn.sync()
        if what == "undone":
            turn.storage.savepoint()
            self.do(*facts)
            return turn.storage.rollback()
        raise ValueError(f"asked on purpose to fail: {what}")


def run_steps(turn: Turn, steps: list[list[Any]]) -> list[Any]:
    """A method: what each step returned."""
    turn.host_call()
    try:
        return [Steps(turn).do(*step) for step in steps]
    except ValueError as error:
        raise HoldfastError(str(error)) from None


def fetch(turn: Turn, request: dict[str, Any]) -> dict[str, Any]:
    """Accept what the request says, and do further `steps`."""
    options = {name: value for name, value in request.items() if name not in {"accept", "steps"}}
    if "accept" in request:
        turn.sockets.accept(request["accept"].encode(), json.dumps(options).encode())
    run_steps(turn, request.get("steps", []))
    return {"status": 101, "headers": []}


class SocketStage:
    """A worker whose guest has sockets. `events` lists what its handlers were told."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        store: MemoryStore | None = None,
        limits: Limits | None = None,
        handler: Guest | None = None,
        front: int = 7,
        serial: int = 1,
        awaits: tuple[int, ...] = (),
        spans: SpanSink | None = None,
    ) -> None:
        """`awaits` are fronts that live, and have not come yet."""
        self.clock = ManualClock()
        self.events: list[dict[str, Any]] = []
        self.handler = handler
        self._lock = threading.Lock()
        self.stage = Stage(
            monkeypatch,
            limits,
            store=store,
            clock=self.clock,
            guests={b"fetch": fetch, b"socket": self._handle, b"run": run_steps},
            fronts=awaits,
            spans=spans,
        )
        self.store = self.stage.store
        self.worker = self.stage.worker
        self.front = Front(self.worker, front, serial)

    def _handle(self, turn: Turn, event: dict[str, Any]) -> Any:
        with self._lock:
            self.events.append(event)
        if self.handler is not None:
            return self.handler(turn, event)
        if event["event"] == "message":
            return run_steps(turn, json.loads(event["message"]))
        turn.storage.put(b"closed", b"%d" % (int(turn.storage.get(b"closed") or 0) + 1))
        return None

    def run(self, name: str, *steps: list[Any]) -> list[Any]:
        status, body = self.stage.call(name, "run", list(steps))
        assert status == 200, body
        result: list[Any] = body
        return result

    def told(self, kind: str = "event") -> list[str]:
        """What the handlers were told, in order."""
        with self._lock:
            return [each[kind] for each in self.events]

    def stored(self, name: str) -> StoredInstance:
        return self.store.locate(TYPE, name.encode())

    def rows(self, name: str) -> dict[int, SocketRow]:
        return dict(self.store.sockets(self.stored(name), 0, 1 << 20)[0])

    def settle(self) -> None:
        """Return when nothing is due, under way or on its way to disk."""
        worker = self.worker

        def at_rest() -> bool:
            sockets, gate = worker.sockets, worker.gate
            under_way = sockets.closings.occupancy()
            busy = bool(under_way["under_way"] or under_way["waiting"] or sockets.is_due())
            unsettled = gate.flight or gate.current.batches or worker.replies.anything_unsent()
            return not (
                busy or unsettled or worker.mailboxes.anything_ready() or worker.running or worker.leadership.detached
            )

        assert self.stage.failures.empty(), self.stage.failures.get()
        self.stage.do(lambda: None)
        while not self.stage.do(at_rest):
            pass

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()


def left_by_a_dead_worker(store: MemoryStore) -> MemoryStore:
    """What is durable at this moment, for a successor."""
    copy = MemoryStore()
    for place, row in store._rows.items():
        copy._rows[place] = replace(
            row, values=dict(row.values), receipts=dict(row.receipts), sockets=dict(row.sockets)
        )
    copy._next_number = store._next_number + 1000
    return copy


def to(*sockets: int) -> dict[str, Any]:
    return {"ids": [socket_text(each) for each in sockets]}


def steps(*each: list[Any]) -> str:
    return json.dumps(each)


def handlers(room: SocketStage, *names: str) -> None:
    loaded = replace(room.stage.loaded(2), handlers=frozenset({*names}))
    room.stage.do(lambda: room.worker.deployments._by_type.update({TYPE: loaded}))
