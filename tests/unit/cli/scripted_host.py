"""A host that says what a test wants, over a real socket, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedHost:
    """Answers every request with the same status and body."""

    status: int = 200
    body: bytes = b"{}"
    url: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def scripted_host(status: int = 200, body: bytes = b"{}") -> Iterator[ScriptedHost]:
    """Serve on a free port for the length of the block."""
    host = ScriptedHost(status, body)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            received = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host.asked.append(Asked(self.command, self.path, headers, received))
            self.send_response(host.status)
            self.send_header("content-length", str(len(host.body)))
            self.end_headers()
            self.wfile.write(host.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (the library looks for these names)

        def log_message(self, *_arguments: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        host.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
