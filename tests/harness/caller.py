"""One keep-alive HTTP connection, as a client of the host would have it. For one thread."""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `text` is its body."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def error(self) -> str:
        """The name of the error; empty where there is none."""
        if self.status < 400:
            return ""
        return str(self.value["error"]["name"])

    @property
    def retryable(self) -> bool:
        """Whether the host says that the same call may succeed later, having committed nothing."""
        return self.status >= 400 and bool(self.value["error"]["retryable"])


class NoAnswerError(Exception):
    """The connection broke or was refused: the outcome is unknown, unless `sent` is False."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Caller:
    """Sends requests one after another, reconnecting after a broken connection; never sends one twice."""

    def __init__(self, url: str, timeout_s: float = 75.0, trusted: ssl.SSLContext | None = None) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        if trusted is None:
            self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout_s)
        else:
            self._http = http.client.HTTPSConnection(where.hostname, where.port, timeout=timeout_s, context=trusted)

    def __enter__(self) -> Caller:
        """The caller itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the connection."""
        self.close()

    def open(self) -> http.client.HTTPConnection:
        """A bare connection to the same host, which whoever opens it closes."""
        return http.client.HTTPConnection(self._http.host, self._http.port, timeout=self._http.timeout)

    def another(self) -> Caller:
        """A new connection to the same host."""
        return Caller(f"http://{self._http.host}:{self._http.port}", self._http.timeout or 75.0)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer.

        Raises:
            NoAnswerError: there was none.
        """
        sent = False
        try:
            if self._http.sock is not None and _has_ended(self._http.sock):
                self._http.close()  # the host ended a connection that was idle for long
            if self._http.sock is None:
                self._http.connect()
            sent = True
            self._http.request(method, path, body=body, headers=headers or {})
            response = self._http.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise NoAnswerError(f"{type(error).__name__}: {error}", sent=sent) from error
        return Answer(response.status, text, {key.lower(): value for key, value in response.getheaders()})

    def call(self, actor_type: str, name: str, method: str, /, *positions: Any, **keywords: Any) -> Answer:
        """Call an actor's method with positional or with keyword arguments."""
        assert not (positions and keywords)
        return self.request("POST", _path(actor_type, name, method), _body(positions or keywords))

    def value(self, actor_type: str, name: str, method: str, /, *positions: Any, **keywords: Any) -> Any:
        """The result of a call that succeeds."""
        answer = self.call(actor_type, name, method, *positions, **keywords)
        assert answer.status == 200, answer
        return answer.value

    def metric(self, name: str) -> float:
        """The sum over all series of a metric's name; 0 where there is none."""
        lines = self.request("GET", "/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))


class SentCall:
    """A call that has been sent and whose answer nobody reads until it is wanted."""

    def __init__(self, url: str, actor_type: str, name: str, method: str, /, *positions: Any) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=75.0)
        self._http.request("POST", _path(actor_type, name, method), body=_body(positions))

    def has_answer(self) -> bool:
        """Whether the answer lies there now."""
        return _is_readable(self._http.sock)

    def answer(self) -> Answer:
        """Wait for the answer, read it, and hang up."""
        response = self._http.getresponse()
        text = response.read().decode()
        self.leave()
        return Answer(response.status, text, {key.lower(): value for key, value in response.getheaders()})

    def leave(self) -> None:
        """Hang up."""
        self._http.close()


def _path(actor_type: str, name: str, method: str) -> str:
    return f"/v1/actors/{actor_type}/{quote(name, safe='')}/{method}"


def _body(arguments: Any) -> str | None:
    return json.dumps(arguments) if arguments else None


def _has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed an idle connection: there is something to read where nothing was asked."""
    return _is_readable(connection)


def _is_readable(connection: socket.socket) -> bool:
    """Whether a read would return at once. By poll: a select takes no descriptor past 1,023."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
