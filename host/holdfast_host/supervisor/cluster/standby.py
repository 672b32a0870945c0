"""How `holdfast serve` waits while another host of its store serves: until it is told to stop."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast_host.supervisor.cluster.warming import Warming
    from holdfast_host.supervisor.deploys.component_store import Compile
    from holdfast_host.supervisor.service_manager import ServiceManager

_STOPS: Final = (signal.SIGINT, signal.SIGTERM)


class StandbyEndedError(Exception):
    """The operator stops a host that has not served yet."""


class Standby:
    """The waiting of one host; for the main thread."""

    def __init__(self, manager: ServiceManager, compile_component: Compile) -> None:
        self._manager = manager
        self.compile_component = compile_component
        self._warming: Warming | None = None
        self._stop = threading.Event()

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """While the block lasts, signals that stop a host end the waiting; SIGHUP has nothing to read anew yet."""
        before: dict[int, Any] = {number: signal.signal(number, self._on_signal) for number in _STOPS}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def prepare_by(self, warming: Warming) -> None:
        """What is to go on while the host stands by, if it comes to that."""
        self._warming = warming

    def begin(self) -> None:
        """The host stands by.

        Raises:
            ConfigurationError: it could not follow.
        """
        if self._warming is not None:
            self._warming.begin()
        self._manager.standing_by()

    def finish(self) -> None:
        """The host serves."""
        if self._warming is not None:
            self._warming.finish()

    def pause(self, seconds: float) -> None:
        """Let the time pass.

        Raises:
            StandbyEndedError: the host is told to stop.
        """
        self._manager.keep_alive_once()
        if self._stop.wait(seconds):
            self._manager.stopping()
            raise StandbyEndedError

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()
