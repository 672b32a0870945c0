"""Sockets: what a message costs beside a call, an idle one, a frame to a crowd, and the rows on disk.

Idle sockets and broadcasts are measured beside workerd's, whose sockets hibernate too: the same room, and the same
clients, in turns.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

from tests.benchmarks import exchanges, socket_rows
from tests.benchmarks.crowd import Crowd
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import PEERS, MissingToolError, Server, holdfast, workerd
from tests.benchmarks.usage import cpu_s_of
from tests.harness import processes

_CLIENTS, _QUICK_CLIENTS = 9_000, 1_000  # workerd opens two files for each, and a machine may allow 20,000
_FIRST: Final = 200  # opened before anything is measured: what a process takes once is not an idle socket's
_FRAMES: Final = 100_000  # of a round
_HIBERNATES_S: Final = 12.0  # of workerd, after ten seconds in which nothing came
_COLUMNS: Final = ["server", "bytes of an idle socket", "frames a second", "CPU of a frame, us", "holdfast uses"]


def run(section: Section, scale: Scale) -> None:
    """A crowd of one room, messages beside calls, and rows."""
    _crowds(section, scale, _QUICK_CLIENTS if scale.quick else _CLIENTS)
    with holdfast("--workers", "1", "--fronts", "1", project=PEERS / "room") as ours:
        exchanges.compare(section, scale, ours)
    socket_rows.measure(section, scale)


def _crowds(section: Section, scale: Scale, count: int) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(holdfast("--workers", "1", "--fronts", "1", project=PEERS / "room"))]
        try:
            servers.append(stack.enter_context(workerd("Room")))
        except MissingToolError as error:
            section.note(f"left out: {error}")
        crowds = [_Measured(server, stack.enter_context(Crowd(server))) for server in servers]
        for each in crowds:
            each.grow(count)
        for _ in range(scale.rounds):
            for each in crowds:
                each.broadcast()
        _show(section, crowds, count)


class _Measured:
    """A crowd of one server, and what was seen of it."""

    def __init__(self, server: Server, crowd: Crowd) -> None:
        self.server = server
        self._crowd = crowd
        self.pids = {"all": [server.pid]} if server.host is None else {}
        if server.host is not None:
            self.pids = {role: server.host.pids()[role] for role in exchanges.ROLES}
        self.idle_bytes: dict[str, float] = {}
        self.rates: list[float] = []
        self.cpu_us: list[float] = []  # of all processes, for each frame
        self.front_cpu_us: list[float] = []
        self.hibernated = True

    def grow(self, count: int) -> None:
        """Open that many; what they take once their instance is out of memory."""
        self._crowd.grow(_FIRST)
        self._let_sleep()
        before = self._memory()
        self._crowd.grow(count - _FIRST)
        born = self._crowd.ask("born")
        self._let_sleep()
        after = self._memory()
        self.idle_bytes = {role: (after[role] - before[role]) / (count - _FIRST) for role in before}
        self.hibernated = self.server.host is not None or born != self._crowd.ask("born")

    def broadcast(self) -> None:
        """One round of frames to all of them."""
        front = self.pids.get("front", [])
        began_s, front_s = cpu_s_of(self.server.pid), sum(map(processes.cpu_s, front))
        frames, seconds = self._crowd.tell_all(max(1, _FRAMES // self._crowd.count))
        self.rates.append(frames / seconds)
        self.cpu_us.append((cpu_s_of(self.server.pid) - began_s) / frames * 1e6)
        self.front_cpu_us.append((sum(map(processes.cpu_s, front)) - front_s) / frames * 1e6)

    def _let_sleep(self) -> None:
        if self.server.host is None:
            time.sleep(_HIBERNATES_S)
            return
        with self.server.host.caller() as caller:
            caller.request("POST", "/v1/instances/Room/crowd/evict")
        time.sleep(2)

    def _memory(self) -> dict[str, int]:
        return {role: sum(map(processes.anonymous_bytes, pids)) for role, pids in self.pids.items()}


def _show(section: Section, crowds: list[_Measured], count: int) -> None:
    ours = crowds[0]
    front, worker = (section.figure(f"sockets/idle/{role}_bytes", [ours.idle_bytes[role]]) for role in exchanges.ROLES)
    cores = section.figure("sockets/broadcast/frames_per_core_s", [1e6 / each for each in ours.front_cpu_us])
    cpu = section.figure("sockets/broadcast/front_cpu_us", ours.front_cpu_us)
    rows: list[list[object]] = []
    for each in crowds:
        name = each.server.name
        idle = section.figure(f"sockets/idle/{name}/bytes", [sum(each.idle_bytes.values())])
        ratios = [mine / other for mine, other in zip(ours.cpu_us, each.cpu_us, strict=True)]
        cells = [
            section.figure(f"sockets/broadcast/{name}/frames_per_s", each.rates),
            section.figure(f"sockets/broadcast/{name}/cpu_us", each.cpu_us),
            "" if each is ours else f"{section.figure(f'sockets/broadcast/{name}/cpu_ratio', ratios)}x",
        ]
        if each is not ours:
            section.figure(f"sockets/idle/{name}/ratio", [sum(ours.idle_bytes.values()) / idle.median])
            if not each.hibernated:
                section.note(f"{name} had not put its room to sleep when its memory was read")
        rows.append([name, idle, *cells])
    section.table(f"a room of {count:,} sockets, all processes", _COLUMNS, rows)
    section.table(
        "of our own processes",
        [
            "idle socket, front, bytes",
            "worker, bytes",
            "CPU of the front for a frame, us",
            "frames of a front's core, /s",
        ],
        [[front, worker, cpu, cores]],
    )
