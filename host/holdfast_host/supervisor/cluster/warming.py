"""What a host prepares while it stands by: all that is deployed is fetched and compiled here, so that it serves soon.

On a thread of its own, over sessions of its own; it writes nothing into the store. What it compiles lies in the data
directory under the hash of what it was made with, where the host finds it when it serves.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from holdfast_host.core.errors import HoldfastError
from holdfast_host.supervisor.deploys.component_store import Compile, ComponentStore
from holdfast_host.supervisor.homes import open_store_homes

if TYPE_CHECKING:
    from holdfast_host.core.config import HostConfig
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.directory.layout import DirectoryLayout
    from holdfast_host.supervisor.homes import Homes
    from holdfast_host.wire.control.starts import CentralStore

_LOOK_S: Final = 1.0  # between two looks at whether something was deployed


class Warming:
    """Of one host that stands by, from `begin` to `finish`."""

    def __init__(
        self,
        store: CentralStore,
        config: HostConfig,
        directory: DirectoryLayout,
        compile_component: Compile,
        log: EventLog,
    ) -> None:
        self._store = store
        self._config = config
        self._directory = directory
        self._compile_component = compile_component
        self._log = log
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Open what hosts share, once, and prepare in the background.

        Raises:
            ConfigurationError: this host could not follow, for it has not the key of the others.
        """
        with ExitStack() as cleanup:
            self._open(cleanup)
        self._thread = threading.Thread(target=self._run, name="warming", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The host serves from now on: return when what is being compiled lies there, for it is needed next."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _open(self, cleanup: ExitStack) -> Homes:
        config = self._config
        return open_store_homes(
            self._store, config.cluster_key, self._directory, config.limits.audit_bytes_max, cleanup
        )

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with ExitStack() as cleanup:
                    self._follow(self._open(cleanup))
            except HoldfastError as error:  # the store, which the host itself watches and complains about
                self._log.debug("what is deployed cannot be followed while standing by", error=error)
            except Exception as error:
                self._log.error("a host that stands by cannot prepare: it will when it serves", error=repr(error))
                return
            self._over.wait(_LOOK_S)

    def _follow(self, homes: Homes) -> None:
        """Compile what is deployed, and what is deployed later; returns when the host serves."""
        asyncio.run(self._compile_all(homes))
        while not self._over.wait(_LOOK_S):
            if homes.moved is not None and "registry" in homes.moved():
                homes.registry.refresh()
                asyncio.run(self._compile_all(homes))

    async def _compile_all(self, homes: Homes) -> None:
        components = ComponentStore(
            self._directory,
            homes.registry,
            self._compile_component,
            self._config.limits,
            self._log,
            homes.components,
        )
        for deployment in homes.registry.current():
            if self._over.is_set():
                return
            try:
                await components.ready(deployment)
            except HoldfastError as error:  # whether that is the function's fault is said when this host serves
                self._log.warning("a function is not ready here", function=deployment.function, error=error)
        self._log.info("ready to follow", functions=len(homes.registry.current()))
