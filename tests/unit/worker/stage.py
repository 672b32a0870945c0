"""A worker without processes, for tests: the real loop over a store in memory, and guests that are functions."""

from __future__ import annotations

import json
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from holdfast_host.core.clock import Clock
from holdfast_host.core.errors import HoldfastError
from holdfast_host.core.limits import SLOTS, Limits
from holdfast_host.sandbox.instance import Outcome, SandboxTrap
from holdfast_host.wire.calls.frames import PROTOCOL, Call, Kind, pack_call, pack_cancel, pack_json, split, unpack_reply
from holdfast_host.wire.control.routing import Routing
from holdfast_host.wire.pages.state_page import StatePage
from holdfast_host.wire.sockets.pages import SocketPages
from holdfast_host.worker.logs.output import Output
from holdfast_host.worker.running import runner as running
from holdfast_host.worker.threads.leadership import PARKED_MAX
from holdfast_host.worker.threads.monitor import Monitor
from holdfast_host.worker.tracing.spans import SpanSink
from holdfast_host.worker.turns.deployments import LoadedType
from holdfast_host.worker.turns.turn import Turn
from holdfast_host.worker.worker import Worker
from tests.harness import leader_guard
from tests.harness.memory_store import MemoryStore

leader_guard.install()

TYPE = 1
Guest = Callable[[Turn, Any], Any]


class GuestSandbox:
    """Stands in for Sandbox: a method is a function of the turn and its argument."""

    guests: dict[bytes, Guest]
    alive = 0

    def __init__(self) -> None:
        self.closed = False
        self.thread: int | None = None

    @classmethod
    def create(cls, component: Any, turn: Turn, *, memory_bytes_max: int) -> GuestSandbox:
        return cls()

    def activate(self, turn: Turn, actor_type: str, name: bytes, environment: bytes) -> Outcome:
        return True, b""

    def call(self, turn: Turn, method: bytes, arguments: bytes, typed_arguments: bool, typed_result: bool) -> Outcome:
        assert not self.closed, "a dropped sandbox was called"
        assert self.thread is None, "two threads in one sandbox"
        self.thread = threading.get_ident()
        try:
            result = self.guests[method](turn, json.loads(arguments or b"null"))
        except HoldfastError as error:
            return False, json.dumps(error.facts()).encode()
        finally:
            self.thread = None
        return True, json.dumps(result).encode()

    def alarm(self, turn: Turn, info: bytes) -> Outcome:
        outcome = self.call(turn, b"alarm", info, False, False)
        return (True, b"") if outcome[0] else outcome

    def job(self, turn: Turn, info: bytes) -> Outcome:
        outcome = self.call(turn, b"job", info, False, False)
        return (True, b"") if outcome[0] else outcome

    def scheduled(self, turn: Turn, event: bytes) -> Outcome:
        outcome = self.call(turn, b"scheduled", event, False, False)
        return (True, b"") if outcome[0] else outcome

    def fetch(self, turn: Turn, request: bytes) -> Outcome:
        return self.call(turn, b"fetch", request, False, False)

    def socket(self, turn: Turn, event: bytes, message: bytes) -> Outcome:
        told = json.dumps({**json.loads(event), "message": message.decode()}).encode()
        outcome = self.call(turn, b"socket", told, False, False)
        return (True, b"") if outcome[0] else outcome

    def frames(self) -> list[Any]:
        return []

    def close(self) -> None:
        assert self.thread is None, "closed while a thread runs in it"
        self.closed = True


class NoEngine:
    """Nothing computes in wasm here; loops call `tick` themselves."""

    def advance_epoch(self) -> None:
        pass


def add(turn: Turn, amount: int) -> int:
    """Read, add, write."""
    turn.host_call()
    total = int(turn.storage.get(b"total") or 0) + amount
    turn.host_call()
    turn.storage.put(b"total", b"%d" % total)
    return total


def read(turn: Turn, _: Any) -> int:
    turn.host_call()
    return int(turn.storage.get(b"total") or 0)


def compute(turn: Turn, seconds: float) -> str:
    """Compute in slices, as the epoch makes a real guest do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slice_end = time.monotonic() + 0.01
        while time.monotonic() < min(slice_end, end):
            time.sleep(0)
        if not turn.tick():
            raise SandboxTrap("ended", "the host ended it")
    return "computed"


def add_sync_add(turn: Turn, amount: int) -> int:
    add(turn, amount)
    turn.sync()
    return add(turn, amount)


def fail_after_write(turn: Turn, amount: int) -> int:
    add(turn, amount)
    raise HoldfastError("refused")


def trap_after_write(turn: Turn, amount: int) -> int:
    add(turn, amount)
    raise SandboxTrap("stack", "the stack is full")


class StageOverError(BaseException):
    """What the threads of a stage end with."""


END_TIMEOUT_S = 0.2  # a leader that a guest holds does not come to its end


def _end_thread(*_: object) -> Any:
    raise StageOverError


class _NoRoom(list[Any]):
    """In place of the parked threads: none is parked any more."""

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return PARKED_MAX


class Stage:
    """One worker and one client link to it; ended with its test, see `conftest`."""

    begun: ClassVar[list[Stage]] = []

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        limits: Limits | None = None,
        slots: int = 1,
        *,
        routing: Routing | None = None,
        number: int = 0,
        store: MemoryStore | None = None,
        clock: Clock | None = None,
        guests: dict[bytes, Guest] | None = None,
        fronts: tuple[int, ...] = (),
        spans: SpanSink | None = None,
    ) -> None:
        """`fronts` are those that live when the worker starts."""
        self.limits = limits or Limits()
        self.routing = routing or Routing.over(1, ["unused"])
        self.guests: dict[bytes, Guest] = {
            b"add": add,
            b"read": read,
            b"compute": compute,
            b"add_sync_add": add_sync_add,
            b"fail_after_write": fail_after_write,
            b"trap_after_write": trap_after_write,
            **(guests or {}),
        }
        sandbox = type("Sandbox", (GuestSandbox,), {"guests": self.guests})
        monkeypatch.setattr(running, "Sandbox", sandbox)
        self.store = store or MemoryStore(self.routing.partitions, self.limits)
        self.failures: queue.Queue[BaseException] = queue.Queue()
        self.broken: queue.Queue[BaseException] = queue.Queue()
        engine: Any = NoEngine()
        self.worker = Worker(
            self.store,
            engine,
            self.limits,
            Output(0, "error"),
            self.routing,
            number=number,
            compute_slots=slots,
            on_broken_store=self.broken.put,
            on_failure=self.failures.put,
            clock=clock,
            spans=spans,
        )
        self.worker.sockets.know_fronts(fronts)
        self.deploy()
        self.client = Client(self.worker)
        Monitor(
            self.worker.leadership,
            self.limits,
            engine,
            anything_waits=self.worker.loop.anything_waits,
            on_failure=self.failures.put,
        ).start()
        if routing is not None:
            self._listen(routing.addresses[number])
        self.worker.start()
        self.begun.append(self)

    def end(self) -> None:
        """Have its threads end, which live as long as their process elsewhere: a run has thousands of stages."""
        leadership: Any = self.worker.leadership
        leadership._lead = leadership.promote_if_slow = _end_thread
        with leadership._lock:
            parked, leadership._parked = leadership._parked, _NoRoom()
        for follower in parked:
            follower.wake.release()
        over = threading.Event()
        self.worker.inbox.post(over.set)
        self.worker.inbox.post(_end_thread)
        over.wait(END_TIMEOUT_S)  # else its next turn would run the guest of the stage that comes after it
        self.worker.output.flush()

    def _listen(self, address: str) -> None:
        """Be reachable for other workers."""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()
        groups = {str(n): {"epoch": 1, "group": 1} for n in range(self.routing.partitions)}
        hello = {"protocol": PROTOCOL, "pid": id(self), "partitions": groups}
        self.worker.poller.add(
            self.listener.fileno(),
            lambda events: Client.link(self.worker, self.listener.accept()[0], hello),
        )

    def loaded(self, version: int = 1) -> LoadedType:
        component: Any = None
        return LoadedType(
            type="T",
            type_id=TYPE,
            function="f",
            version=version,
            component=component,
            environment=b"{}",
            bindings={"T": "T"},
            methods=frozenset(self.guests),
            private=frozenset({b"secret"}),
            memory_bytes_max=1 << 26,
            method_timeout_s=math.inf,
            runs_jobs=b"job" in self.guests,
            asks_outside=True,
        )

    def deploy(self, version: int = 1) -> LoadedType:
        """Every turn that starts from now on runs the guests as they are now."""
        loaded = self.loaded(version)
        self.worker.deployments._by_type[TYPE] = loaded
        self.worker.deployments._by_name["default", "T"] = loaded
        return loaded

    def do(self, action: Callable[[], Any]) -> Any:
        """Run something as the leader does, and return what it returned."""
        done: queue.Queue[Any] = queue.Queue()
        self.worker.inbox.post(lambda: done.put(action()))
        return done.get(timeout=10)

    def call(self, name: str, method: str, argument: Any = None) -> tuple[int, Any]:
        return self.client.wait(self.client.send(name, method, argument))


class Client:
    """A link's other end: sends calls, collects replies; closed with its test."""

    begun: ClassVar[list[Client]] = []

    def __init__(self, worker: Worker, **further: int) -> None:
        """`further` members of its HELLO."""
        self.socket, theirs = socket.socketpair()
        worker.inbox.post(lambda: self.link(worker, theirs, {"protocol": PROTOCOL}))
        self.page = StatePage.create()
        self.pages = SocketPages.create()
        hello = pack_json(Kind.HELLO, {"protocol": PROTOCOL, "client": "test", "pid": os.getpid(), **further})
        socket.send_fds(self.socket, [hello], [self.page.fd, *(self.pages.descriptors if "front" in further else ())])
        self.replies: dict[int, tuple[int, Any]] = {}
        self.arrived = threading.Condition()
        self.order: list[int] = []
        self._slot = 0
        self._sending = threading.Lock()
        self.begun.append(self)
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def link(worker: Worker, connection: socket.socket, hello: dict[str, Any]) -> None:
        """The worker's end of a link."""
        worker.reception.welcome(connection, lambda: hello)

    def send(
        self,
        name: str,
        method: str,
        argument: Any = None,
        *,
        type_id: int = TYPE,
        budget_ms: int = 0,
        key: bytes = b"",
        trace: bytes = b"",
    ) -> int:
        body = b"" if argument is None else json.dumps(argument).encode()
        with self._sending:
            slot, self._slot = self._slot, (self._slot + 1) % SLOTS
            self.replies.pop(slot, None)
            call = Call(slot, type_id, budget_ms, 0, 0, name.encode(), method.encode(), b"", body, key, trace=trace)
            self.page.words[slot] = 0
            self.socket.sendall(pack_call(call))
        return slot

    def cancel(self, slot: int) -> None:
        self.socket.sendall(pack_cancel(slot))

    def wait(self, slot: int, timeout_s: float = 20) -> tuple[int, Any]:
        with self.arrived:
            if not self.arrived.wait_for(lambda: slot in self.replies, timeout_s):
                raise TimeoutError(f"no reply for slot {slot}")
            return self.replies[slot]

    def answered(self, slot: int) -> bool:
        with self.arrived:
            return slot in self.replies

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def take(self, kind: int, payload: bytes) -> None:
        """A frame that answers nothing."""

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            frames, buffer = split(buffer + data)
            with self.arrived:
                for kind, payload in frames:
                    if kind == Kind.REPLY:
                        slot, status, body = unpack_reply(payload)
                        self.replies[slot] = (status, json.loads(body) if body else None)
                        self.order.append(slot)
                    else:
                        self.take(kind, payload)
                self.arrived.notify_all()
