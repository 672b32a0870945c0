"""An actor for tests of calls that wait for calls."""

from __future__ import annotations

import time
from typing import Any

from holdfast import ActorCallError, StatefulActor


class Link(StatefulActor):
    """One link of a chain, or of a ring."""

    def pass_on(self, path: list[str]) -> int:
        """Count this turn, and have the rest of the path do the same; how many links that were."""
        self.ctx.storage.put("count", self.count() + 1)
        if not path:
            return 1
        rest: int = self.env.LINK.id_from_name(path[0]).pass_on(path[1:])
        return 1 + rest

    def count(self) -> int:
        """How many turns of `pass_on` committed."""
        count: int = self.ctx.storage.get("count", 0)
        return count

    def wait_for(self, other: str, at: float) -> dict[str, Any]:
        """At that Unix time call another link; how long that took, and how it ended."""
        while time.time() < at:
            pass
        began_s = time.monotonic()
        try:
            self.env.LINK.id_from_name(other).count()
        except ActorCallError as failure:
            waited_s = time.monotonic() - began_s
            return {"waited_s": waited_s, "name": failure.name, "message": failure.message, "retry": failure.retryable}
        return {"waited_s": time.monotonic() - began_s, "name": "", "message": "", "retry": False}

    def call_busy(self, other: str, seconds: float, after: float) -> dict[str, Any]:
        """Compute, then call a link that computes for a while; how long the call took, and how it ended."""
        self.compute(after)
        began_s = time.monotonic()
        try:
            self.env.LINK.id_from_name(other).compute(seconds)
        except ActorCallError as failure:
            waited_s = time.monotonic() - began_s
            return {"waited_s": waited_s, "name": failure.name, "message": failure.message, "retry": failure.retryable}
        return {"waited_s": time.monotonic() - began_s, "name": "", "message": "", "retry": False}

    def compute(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
