"""The way from a client to actors in the same process: for tests, see `holdfast.testing.LocalHost.client`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import httpx

_PARTS: Final = 6  # "", "v1", "actors", type, name, method


def local_transport(post: Callable[..., Any]) -> httpx.MockTransport:
    """A transport for clients of both kinds; `post` is that of a LocalHost."""

    def answer(request: httpx.Request) -> httpx.Response:
        parts = request.url.raw_path.decode().split("/")
        if request.method != "POST" or len(parts) != _PARTS:
            what = f"asks nothing at {request.url.path}: the LocalHost itself has `events` and `socket`"
            raise ValueError(f"a client of a LocalHost calls actors, and {what}")
        found = post(
            *(unquote(each) for each in parts[3:]),
            request.content.decode(),
            typed_arguments=True,
            typed_result=True,
            key=request.headers.get("idempotency-key"),
        )
        return httpx.Response(found.status, text=found.text)

    return httpx.MockTransport(answer)
