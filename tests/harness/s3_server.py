"""`python -m tests.harness.s3_server`: a service of S3 on loopback, until its standard input is closed.

moto holds what is put, in memory. What stands before it judges the key of credentials, and does to requests what `PUT
/-/fault` says: `{"refuse": 503}` answers all so, `{"lose": "segments/"}` takes what is put below and forgets it, both
until the next. `GET /-/requests` says what was asked.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEY: Final = "tester"
_ERROR: Final = "<?xml version='1.0'?><Error><Code>{}</Code><Message>so the test wants it</Message></Error>"


class Service:
    """What stands before moto."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._fault: dict[str, Any] = {}
        self._asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path.startswith("/-/"):
            if method == "PUT":
                self._fault = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            asked, self._asked = self._asked, []
            return _answer(start, "200 OK", json.dumps(asked))
        self._asked.append(f"{method} {path}")
        if "refuse" in self._fault:
            return _answer(start, f"{self._fault['refuse']} Refused", _ERROR.format("ServiceUnavailable"))
        if not re.search(rf"Credential={KEY}/", environ.get("HTTP_AUTHORIZATION", "")):
            return _answer(start, "403 Forbidden", _ERROR.format("InvalidAccessKeyId"))
        if method == "PUT" and self._fault.get("lose", "\0") in path:
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            return _answer(start, "200 OK", "", ("ETag", '"0123456789abcdef0123456789abcdef"'))
        answered: Iterable[bytes] = self._moto(environ, start)
        return answered


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Nothing: a test reads the port alone."""


def _answer(start: Callable[..., Any], status: str, body: str, *headers: tuple[str, str]) -> list[bytes]:
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body))), *headers])
    return [body.encode()]


def main() -> None:
    """Serve."""
    server = make_server("127.0.0.1", 0, Service(), threaded=True, request_handler=_Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
