"""What a local host keeps of a socket, and what a turn sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class SocketRow:
    """A socket that an instance has accepted."""

    id: str
    opened_us: int
    events: bool
    tags: tuple[str, ...] = ()
    protocol: str = ""
    attachment: str = "null"  # as encoded text
    closed: bool = False  # by the instance

    def facts(self) -> dict[str, Any]:
        """As `wit/sockets.wit` spells one."""
        facts = {"id": self.id, "tags": self.tags, "opened_us": self.opened_us, "events": self.events}
        if self.protocol:
            facts["protocol"] = self.protocol
        return {**facts, "attachment": json.loads(self.attachment)}


class Sent(NamedTuple):
    """What leaves to some sockets when its turn has committed: a message, or their close where there is a code."""

    ids: tuple[str, ...]
    message: str | bytes = ""
    event: str | None = None
    event_id: str | None = None
    code: int = 0
    reason: str = ""
