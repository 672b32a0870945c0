"""Actors that call each other and note what they were told."""

from __future__ import annotations

import json
from typing import Any

from holdfast import Env, Request, Response, StatefulActor


class Link(StatefulActor):
    """Counts its turns, and notes the highest count that it was told of each other instance."""

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
