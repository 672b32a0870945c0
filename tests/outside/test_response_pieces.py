"""Bodies in pieces of a running host: when each reaches its client, what ends one, and whom it holds up."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from threading import Event, Semaphore
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contract.guest.drivers import SUITE
from tests.harness import components
from tests.harness.caller import Caller
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command
from tests.harness.outside import Given, OutsideServer, outside_server

GRANTS = ("--outbound", "http://*", "--outbound-private", "127.0.0.1")
TAKE_S = 3
STANDING = ('"bodies":4', '"turns_total":0', '"detached":0')  # four bodies, no turn and no thread


class Client:
    """A client with a bare socket, which takes what it wants when it wants."""

    def __init__(
        self, host: HostProcess, path: str, method: str = "GET", version: str = "1.1", window: int = 0
    ) -> None:
        where = urlsplit(host.url)
        self.socket = socket.socket()
        OPEN.append(self)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(30)
        self.socket.connect((where.hostname, where.port))
        self.socket.sendall(f"{method} {path} HTTP/{version}\r\nHost: suite.localhost:{where.port}\r\n\r\n".encode())
        self._data = b""

    def until(self, text: bytes) -> bytes:
        """What has come up to this text and with it; AssertionError where the connection ends first."""
        while text not in self._data:
            data = self.socket.recv(1 << 16)
            assert data, self._data
            self._data += data
        found, _, self._data = self._data.partition(text)
        return found + text

    def rest(self) -> bytes:
        """All that comes until the end, and `RESET` where that is one."""
        try:
            while data := self.socket.recv(1 << 16):
                self._data += data
        except ConnectionResetError:
            self._data += b"RESET"
        return self._data

    def close(self) -> None:
        self.socket.close()


OPEN: list[Client] = []


@pytest.fixture(autouse=True)
def no_client_is_left() -> Iterator[None]:
    """Those that a test has made are closed after it."""
    yield
    while OPEN:
        OPEN.pop().close()


def until(done: Callable[[], Any], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(folder: Path, *limits: str, **brought: Any) -> HostProcess:
    options = [part for each in limits for part in ("--limit", each)]
    return HostProcess(folder / "data", "--workers", "1", "--log-format", "json", *GRANTS, *options, **brought)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """One with few streams of a function, and little patience."""
    limits = ("function_streams_max=4", f"stream_take_s={TAKE_S}", "fetch_timeout_s=3", "function_sandboxes_max=2")
    with start(tmp_path_factory.mktemp("pieces"), *limits) as running:
        deploy(running, components.built(SUITE))
        yield running


@pytest.fixture
def caller(host: HostProcess) -> Iterator[Caller]:
    with host.caller() as made:
        yield made


@pytest.fixture
def outside() -> Iterator[OutsideServer]:
    with outside_server() as server:
        yield server


def closed(caller: Caller, name: str) -> Any:
    """How the bodies of this name have ended."""
    return caller.value("Piecewise", name, "closed")


@pytest.mark.slow
def test_each_token_of_a_model_reaches_the_client_before_the_next_is_sent(
    host: HostProcess, caller: Caller, outside: OutsideServer
) -> None:
    """Through courier, worker, sandbox and front; the head before the first."""
    seen = Semaphore(0)
    words = ["Hold", "fast", "to", "the", "rope"]

    def model() -> Generator[bytes, None, None]:
        for word in words:
            assert seen.acquire(timeout=20)
            yield b"data: %b\n\n" % json.dumps({"token": word}).encode()
        assert seen.acquire(timeout=20)

    outside.answers["/v1/chat"] = Given(200, {"Content-Type": "text/event-stream"}, pieces=model)
    client = Client(host, f"/pieces/tokens/a?url={outside.url}/v1/chat")
    head = client.until(b"\r\n\r\n").lower()
    assert b"transfer-encoding: chunked" in head
    assert b"content-type: text/event-stream" in head
    for word in words:
        seen.release()
        client.until(b'data: {"token": "%b"}\n\n\r\n' % word.encode())
    seen.release()
    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert json.loads(outside.asked[0].body) == {"stream": True}
    assert closed(caller, "a") == ["tokens"]


@pytest.mark.slow
def test_a_piece_leaves_when_what_it_knows_of_actors_is_durable(tmp_path: Path, outside: OutsideServer) -> None:
    assert not _piece_came_while_commit_was_held(tmp_path, outside)


@pytest.mark.slow
def test_without_the_gate_it_leaves_before(tmp_path: Path, outside: OutsideServer) -> None:
    assert _piece_came_while_commit_was_held(tmp_path, outside, "open_gate")


def _piece_came_while_commit_was_held(folder: Path, outside: OutsideServer, *mutations: str) -> bool:
    """The second piece tells what an actor has counted whose commit is held: whether it reaches the client by then."""
    told, hold = Semaphore(1), folder / "hold"
    outside.answers["/told"] = Given(before=lambda: told.acquire(timeout=30))
    with start(folder, command=command(f"hold_commits={hold}", *mutations)) as host:
        deploy(host, components.built(SUITE))
        client = Client(host, f"/pieces/told/a?url={outside.url}/told")
        client.until(b"1 ")
        hold.touch()
        told.release()
        until(hold.with_suffix(".held").exists)
        client.socket.settimeout(0.5)
        try:
            client.until(b"2 ")
            came = True
        except TimeoutError:
            came = False
        hold.unlink()
        client.socket.settimeout(30)
        if not came:
            client.until(b"2 ")
        client.close()
        told.release()
    return came


def test_the_connection_serves_the_next_request(host: HostProcess) -> None:
    client = Client(host, "/pieces/words")
    client.until(b"0\r\n\r\n")
    client.socket.sendall(b"GET /empty HTTP/1.1\r\nHost: suite.localhost\r\n\r\n")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 204")
    client.close()


def test_a_client_that_goes_has_the_functions_finally_run(host: HostProcess, caller: Caller) -> None:
    client = Client(host, "/pieces/endless/gone")
    client.until(b"3 ")
    client.close()
    until(lambda: closed(caller, "gone") == ["cut"])


def test_one_that_goes_while_nothing_comes_ends_the_request_outside_at_once(
    host: HostProcess, caller: Caller, outside: OutsideServer
) -> None:
    hung, over = Event(), Event()

    def model() -> Generator[bytes, None, None]:
        yield b"data: 1\n\n"
        hung.set()
        over.wait(20)

    outside.answers["/hangs"] = Given(pieces=model)
    client = Client(host, f"/pieces/tokens/hung?url={outside.url}/hangs")
    client.until(b"data: 1\n\n")
    assert hung.wait(10)
    began = time.monotonic()
    client.close()
    until(lambda: closed(caller, "hung") == ["tokens"])
    took_s = time.monotonic() - began
    over.set()

    assert took_s < 2  # and not the 3 s that a piece may take


@pytest.mark.limit("stream_take_s")
def test_a_client_that_takes_nothing_is_cut_and_slow_ones_are_waited_for(host: HostProcess, caller: Caller) -> None:
    slow, stuck = (Client(host, f"/pieces/endless/{name}?size=190000", window=4096) for name in ("slow", "stuck"))
    stuck.until(b"1 x")
    began = time.monotonic()
    while closed(caller, "stuck") is None:
        assert time.monotonic() < began + 20
        slow.socket.recv(1 << 16)
    before = caller.value("Piecewise", "slow", "counted")

    assert closed(caller, "stuck") == ["cut"]
    assert closed(caller, "slow") is None
    while caller.value("Piecewise", "slow", "counted") <= before:
        assert time.monotonic() < began + 25
        for _ in range(100):
            slow.socket.recv(1 << 16)
    slow.close()
    until(lambda: closed(caller, "slow") == ["cut"])
    stuck.close()


def test_nothing_is_made_ahead_of_a_client_but_what_the_connection_holds(host: HostProcess, caller: Caller) -> None:
    client = Client(host, "/pieces/endless/ahead?size=190000", window=4096)
    counted = 0
    while (now := caller.value("Piecewise", "ahead", "counted") or 0) != counted or not now:
        counted = now
        time.sleep(0.3)
    client.close()

    assert counted < 60  # 11 MB: the kernel's buffers


@pytest.mark.parametrize(("version", "end"), [("1.1", b""), ("1.0", b"RESET")])
@pytest.mark.parametrize("path", ["fails", "wrong"])
def test_what_is_raised_cuts_the_connection_and_stands_in_the_log(
    host: HostProcess, path: str, version: str, end: bytes
) -> None:
    """Half of a body never looks like the whole: there is no last chunk, or a reset where there are no chunks."""
    client = Client(host, f"/pieces/{path}", version=version)
    rest = client.rest()

    assert b"one" in rest or version == "1.0"  # a reset may overtake what came before it
    assert not rest.endswith(b"0\r\n\r\n")
    assert rest.endswith(end)
    assert b"secret" not in rest
    said = {"fails": "a secret of the body", "wrong": "pieces of str or bytes, not of int"}[path]
    until(lambda: said in host.log)


def test_a_body_for_http_1_0_ends_with_the_connection(host: HostProcess) -> None:
    client = Client(host, "/pieces/words", version="1.0")
    client.until(b"\r\n\r\n")
    assert client.rest() == b"one two"


def test_a_head_request_gets_the_head_and_the_body_is_closed(host: HostProcess, caller: Caller) -> None:
    client = Client(host, "/pieces/endless/head", method="HEAD")
    head = client.until(b"\r\n\r\n")
    client.socket.sendall(b"GET /empty HTTP/1.1\r\nHost: suite.localhost\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 204")
    assert caller.value("Piecewise", "head", "counted") is None
    client.close()


@pytest.mark.limit("function_streams_max")
def test_past_so_many_of_a_function_the_next_is_refused_and_other_requests_are_served(
    host: HostProcess, caller: Caller
) -> None:
    """What stands takes no place in the pool, which has 2, and no thread."""
    clients = [Client(host, f"/pieces/endless/many{n}?size=190000", window=4096) for n in range(4)]
    for client in clients:
        client.until(b"1 x")
    refused = caller.request("GET", "/fn/suite/pieces/endless/fifth")
    others = [caller.request("GET", f"/fn/suite/call/c{n}").status for n in range(8)]
    until(lambda: all(each in caller.request("GET", "/v1/debug/workers").text.replace(" ", "") for each in STANDING))
    for client in clients:
        client.close()

    assert (refused.status, refused.error) == (429, "MailboxFullError")
    assert "4 responses in pieces are under way, the limit is 4 of a function at one worker" in refused.text
    assert others == [201] * 8
    until(lambda: [closed(caller, f"many{n}") for n in range(4)] == [["cut"]] * 4)


@pytest.mark.slow
@pytest.mark.limit("streams_max")
@pytest.mark.limit("stream_timeout_s")
@pytest.mark.limit("stream_piece_bytes_max")
def test_a_worker_has_bounds_of_its_own(tmp_path: Path) -> None:
    """For all its functions, for the time of a body, and for a piece."""
    with start(tmp_path, "streams_max=1", "stream_timeout_s=1", "stream_piece_bytes_max=1000") as host:
        deploy(host, components.built(SUITE))
        with host.caller() as caller:
            client = Client(host, "/pieces/endless/long")
            client.until(b"1 ")
            refused = caller.request("GET", "/fn/suite/pieces/words")
            began = time.monotonic()
            rest = client.rest()
            took_s = time.monotonic() - began
            until(lambda: closed(caller, "long") == ["cut"])
            huge = Client(host, "/pieces/huge")
            huge.until(b"\r\n\r\n")
            cut = huge.rest()

            assert refused.status == 429
            assert "1 responses in pieces are under way at its worker, the limit is 1" in refused.text
            assert took_s < 5
            assert not rest.endswith(b"0\r\n\r\n")
            assert cut == b""
            until(lambda: "a piece of over 1000 bytes" in host.log)


@pytest.mark.slow
def test_a_body_goes_on_through_a_deploy_and_ends_with_its_function(tmp_path: Path) -> None:
    with start(tmp_path) as host:
        deploy(host, components.built(SUITE))
        with host.caller() as caller:
            client = Client(host, "/pieces/endless/deployed?size=190000", window=4096)
            client.until(b"1 x")
            deploy(host, components.built(SUITE))
            counted = caller.value("Piecewise", "deployed", "counted")
            # How much lies between the two, in the front and in the kernel, differs from machine to machine.
            until(lambda: client.socket.recv(1 << 16) and caller.value("Piecewise", "deployed", "counted") > counted)
            assert closed(caller, "deployed") is None
            caller.request("DELETE", "/v1/functions/suite")
            rest = client.rest()
            deploy(host, components.built(SUITE))

            assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.slow
def test_its_workers_death_cuts_it_and_others_go_on(tmp_path: Path) -> None:
    with start(tmp_path) as host:
        deploy(host, components.built(SUITE))
        with host.caller() as caller:
            client = Client(host, "/pieces/endless/killed")
            client.until(b"1 ")
            host.kill("worker")
            assert not client.rest().endswith(b"0\r\n\r\n")
            assert caller.request("GET", "/fn/suite/pieces/words").text == "one two"


@pytest.mark.slow
@pytest.mark.limit("stream_stop_s")
def test_a_host_that_stops_waits_a_moment_for_bodies_and_cuts_the_others(tmp_path: Path) -> None:
    with start(tmp_path, "stream_stop_s=1") as host:
        deploy(host, components.built(SUITE))
        client = Client(host, "/pieces/endless/stopped")
        client.until(b"1 ")
        began = time.monotonic()
        host.stop()
        took_s = time.monotonic() - began

        assert took_s < 10
        assert not client.rest().endswith(b"0\r\n\r\n")
    with start(tmp_path) as host, host.caller() as caller:
        assert closed(caller, "stopped") == ["cut"]
