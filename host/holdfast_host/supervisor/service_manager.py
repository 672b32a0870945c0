"""What a service manager is told of the host: systemd's notify protocol, where it has given us a socket for that.

A word is one datagram, `READY=1`. Without a socket all of it is nothing. The watchdog's word comes from the event loop
of the supervisor, which watches all the others: a host whose supervisor hangs is started anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_MICROSECONDS: Final = re.compile(r"[0-9]{1,19}")
_WATCHDOG: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Of one host; for its loop. Takes the variables away, so that no child speaks for the host."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        address = found.pop(_SOCKET, "")
        every_us, pid = (found.pop(name, "") for name in _WATCHDOG)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = pid in ("", str(os.getpid()))
        self._is_ready = False
        self._every_s = int(every_us) / 2e6 if _MICROSECONDS.fullmatch(every_us) and ours else 0.0

    def ready(self) -> None:
        """The host serves."""
        self._is_ready = True
        self._say("READY=1", "STATUS=serving")

    def standing_by(self) -> None:
        """The host waits for another one to end, which may take for ever: its start is over."""
        self._say("READY=1", "STATUS=standing by")

    def reloading(self) -> None:
        """The settings are read anew."""
        if self._is_ready:
            self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """That is over, whatever came of it."""
        if self._is_ready:
            self.ready()

    def stopping(self) -> None:
        """The orderly stop has begun; nothing is said of settings any more, for that would say `READY=1`."""
        self._is_ready = False
        self._say("STOPPING=1", "STATUS=stopping")

    def keep_alive_once(self) -> None:
        """Say that the process runs, where it has no loop yet."""
        if self._every_s > 0:
            self._say("WATCHDOG=1")

    async def keep_alive(self) -> None:
        """Say, twice in each watchdog's time, that the loop runs; until cancelled."""
        while self._address and self._every_s > 0:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._every_s)

    def _say(self, *words: str) -> None:
        """A manager that does not listen is no reason to stop."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(words).encode(), self._address)
