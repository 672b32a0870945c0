"""The authorities whose certificates this machine trusts: read by who asks servers over TLS, and by nobody else.

Reading them costs a fifth of what a process takes to start, and aiohttp reads them, twice, when it is imported, also
where nobody is ever asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_unread() -> Iterator[None]:
    """While the block runs no context reads them; one that verifies, and is made here, trusts nobody."""
    ssl.SSLContext.set_default_verify_paths = _read_none  # type: ignore[method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the inherited one is there again


class TrustedAuthorities:
    """What verifies servers: the machine's authorities, or those that SSL_CERT_FILE names. For one loop."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._reading = asyncio.Lock()

    async def context(self) -> ssl.SSLContext:
        """For a client of HTTP/1.1; read once, when it is first asked for, beside the loop."""
        async with self._reading:
            if self._context is None:
                self._context = await asyncio.to_thread(_read)
        return self._context


def _read_none(self: ssl.SSLContext) -> None:
    pass


def _read() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context
