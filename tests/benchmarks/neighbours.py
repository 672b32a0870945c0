"""Neighbours: what a call to an instance waits while sockets of others are flooded, slow, told all at once, or cut.

One connection calls an instance that nothing else uses, one call after the other. Its p99 is taken without any of it
and under each, in turns. Crowds and floods are processes of their own.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Final

from tests.benchmarks.flooding import flooding
from tests.benchmarks.results import Section
from tests.benchmarks.scale import Scale
from tests.benchmarks.servers import holdfast
from tests.harness import components
from tests.harness.caller import Caller, NoAnswerError
from tests.harness.host import HostProcess
from tests.harness.idle_crowd import IdleCrowd

_CROWD, _QUICK_CROWD, _EACH = 20_000, 1_000, 100  # of an instance, where they are of many
_PROCESSES: Final = 3  # fronts, and those of clients: one has not files enough for all
_SILENT_S: Final = 60.0
_HOW: Final = {
    "client": "a client that floods",
    "guest": "a guest that floods",
    "slow": "a client that takes nothing",
    "broadcast": "broadcasts to {count:,}",
    "front": "the death of a front with a third of {count:,}",
}
_P99s = dict[str, tuple[list[float], list[float]]]  # in ms: without it, and under it


def run(section: Section, scale: Scale) -> None:
    """All of it, in each round; a front dies once."""
    count = _QUICK_CROWD if scale.quick else _CROWD
    found: _P99s = defaultdict(lambda: ([], []))
    with ExitStack() as clients, _host() as (host, neighbour):
        for _ in range(scale.rounds):
            for how in ("client", "guest", "slow"):
                found[how][0].append(neighbour.p99_ms(scale.seconds))
                with flooding(host.url, how):
                    found[how][1].append(neighbour.p99_ms(scale.seconds))
                neighbour.wait_for(how)
    with ExitStack() as clients, _host() as (_, neighbour):  # anew: of a flood megabytes are still to be handled
        crowd = [clients.enter_context(IdleCrowd(host.url, ["crowd"], count // _PROCESSES)) for _ in range(_PROCESSES)]
        _wait_until_open(crowd)
        for _ in range(scale.rounds):
            found["broadcast"][0].append(neighbour.p99_ms(scale.seconds))
            found["broadcast"][1].append(neighbour.p99_ms(scale.seconds, lambda: crowd[0].say("hi")))
    with ExitStack() as clients, _host() as (host, neighbour):
        rooms = [f"room{number}" for number in range(count // _EACH)]
        crowd = [
            clients.enter_context(IdleCrowd(host.url, rooms[first::_PROCESSES], _EACH)) for first in range(_PROCESSES)
        ]
        _wait_until_open(crowd)
        found["front"][0].append(neighbour.p99_ms(scale.seconds))
        found["front"][1].append(neighbour.p99_ms(4 * scale.seconds, lambda: host.kill("front"), once=True))
    rows = [
        [
            what.format(count=count),
            section.figure(f"neighbours/{how}/without_p99_ms", found[how][0]),
            section.figure(f"neighbours/{how}/p99_ms", found[how][1]),
        ]
        for how, what in _HOW.items()
    ]
    section.table("p99 of a call to another instance, ms", ["beside", "without it", "under it"], rows)


@contextmanager
def _host() -> Iterator[tuple[HostProcess, _Neighbour]]:
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    with holdfast("--fronts", str(_PROCESSES), project=components.GUESTS / "chat") as server:
        assert server.host is not None
        with Caller(server.url) as caller:
            yield server.host, _Neighbour(caller)


class _Neighbour:
    """The instance that is called, by one connection."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def p99_ms(self, seconds: float, disturb: Callable[[], object] | None = None, *, once: bool = False) -> float:
        """Of calls for so long; `disturb` is done every half second, or once, meanwhile."""
        took: list[float] = []
        began = time.perf_counter()
        disturb_at = began
        while (now := time.perf_counter()) - began < seconds:
            if disturb is not None and now >= disturb_at:
                disturb()
                disturb_at = began + seconds if once else now + 0.5
            self._call(took)
        return sorted(took)[int(len(took) * 0.99)] * 1e3

    def wait_for(self, room: str) -> None:
        """Return when that instance has done what it was told before."""
        while self._caller.call("Room", room, "said").status != HTTPStatus.OK:
            time.sleep(0.1)

    def _call(self, took: list[float]) -> None:
        began = time.perf_counter()
        try:
            answer = self._caller.call("Room", "neighbour", "said")
        except NoAnswerError:  # its front has died: it is not what is measured
            return
        assert answer.status == 200, answer
        took.append(time.perf_counter() - began)


def _wait_until_open(crowd: list[IdleCrowd]) -> None:
    last, ends_at = -1, 0.0
    while any(each.seen().open < each.count for each in crowd):
        if (now := sum(each.seen().open for each in crowd)) > last:
            last, ends_at = now, time.monotonic() + _SILENT_S
        assert time.monotonic() < ends_at, f"{last} clients, and no more came for {_SILENT_S} s"
        time.sleep(0.1)
