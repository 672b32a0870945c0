"""One history in which a link breaks whose ends both live: either may notice first, and the worker may die behind it.

What is on its way is lost, in both directions, and the worker goes on: with what it had heard, and with what it has to
send. Then the front meets it again, or its successor.
"""

from __future__ import annotations

import os
from typing import Any, cast

from holdfast_host.front.sockets.client import State
from holdfast_host.wire.sockets.pages import SocketPages
from tests.unit.front.sockets.deaths_model import INSTANCES, History, Worker

WORKS_ON = (0, 0, 3, 40)  # rounds, before the front has found a worker again


class OutlivingWorker(Worker):
    """One process, which has pages mapped that its front has closed."""

    def connect(self, pages: SocketPages) -> None:
        super().connect(SocketPages.adopt(*map(os.dup, pages.descriptors)))


class BreakingLink(History):
    """One history, with one such break at a random step."""

    steps, between, within = 100, 0.01, 0.005

    async def run(self) -> list[str]:
        self.breaks_at = self.random.randrange(20, self.steps)
        return await super().run()

    def new_worker(self) -> Worker:
        return OutlivingWorker(self.disk, self.tick)

    def step(self, *, last: bool = False) -> None:
        if not last:
            self.breaks_at -= 1
            if not self.breaks_at:
                self.break_link()
        super().step(last=last)

    def break_link(self) -> None:
        """Both ends live: nothing more comes through, and of what the worker has said the front has read a part."""
        worker = self.worker
        assert worker.client is not None
        self.excused |= {*self.wires}
        self.dying = 0.0
        if self.random.random() < 0.5:
            self.leave(self.random.choice(INSTANCES))
        for _ in range(self.random.randint(0, len(worker.pipe))):
            self.hear(worker.pipe.popleft())
        worker.pipe.clear()
        worker.unflushed = []  # the client that was keeps what is said to it from now on
        self.table.on_lost(cast("Any", self.link))
        self.link.out.clear()
        if self.random.random() < 0.5:  # the worker is the first to notice
            worker.client.closed = True
            worker.sockets.forget(cast("Any", worker.client))
        self.work_on()
        if self.random.random() < 0.5:
            self.worker = self.new_worker()
        self.meet()

    def leave(self, name: bytes) -> None:
        """All clients of an instance go, behind what they have said."""
        for whose, client, _ in self.wires.values():
            if whose == name and client._state is State.OPEN:
                client.connection_lost(None)

    def work_on(self) -> None:
        """What a worker does while no front is there."""
        worker = self.worker
        for _ in range(self.random.choice(WORKS_ON)):
            for name, mail in worker.mail.items():
                if mail and name not in worker.running:
                    worker.begin(name)
                elif name in worker.running:
                    worker.end(name)
            worker.commit()
