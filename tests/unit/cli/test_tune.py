"""`holdfast tune`: what is tried next, when it ends, and that its load counts what a host really answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from click.testing import CliRunner

from holdfast_host.cli.commands import tune
from holdfast_host.cli.tune import load as load_module
from holdfast_host.cli.tune.load import Load
from holdfast_host.cli.tune.search import Measured, Numbers, bound_of, search

WORKER_S, FRONT_S = 40e-6, 20e-6


def machine(processors: float, disk_per_s: float = 1e9) -> Callable[[Numbers], Measured]:
    """A machine on which a call takes so much of a worker and of a front, and nothing else."""

    def measure(numbers: Numbers) -> Measured:
        rate = min(numbers.workers / WORKER_S, numbers.fronts / FRONT_S, processors / (WORKER_S + FRONT_S), disk_per_s)
        return Measured(
            numbers, rate, 1.0, rate * WORKER_S / numbers.workers, min(1.0, rate * FRONT_S / numbers.fronts)
        )

    return measure


def best_of(measure: Callable[[Numbers], Measured], processes_max: int) -> Measured:
    return [step.measured for step in search(measure, processes_max) if step.is_better][-1]


@pytest.mark.parametrize(
    ("processors", "most", "best"),
    [
        (2, 2, Numbers(1, 1)),
        (3, 3, Numbers(2, 1)),
        (6, 6, Numbers(4, 2)),
        (9, 9, Numbers(6, 3)),
        (9, 4, Numbers(2, 2)),
    ],
)
def test_processors_are_shared_out_as_the_roles_need_them(processors: int, most: int, best: Numbers) -> None:
    """Of three processors' worth of work two are the workers'."""
    found = best_of(machine(processors), most).numbers

    assert found.processes <= most
    rate, wanted = machine(processors)(found).calls_per_s, machine(processors)(best).calls_per_s
    assert rate >= wanted / 1.05


def test_no_process_is_added_that_brings_nothing() -> None:
    measure = machine(64, disk_per_s=20_000)
    steps = list(search(measure, 16))

    assert [step.is_better for step in steps] == [True, False, False]
    assert "syncs of the disk" in bound_of(steps[0].measured, 16)


def test_the_busier_role_is_tried_first_and_the_reason_is_told() -> None:
    steps = list(search(machine(3), 3))

    assert steps[1].measured.numbers == Numbers(2, 1)
    assert steps[1].why == "the workers were busy 100% of the time: 2.00x"


def test_what_bounds_the_best_is_told() -> None:
    best = best_of(machine(3), 3)

    assert bound_of(best, 3).endswith("of the time: more of them need more processors")
    assert "bring nothing" in bound_of(best, 8)


def test_on_two_processors_the_smallest_host_is_the_only_one() -> None:
    assert [step.measured.numbers for step in search(machine(2), 2)] == [Numbers(1, 1)]


@contextmanager
def server(answer: Callable[[int], bytes | None]) -> Iterator[int]:
    """Answers the nth call of each connection; None ends it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may go at any time
            number = 0
            while connection.recv(65_536):
                reply = answer(number)
                number += 1
                if reply is None:
                    return
                for at in range(0, len(reply), 20):  # in pieces, as they may come
                    connection.sendall(reply[at : at + 20])

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


OK = b'HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 13\r\n\r\n{"balance":1}'


def loaded(answer: Callable[[int], bytes | None], monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setattr(load_module, "WARM_S", 0.0)
    load = Load()
    with server(answer) as port:
        load.run("127.0.0.1", port, 3, 0.2)
    return load


def test_whole_replies_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    load = loaded(lambda _: OK, monkeypatch)

    assert load.calls > 10
    assert json.loads(load.said()) == {
        "calls": load.calls,
        "p99_ms": pytest.approx(max(load.times) * 1000, rel=1),
        "failed": 0,
    }


@pytest.mark.parametrize("last", [None, OK.replace(b"200 OK", b"503 Service Unavailable"), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_anything_but_a_whole_good_reply_is_a_failure(last: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    load = loaded(lambda number: OK if number < 2 else last, monkeypatch)

    assert (load.calls, load.failed) == (6, 3)


def test_where_no_host_listens_the_load_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(OSError, match="refused"):
        Load().run("127.0.0.1", port, 1, 0.1)


def test_a_directory_that_is_not_there_is_named() -> None:
    done = CliRunner().invoke(tune.command, ["--data", "/nowhere/at/all"])

    assert done.exit_code == 2
    assert "/nowhere/at/all" in done.output
