"""Calls that are under way while the test does something else, or that are tried again until they are answered."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Any, Self
from urllib.parse import quote

from tests.harness.caller import Answer, NoAnswerError
from tests.harness.host import HostProcess


class Clients(ABC):
    """Threads that each are a client until the block ends; a context manager. `faults` is what they found wrong."""

    def __init__(self, count: int) -> None:
        self.faults: list[str] = []
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self.be_client, args=(number,)) for number in range(count)]

    @property
    @abstractmethod
    def answered(self) -> int:
        """How many of their calls have been answered."""

    @abstractmethod
    def be_client(self, number: int) -> None:
        """Call until `stopping` is set."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """Return when so many more calls have been answered, or something was found wrong."""
        target, deadline = self.answered + more, time.monotonic() + timeout_s
        while self.answered < target and not self.faults:
            assert time.monotonic() < deadline, f"not {more} calls were answered within {timeout_s} s"
            time.sleep(0.003)


class CallUnderWay:
    """One call on a thread of its own; `answer` waits for its end."""

    def __init__(self, host: HostProcess, actor_type: str, name: str, method: str, /, *arguments: Any) -> None:
        self._host = host
        self._call = (actor_type, name, method, *arguments)
        self._answer: Answer | None = None
        self._error: NoAnswerError | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def is_answered_within(self, seconds: float) -> bool:
        """Wait that long for the answer; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait_until_active(self, timeout_s: float = 30.0) -> None:
        """Return when its instance is in memory: where it was not before, this call is the first in its mailbox."""
        actor_type, name = self._call[:2]
        deadline = time.monotonic() + timeout_s
        with self._host.caller() as caller:
            path = f"/v1/instances/{actor_type}/{quote(name, safe='')}"
            while not caller.request("GET", path).value["active"]:
                assert time.monotonic() < deadline, f"{self._call} did not begin within {timeout_s} s"
                time.sleep(0.005)

    def answer(self, timeout_s: float = 60.0) -> Answer:
        """The answer, once it is there; NoAnswerError if the connection broke instead."""
        assert self.is_answered_within(timeout_s), f"{self._call} was not answered within {timeout_s} s"
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def _run(self) -> None:
        try:
            with self._host.caller() as caller:
                self._answer = caller.call(*self._call)
        except NoAnswerError as error:
            self._error = error


def wait_for_answers(host: HostProcess, names: list[str]) -> None:
    """Return when the instances of the probe that are called so have all answered, whatever dies meanwhile."""
    deadline = time.monotonic() + 30.0
    for name in names:
        while True:
            assert time.monotonic() < deadline, f"{name} is not answered any more"
            try:
                with host.caller() as caller:
                    if caller.call("Probe", name, "nothing").status == 200:
                        break
            except NoAnswerError:
                time.sleep(0.005)
