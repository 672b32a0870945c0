"""One call as it goes over HTTP, and how often it is made: nothing here reads or writes a connection.

What may be sent again is decided in one place, `Attempts`: a call whose refusal says that nothing was done; and under
an idempotency key also one of which nobody knows what it did.
"""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from holdfast._errors import CodecError
from holdfast._values.codec import decode
from holdfast.client._failures import HostUnreachableError, UnexpectedAnswerError, refusal_of
from holdfast.client._tracing import current_traceparent

CONNECT_TIMEOUT_S: Final = 10.0
KEY_CHARS_MAX: Final = 255

_TYPED: Final = "application/vnd.holdfast+json"
_PAUSE_S: Final = 0.1  # before the second attempt; four times as long before each further one
# Whoever repeats such a call under a key has its answer, or its effect once. Any other refusal stands.
_UNKNOWN_OUTCOMES: Final = frozenset({"ActorOutputGateError", "HostUnavailableError"})
_GATEWAYS: Final = frozenset({502, 503, 504})
# In which nothing has been sent. A request whose body broke off may have been read all the same.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}


@dataclass(slots=True)
class CallRequest:
    """One call.

    Attributes:
        what: `Account/alice.deposit`, for messages.
        path: Where it goes, from the host's root.
        body: The arguments, with their types.
        key: Its idempotency key; None where nobody gave one.
        timeout_s: For all attempts together; None: as the client has it.
    """

    what: str
    path: str
    body: bytes
    key: str | None
    timeout_s: float | None

    @classmethod
    def of(
        cls,
        actor_type: str,
        name: str,
        method: str,
        arguments: str,
        *,
        key: str | None,
        timeout_s: float | None,
    ) -> CallRequest:
        """A call with these typed arguments."""
        path = path_of(actor_type, name, method)
        return cls(f"{actor_type}/{name}.{method}", path, arguments.encode(), key, timeout_s)

    @staticmethod
    def checked_key(key: str) -> str:
        """The key, or ValueError for one that no header can carry."""
        if not isinstance(key, str):
            raise TypeError(f"an idempotency key is a str, not {type(key).__name__}")
        if not 1 <= len(key) <= KEY_CHARS_MAX or not all(" " <= each <= "~" for each in key):
            raise ValueError(
                f"an idempotency key over HTTP has 1 to {KEY_CHARS_MAX} printable ASCII characters, not {key!r:.80}"
            )
        return key

    def headers(self) -> dict[str, str]:
        """Those of each attempt."""
        headers = {"content-type": _TYPED, "accept": _TYPED}
        if self.key is not None:
            headers["idempotency-key"] = '"{}"'.format(self.key.replace("\\", r"\\").replace('"', r"\""))
        if parent := current_traceparent():
            headers["traceparent"] = parent
        return headers


class Attempts:
    """The attempts of one call. `answered` and `failed` say how long to wait before the next one, or raise."""

    def __init__(self, request: CallRequest, *, retries: int, timeout_s: float, url: str) -> None:
        if retries and request.key is None:
            request.key = uuid.uuid4().hex
        self._request = request
        self._left = retries
        self._timeout_s = timeout_s if request.timeout_s is None else request.timeout_s
        self._ends = time.monotonic() + self._timeout_s
        self._pause_s = _PAUSE_S
        self._url = url
        self.result: Any = None

    def extensions(self) -> dict[str, Any]:
        """Those of the next attempt: how long each of its steps may take is asked when it begins."""
        return {"timeout": _Left(self._ends)}

    def in_time(self, piece: bytes) -> bytes:
        """A piece of an answer; httpx.ReadTimeout where the time is over, however steadily more of it comes."""
        if time.monotonic() >= self._ends:
            raise httpx.ReadTimeout("the answer was not whole in time")
        return piece

    def answered(self, status: int, body: bytes) -> float | None:
        """Judge an answer: None where it is the result, which is in `result`.

        Raises:
            ActorCallError: It failed, and is not to be made again.
        """
        if status == httpx.codes.OK:
            self.result = self._decoded(status, body)
            return None
        refusal = refusal_of(status, body)
        if refusal is None:
            error = self._unexpected(status, "no result, and no error of a host")
            return self._again(error, safe=False) if status in _GATEWAYS else self._give_up(error)
        if refusal.retryable:
            return self._again(refusal, safe=True)
        return self._again(refusal, safe=False) if refusal.name in _UNKNOWN_OUTCOMES else self._give_up(refusal)

    def failed(self, failure: httpx.HTTPError) -> float:
        """Judge an attempt without an answer.

        Raises:
            HostUnreachableError: It is not to be made again.
        """
        request, safe = self._request, isinstance(failure, _NOT_SENT)
        if isinstance(failure, httpx.TimeoutException) and time.monotonic() >= self._ends:
            why = f"there was no answer within {self._timeout_s:g} s"
        else:
            why = str(failure) or type(failure).__name__
        outcome = "nothing was done" if safe else "the outcome is unknown"
        error = HostUnreachableError(f"{request.what} at {self._url}: {why}; {outcome}", retryable=safe)
        error.__cause__ = failure
        return self._again(error, safe=safe)

    def _again(self, error: Exception, *, safe: bool) -> float:
        """How long to wait before the next attempt; the error where there is none. `safe`: nothing was done."""
        pause_s = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 it spreads those who were refused together
        if self._left <= 0 or not (safe or self._request.key is not None):
            raise error
        if time.monotonic() + pause_s >= self._ends:
            raise error
        self._left -= 1
        self._pause_s *= 4
        return pause_s

    @staticmethod
    def _give_up(error: Exception) -> float:
        raise error

    def _decoded(self, status: int, body: bytes) -> Any:
        try:
            return decode(body.decode(), f"the result of {self._request.what}")
        except (CodecError, UnicodeDecodeError) as error:
            raise self._unexpected(status, str(error)) from error

    def _unexpected(self, status: int, why: str) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(
            f"{self._request.what} at {self._url}: status {status}, {why}: is it a Holdfast host?", status
        )


def path_of(*parts: str) -> str:
    """Where type, name and what follows are in the API."""
    return "/v1/actors/" + "/".join(map(_segment, parts))


class _Left(dict[str, float | None]):
    """The times that a transport asks for, step by step: what is left of one deadline, not the whole for each."""

    def __init__(self, ends: float) -> None:
        super().__init__(dict.fromkeys(("connect", "read", "write", "pool")))
        self._ends = ends

    def __getitem__(self, step: str) -> float | None:
        left_s = max(0.001, self._ends - time.monotonic())
        return min(left_s, CONNECT_TIMEOUT_S) if step == "connect" else left_s

    def get(self, step: str, default: Any = None) -> Any:
        return self[step]


def _segment(text: str) -> str:
    """A part of a path; dots alone would be taken for steps in it."""
    return _DOTS.get(text) or quote(text, safe="")
