"""What systemd is told, over a socket of the test."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast_host.supervisor.service_manager import ServiceManager


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(10)
        yield receiver


@pytest.mark.parametrize("abstract", [False, True])
def test_each_state_is_said_once_it_is_true(tmp_path: Path, abstract: bool) -> None:
    path = f"holdfast-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": f"@{path}" if abstract else path, "OTHER": "stays"}
    with listening(f"\0{path}" if abstract else path) as receiver:
        manager = ServiceManager(environment)
        manager.reloading()  # of no interest before it is ready
        manager.reloaded()
        manager.ready()
        manager.reloading()
        manager.reloaded()
        manager.stopping()
        manager.reloading()  # as the stop goes on: it is ready no more
        manager.reloaded()
        receiver.setblocking(False)
        said = [receiver.recv(4096).decode().split("\n")[0] for _ in range(4)]
        with pytest.raises(BlockingIOError):
            receiver.recv(4096)

    assert said == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert environment == {"OTHER": "stays"}


def test_the_watchdog_hears_twice_in_its_time_and_nothing_while_the_loop_hangs(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")

    async def play(receiver: socket.socket) -> list[bytes]:
        manager = ServiceManager({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})
        saying = asyncio.create_task(manager.keep_alive())
        heard = [await asyncio.to_thread(receiver.recv, 4096) for _ in range(3)]
        saying.cancel()
        return heard

    with listening(path) as receiver:
        assert asyncio.run(play(receiver)) == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "²"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "9" * 5000},
        {"NOTIFY_SOCKET": "/nowhere" * 20, "WATCHDOG_USEC": "-1"},
    ],
)
def test_without_a_manager_that_listens_nothing_happens(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    manager.ready()
    manager.stopping()

    asyncio.run(asyncio.wait_for(manager.keep_alive(), 10))
