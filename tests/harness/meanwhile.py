"""What goes on beside a test: threads that begin and end with a block, and whose failures are the test's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from tests.harness.caller import Caller
from tests.harness.host import HostProcess

_Subject = TypeVar("_Subject")


class Meanwhile(Generic[_Subject]):
    """A client of the host for each subject, which goes on with `step` until the block ends."""

    def __init__(self, host: HostProcess, subjects: Sequence[_Subject]) -> None:
        self._host = host
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._go_on, args=(each,)) for each in subjects]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()
        if self._failures and kind is None:
            raise self._failures[0]

    def step(self, caller: Caller, subject: _Subject) -> None:
        """One round of one client."""
        raise NotImplementedError

    def _go_on(self, subject: _Subject) -> None:
        try:
            with self._host.caller() as caller:
                while not self._stop.is_set():
                    self.step(caller, subject)
        except BaseException as error:  # raised where the block ends
            self._failures.append(error)
