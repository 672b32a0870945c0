"""The two pages that a front's link has beside the one of calls: of its sockets' events, and of what they are sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from holdfast_host.wire.pages.send_page import SendPage
from holdfast_host.wire.pages.state_page import EVENT_SLOTS, StatePage

PAGES: Final = 2


@dataclass(frozen=True, slots=True)
class SocketPages:
    """Made by the front, written by both."""

    events: StatePage
    sends: SendPage

    @classmethod
    def create(cls) -> SocketPages:
        """New ones, all clear."""
        return cls(StatePage.create(EVENT_SLOTS), SendPage.create())

    @classmethod
    def adopt(cls, events_fd: int, sends_fd: int) -> SocketPages:
        """Those that a front has sent: a turn of which it died may still write to them, so nobody ever closes them."""
        pages = cls(StatePage(events_fd, EVENT_SLOTS), SendPage(sends_fd))
        for fd in pages.descriptors:
            os.close(fd)  # the mappings stay, as long as anybody has them
        return pages

    @property
    def descriptors(self) -> tuple[int, int]:
        """To be sent, in this order."""
        return self.events.fd, self.sends.fd

    def close(self) -> None:
        """Unmap and close."""
        self.events.close()
        self.sends.close()
