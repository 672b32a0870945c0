"""A server on loopback that stands for the outside: answers what a test has said, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request that the server got."""

    method: str
    path: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


@dataclass(frozen=True)
class Given:
    """What a path is answered with; `before` is called first, on the server's thread.

    `pieces` makes a body that is sent piece by piece; it is closed when it has been, or nobody takes any more.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    before: Callable[[], object] = lambda: None
    pieces: Callable[[], Generator[bytes, None, None]] | None = None


class OutsideServer:
    """Made by `outside_server`; what is not said is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Given] = {}
        self.asked: list[Asked] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: the second would wait for the first one's acknowledgment

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outside.asked.append(Asked(self.command, self.path, headers, body))
                given = outside.answers.get(self.path, Given(404))
                given.before()
                self.send_response(given.status)
                for name, value in given.headers.items():
                    self.send_header(name, value)
                if given.pieces is not None:
                    self.send_pieces(given.pieces())
                    return
                self.send_header("Content-Length", str(len(given.body)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else given.body)

            def send_pieces(self, pieces: Generator[bytes, None, None]) -> None:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                with closing(pieces):
                    for piece in pieces:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815  (the library's names)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who hangs up is no news

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def outside_server() -> Iterator[OutsideServer]:
    """A server that runs until the block ends."""
    made = OutsideServer()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
