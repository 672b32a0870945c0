"""Actors that call each other: some note what they were told, some wait."""

from __future__ import annotations

import json
import time
from typing import Any

from holdfast import ActorCallError, Env, Request, Response, StatefulActor


class Link(StatefulActor):
    """One link of a chain, or of a ring: counts turns, and notes the highest count that it was told of each other."""

    def pull(self, names: list[str]) -> dict[str, int]:
        """Count, after the first of the names did so with the rest; everybody's count."""
        counts: dict[str, int] = {}
        if names:
            counts = self.env.LINK.id_from_name(names[0]).pull(names[1:])
            for name, count in counts.items():
                self.ctx.storage.put(f"told/{name}", count)
        counts[self.ctx.name] = self.ctx.storage.get("count", 0) + 1
        self.ctx.storage.put("count", counts[self.ctx.name])
        return counts

    def known(self) -> dict[str, int]:
        """What it was told, and its own count."""
        storage = self.ctx.storage
        told = {key.removeprefix("told/"): count for key, count in storage.scan(prefix="told/")}
        return {**told, self.ctx.name: storage.get("count", 0)}

    def dig(self, names: list[str]) -> int:
        """How deep calls nest, each from within as much of the guest's stack as JSON takes."""
        if not names:
            return 0
        nested: Any = _Calling(lambda: self.env.LINK.id_from_name(names[0]).dig(names[1:]))
        for _ in range(60):
            nested = [nested]
        return int(json.loads(json.dumps(nested, default=_Calling.run).strip("[]"))) + 1

    def pass_on(self, path: list[str]) -> int:
        """Count this turn, and have the rest of the path do the same; how many links that were."""
        self.ctx.storage.put("count", self.count() + 1)
        if not path:
            return 1
        rest: int = self.env.LINK.id_from_name(path[0]).pass_on(path[1:])
        return 1 + rest

    def count(self) -> int:
        """How many of its turns committed."""
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


class _Calling:
    """Calls once it is encoded."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def run(self) -> int:
        return int(self.call())


def fetch(request: Request, env: Env) -> Response:
    """`/A/B/...`: each of them alone, one after another; everybody's count."""
    counts: dict[str, int] = {}
    for name in request.path.strip("/").split("/"):
        counts |= env.LINK.id_from_name(name).pull([])
    return Response.json(counts)
