"""What the suite runs over: the test kit, and a real host. Both are asked as an HTTP caller asks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from holdfast import ActorCallError, Request, Response
from holdfast._values.codec import decode, encode
from holdfast.testing import LocalHost, NotAcceptedError, SocketClient
from tests.harness.caller import Caller
from tests.harness.host import HostProcess
from tests.harness.outside import Asked, Given, OutsideServer

SUITE = Path(__file__).parent / "suite"
TYPED = "application/vnd.holdfast+json"
LOG_TIMEOUT_S = 10.0
SOCKET_TIMEOUT_S = 20.0

Pieces = Callable[[], Generator[bytes, None, None]]


class Reply:
    """An answer: its status, its body, and what the body says."""

    def __init__(self, status: int, text: str, *, replayed: bool = False) -> None:
        self.status = status
        self.text = text
        self.replayed = replayed

    @property
    def value(self) -> Any:
        """The result as plain JSON."""
        assert self.status == 200, self
        return json.loads(self.text)

    @property
    def typed(self) -> Any:
        """The result with its types."""
        assert self.status == 200, self
        return decode(self.text)

    @property
    def error(self) -> dict[str, Any]:
        """The error's facts."""
        assert self.status != 200, self
        facts: dict[str, Any] = json.loads(self.text)["error"]
        return facts

    @property
    def refusal(self) -> tuple[int, str]:
        """The error's status and name."""
        return self.status, str(self.error["name"])

    def __repr__(self) -> str:
        return f"<{self.status} {self.text[:500]}>"


class FunctionReply(Reply):
    """A function's response, with its headers by lower-case name."""

    def __init__(self, status: int, text: str, headers: list[tuple[str, str]]) -> None:
        super().__init__(status, text)
        self.headers = {name.lower(): value for name, value in headers}


class Outside(Protocol):
    """What stands for the outside."""

    url: str

    def answer(self, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer requests to this path from now on."""

    def stream(self, path: str, headers: dict[str, str], pieces: Pieces) -> None:
        """The same with a body that is made and sent piece by piece; it is closed when nobody wants more of it."""

    def asked(self) -> list[Asked]:
        """What was sent since this was made."""


class SocketEnd(Protocol):
    """A client's end of a socket."""

    def send(self, message: str | bytes) -> None:
        """Send the instance a message."""

    def receive(self) -> Any:
        """The next message, text or bytes."""

    def close(self, code: int, reason: str) -> None:
        """Close it."""

    def closed(self) -> tuple[int, str]:
        """How it was closed, once all that was sent before is read."""

    def end(self) -> None:
        """Leave it, where it is not closed yet."""


class Driver(Protocol):
    """One of the two."""

    def post(
        self,
        actor_type: str,
        name: str,
        method: str,
        body: str = "",
        *,
        typed_arguments: bool = False,
        typed_result: bool = False,
        key: str | None = None,
    ) -> Reply:
        """Send a call."""

    def fetch(self, method: str, path: str, headers: dict[str, str], body: bytes) -> FunctionReply:
        """Send a request to the function; `path` with its query."""

    def socket(self, actor_type: str, name: str, path: str, *, by_function: bool = False) -> SocketEnd:
        """Connect a WebSocket to an instance, directly or by the function."""

    def refused_socket(self, actor_type: str, name: str, path: str) -> tuple[int, str]:
        """Status and text of what a client gets that is not accepted."""

    def log(self, label: str) -> list[tuple[str, str]]:
        """Level and text of each line of an instance."""

    def alarm(self, actor_type: str, name: str) -> dict[str, Any] | None:
        """State, retry count and last error of an instance's alarm."""

    def set_alarm(self, actor_type: str, name: str) -> str:
        """Have an instance's alarm be due at once, from outside; what is said where that is refused."""

    def edit(self, actor_type: str, name: str, key: str, value: Any) -> None:
        """Put a value under a key of an instance, from outside; None deletes the key."""

    def delete(self, actor_type: str, name: str) -> None:
        """Delete all that an instance has stored, from outside."""

    def evict(self, actor_type: str, name: str) -> None:
        """Take an instance out of memory."""

    def kill_workers(self) -> None:
        """End the processes that run actors, as a kill does."""

    def outside(self) -> Outside:
        """A fresh outside."""

    def wait(self, done: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until something is so; whether it was within that time."""

    def wait_long(self, done: Callable[[], bool], within_s: float) -> bool:
        """The same where that is longer than a test may take: only the clock of alarms moves."""


class KitOutside:
    """The kit's answers."""

    url = "http://outside.example"

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self._from = len(host.outbound.requests)

    def answer(self, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer requests to this path from now on."""
        self._host.outbound.answer(f"{self.url}{path}", Response(body, status, headers))

    def stream(self, path: str, headers: dict[str, str], pieces: Pieces) -> None:
        """The same with a body that is made and sent piece by piece."""
        self._host.outbound.answer(f"{self.url}{path}", lambda _: Response(pieces(), 200, headers))

    def asked(self) -> list[Asked]:
        """What was sent since this was made."""
        return [
            Asked(
                each.method,
                each.url.removeprefix(self.url),
                {name.lower(): value for name, value in each.headers.items()},
                each.body,
            )
            for each in self._host.outbound.requests[self._from :]
        ]


class HostOutside:
    """A server on loopback."""

    def __init__(self, server: OutsideServer) -> None:
        self.url = server.url
        self._server = server
        self._from = len(server.asked)

    def answer(self, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer requests to this path from now on."""
        self._server.answers[path] = Given(status, headers, body)

    def stream(self, path: str, headers: dict[str, str], pieces: Pieces) -> None:
        """The same with a body that is made and sent piece by piece."""
        self._server.answers[path] = Given(200, headers, pieces=pieces)

    def asked(self) -> list[Asked]:
        """What was sent since this was made."""
        return self._server.asked[self._from :]


class KitSocket:
    """The kit's client."""

    def __init__(self, client: SocketClient) -> None:
        self._client = client
        self.send, self.receive, self.close = client.send, client.receive, client.close

    def closed(self) -> tuple[int, str]:
        """How it was closed."""
        assert self._client.closed is not None
        return self._client.closed

    def end(self) -> None:
        """Leave it."""


class HostSocket:
    """A real client."""

    def __init__(self, url: str) -> None:
        self._open = ExitStack()
        self._client: ClientConnection = self._open.enter_context(connect(url))
        self.send, self.close = self._client.send, self._client.close

    def receive(self) -> str | bytes:
        """The next message."""
        return self._client.recv(SOCKET_TIMEOUT_S)

    def closed(self) -> tuple[int, str]:
        """How it was closed."""
        try:
            message = self._client.recv(SOCKET_TIMEOUT_S)
        except ConnectionClosed as error:
            return (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (1006, "")
        raise AssertionError(f"it was sent {message!r}")

    def end(self) -> None:
        """Leave it."""
        self._open.close()


class KitDriver:
    """The test kit."""

    def __init__(self) -> None:
        self.host = LocalHost.of_project(SUITE)

    def post(
        self,
        actor_type: str,
        name: str,
        method: str,
        body: str = "",
        *,
        typed_arguments: bool = False,
        typed_result: bool = False,
        key: str | None = None,
    ) -> Reply:
        """Send a call."""
        answer = self.host.post(
            actor_type, name, method, body, typed_arguments=typed_arguments, typed_result=typed_result, key=key
        )
        return Reply(answer.status, answer.text, replayed=answer.replayed)

    def fetch(self, method: str, path: str, headers: dict[str, str], body: bytes) -> FunctionReply:
        """Send a request to the function; `path` with its query."""
        try:
            response = self.host.fetch(Request(f"http://suite.localhost{path}", method, headers, body))
        except ActorCallError as error:
            facts = {"name": error.name, "message": error.message, "retryable": error.retryable}
            if error.code is not None:
                facts["code"] = error.code
            return FunctionReply(error.status or 500, json.dumps({"error": facts}), [])
        return FunctionReply(response.status, response.text(), response.headers.items())

    def socket(self, actor_type: str, name: str, path: str, *, by_function: bool = False) -> SocketEnd:
        """Connect a WebSocket to an instance, directly or by the function."""
        if by_function:
            return KitSocket(self.host.socket(None, "", f"/meet/{name}{path}"))
        return KitSocket(self.host.socket(actor_type, name, path))

    def refused_socket(self, actor_type: str, name: str, path: str) -> tuple[int, str]:
        """Status and text of what a client gets that is not accepted."""
        try:
            self.host.socket(actor_type, name, path)
        except NotAcceptedError as error:
            return error.response.status, error.response.text()
        except ActorCallError as error:
            return error.status or 500, error.message
        raise AssertionError("it was accepted")

    def log(self, label: str) -> list[tuple[str, str]]:
        """Level and text of each line of an instance."""
        return [(line.level, line.text) for line in self.host.log if line.instance == label]

    def alarm(self, actor_type: str, name: str) -> dict[str, Any] | None:
        """State, retry count and last error of an instance's alarm."""
        alarm = self.host.instance(actor_type, name).alarm
        if alarm is None:
            return None
        return {"state": alarm.state, "retry_count": alarm.retry_count, "last_error": alarm.last_error or None}

    def set_alarm(self, actor_type: str, name: str) -> str:
        """Have an instance's alarm be due at once, from outside; what is said where that is refused."""
        try:
            self.host.instance(actor_type, name).set_alarm(timedelta(0))
        except RuntimeError as error:
            return str(error)
        return ""

    def edit(self, actor_type: str, name: str, key: str, value: Any) -> None:
        """Put a value under a key of an instance, from outside; None deletes the key."""
        storage = self.host.instance(actor_type, name).storage
        if value is None:
            del storage[key]
        else:
            storage[key] = value

    def delete(self, actor_type: str, name: str) -> None:
        """Delete all that an instance has stored, from outside."""
        self.host.instance(actor_type, name).erase()

    def evict(self, actor_type: str, name: str) -> None:
        """Take an instance out of memory."""
        self.host.instance(actor_type, name).evict()

    def kill_workers(self) -> None:
        """End what runs the actors."""
        self.host.crash_worker()

    def outside(self) -> Outside:
        """A fresh outside."""
        return KitOutside(self.host)

    def wait(self, done: Callable[[], bool], within_s: float) -> bool:
        """Move the clock in small steps."""
        for _ in range(int(within_s * 10)):
            if done():
                return True
            self.host.clock.advance(0.1)
        return done()

    wait_long = wait


class HostDriver:
    """A host process, whose workers' clock is off by as many seconds as the file `clock` says.

    What the instance writes is lost whose name is in the file `loses`, where that is there.
    """

    def __init__(self, host: HostProcess, clock: Path, loses: Path, server: OutsideServer) -> None:
        self.host = host
        self._server = server
        self._clock = clock
        self._loses = loses
        self._own = threading.local()
        self._callers: list[Caller] = []

    @property
    def _caller(self) -> Caller:
        """One a thread: what stands for the outside asks the host from threads of its own, while the test does."""
        caller: Caller | None = getattr(self._own, "caller", None)
        if caller is None:
            caller = self._own.caller = self.host.caller()
            self._callers.append(caller)
        return caller

    def close(self) -> None:
        """Close the connections."""
        for caller in self._callers:
            caller.close()

    def post(
        self,
        actor_type: str,
        name: str,
        method: str,
        body: str = "",
        *,
        typed_arguments: bool = False,
        typed_result: bool = False,
        key: str | None = None,
    ) -> Reply:
        """Send a call."""
        path = f"/v1/actors/{quote(actor_type, safe='')}/{quote(name, safe='')}/{quote(method, safe='')}"
        headers = {"Content-Type": TYPED} if typed_arguments else {}
        if typed_result:
            headers["Accept"] = TYPED
        if key is not None:
            headers["Idempotency-Key"] = key
        answer = self._caller.request("POST", path, body.encode() if body else None, headers)
        return Reply(answer.status, answer.text, replayed=answer.headers.get("idempotency-replayed") == "true")

    def fetch(self, method: str, path: str, headers: dict[str, str], body: bytes) -> FunctionReply:
        """Send a request to the function; `path` with its query."""
        answer = self._caller.request(method, f"/fn/suite{path}", body or None, headers)
        return FunctionReply(answer.status, answer.text, list(answer.headers.items()))

    def socket(self, actor_type: str, name: str, path: str, *, by_function: bool = False) -> SocketEnd:
        """Connect a WebSocket to an instance, directly or by the function."""
        way = f"/fn/suite/meet/{name}" if by_function else f"/v1/actors/{actor_type}/{name}"
        return HostSocket(f"{self._sockets_url}{way}{path}")

    def refused_socket(self, actor_type: str, name: str, path: str) -> tuple[int, str]:
        """Status and text of what a client gets that is not accepted."""
        try:
            HostSocket(f"{self._sockets_url}/v1/actors/{actor_type}/{name}{path}").end()
        except InvalidStatus as error:
            return error.response.status_code, (error.response.body or b"").decode()
        raise AssertionError("it was accepted")

    @property
    def _sockets_url(self) -> str:
        return self.host.url.replace("http:", "ws:")

    def log(self, label: str) -> list[tuple[str, str]]:
        """Level and text of each line of an instance; lines come a moment later than the answer."""
        deadline = time.monotonic() + LOG_TIMEOUT_S
        # A line that is written later than everything before it: then those are there too.
        mark = f"mark {time.monotonic_ns()}"
        self.post("Probe", "log-mark", "say_text", encode([mark]))
        while mark not in self.host.log:
            assert time.monotonic() < deadline, "the host's log does not grow"
            time.sleep(0.02)
        lines = [json.loads(line) for line in self.host.log.splitlines() if line.startswith("{")]
        printed = [line for line in lines if line.get("instance") == label and "process" not in line]
        return [(line["level"], line["message"]) for line in printed]

    def alarm(self, actor_type: str, name: str) -> dict[str, Any] | None:
        """State, retry count and last error of an instance's alarm."""
        answer = self._caller.request("GET", f"/v1/instances/{actor_type}/{quote(name, safe='')}/alarm")
        assert answer.status == 200, answer
        facts: dict[str, Any] | None = answer.value
        return facts and {key: facts[key] for key in ("state", "retry_count", "last_error")}

    def set_alarm(self, actor_type: str, name: str) -> str:
        """Have an instance's alarm be due at once, from outside; what is said where that is refused."""
        answer = self._caller.request("PUT", f"/v1/instances/{actor_type}/{quote(name, safe='')}/alarm")
        return "" if answer.status == 200 else str(answer.value["error"]["message"])

    def edit(self, actor_type: str, name: str, key: str, value: Any) -> None:
        """Put a value under a key of an instance, from outside; None deletes the key."""
        path = f"/v1/instances/{actor_type}/{quote(name, safe='')}/storage/{quote(key, safe='')}"
        if value is None:
            answer = self._caller.request("DELETE", path)
        else:
            answer = self._caller.request("PUT", path, encode(value).encode(), {"Content-Type": TYPED})
        assert answer.status == 200, answer

    def delete(self, actor_type: str, name: str) -> None:
        """Delete all that an instance has stored, from outside."""
        answer = self._caller.request("DELETE", f"/v1/instances/{actor_type}/{quote(name, safe='')}")
        assert answer.status == 200, answer

    @contextmanager
    def losing(self, name: str) -> Iterator[None]:
        """Within it, what an instance of that name writes is lost on its way to disk."""
        self._loses.write_text(name)
        try:
            yield
        finally:
            self._loses.unlink()

    def evict(self, actor_type: str, name: str) -> None:
        """Take an instance out of memory."""
        answer = self._caller.request("POST", f"/v1/instances/{actor_type}/{quote(name, safe='')}/evict")
        assert answer.status == 200, answer

    def kill_workers(self) -> None:
        """Kill them all."""
        for index in range(len(self.host.pids()["worker"])):
            self.host.kill("worker", index=index)

    def outside(self) -> Outside:
        """A fresh outside."""
        return HostOutside(self._server)

    def wait(self, done: Callable[[], bool], within_s: float) -> bool:
        """Wait in real time, with some slack for a busy machine."""
        return self._wait(done, within_s + 5)

    def wait_long(self, done: Callable[[], bool], within_s: float) -> bool:
        """Set the clock ahead by a second each 0.1 s, and right again in the end."""
        try:
            for ahead_s in range(1, int(within_s) + 1):
                if self._wait(done, 0.1):
                    return True
                self._set_clock(ahead_s)
            return self._wait(done, 5)
        finally:
            self._set_clock(0)

    def _wait(self, done: Callable[[], bool], within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _set_clock(self, ahead_s: int) -> None:
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(ahead_s))
        fresh.replace(self._clock)


class Subject:
    """One instance of one driver, with a name that no other test has."""

    def __init__(self, driver: Driver, actor_type: str, name: str) -> None:
        self.driver = driver
        self.type = actor_type
        self.name = name

    @property
    def label(self) -> str:
        """`Probe/name`."""
        return f"{self.type}/{self.name}"

    def call(self, method: str, *args: Any, **kwargs: Any) -> Reply:
        """Call with positions or names, typed both ways."""
        assert not (args and kwargs)
        body = encode(list(args)) if args else encode(kwargs) if kwargs else ""
        return self.driver.post(self.type, self.name, method, body, typed_arguments=True, typed_result=True)

    def plain(self, method: str, body: str = "", key: str | None = None) -> Reply:
        """Call with plain JSON text, for a plain result, under an idempotency key or none."""
        return self.driver.post(self.type, self.name, method, body, key=key)

    def do(self, *steps: Any) -> Any:
        """The results of a Probe's steps."""
        return self.call("do", *steps).typed

    def one(self, *step: Any) -> Any:
        """The result of one step."""
        return self.do(list(step))[0]

    @property
    def alarm(self) -> dict[str, Any] | None:
        """State, retry count and last error of its alarm."""
        return self.driver.alarm(self.type, self.name)

    @property
    def log(self) -> list[tuple[str, str]]:
        """Level and text of its lines."""
        return self.driver.log(self.label)
