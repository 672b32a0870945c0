"""The commands' way to a host: one HTTP client, whose failures are sentences.

With `addresses`, which knows how URLs and paths are spelled, the only importer of httpx. What does not live here: the
routes' meaning (each command knows its own), what a command's options say of the host (`host_options`), and printing.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx

from holdfast_host.cli import answers
from holdfast_host.cli.addresses import api_path, checked_url, with_query
from holdfast_host.cli.output import CommandFailedError, integers_of_any_length
from holdfast_host.cli.shapes import misfit
from holdfast_host.cli.upload import Upload
from holdfast_host.core.tenants import TENANT_HEADER

# A call may wait 30 s in a mailbox and run for its budget; a deploy compiles for at most 90 s in silence.
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 120.0
PAGE_ROWS: Final = 1000

_NO_JSON: Final = object()
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_Shape = TypeVar("_Shape")


class RefusedError(CommandFailedError):
    """The host's own refusal: what its error says beside the sentence."""

    def __init__(self, sentence: str, name: str, code: str | None, reason: str, *, retryable: bool = False) -> None:
        super().__init__(sentence)
        self.name = name
        self.code = code
        self.reason = reason
        self.retryable = retryable


class UnreachableError(CommandFailedError):
    """No host answers, or the connection to it broke."""


class StrangeAnswerError(CommandFailedError):
    """Something answers that is no Holdfast host: another server, or a proxy before one."""


class HostClient:
    """One command's connection to a host. Lives as long as the command; for one thread."""

    def __init__(
        self,
        url: str,
        token: str | None,
        transport: httpx.BaseTransport | None = None,
        authorities: Path | None = None,
        tenant: str | None = None,
    ) -> None:
        self.url = checked_url(url)
        encrypted = self.url.startswith("https:")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if tenant:
            headers[TENANT_HEADER] = tenant
        at_home = urlsplit(self.url).hostname in _LOOPBACK
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=not at_home,  # no proxy stands between us and this machine
            # Without encryption there is nothing to verify, and reading the certificates to do so takes 25 ms.
            verify=_trusted(authorities) if encrypted or not at_home else False,
            transport=transport,
        )

    def __enter__(self) -> HostClient:
        """The client itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, shape: type[_Shape]) -> _Shape:
        """The JSON that a GET answers; every answer has the shape that is asked for, or the command ends."""
        return self._answer("GET", path, shape)

    def post(self, path: str, value: Any, shape: type[_Shape]) -> _Shape:
        """The JSON that a POST of a JSON value answers."""
        return self._answer("POST", path, shape, **_json_content(json.dumps(value)))

    def put(self, path: str, value: Any, shape: type[_Shape]) -> _Shape:
        """The JSON that a PUT of a JSON value answers."""
        return self.put_text(path, json.dumps(value), shape)

    def put_text(self, path: str, text: str, shape: type[_Shape]) -> _Shape:
        """The JSON that a PUT of JSON text answers, sent digit for digit as it is."""
        return self._answer("PUT", path, shape, **_json_content(text))

    def rows(
        self, path: str, field: str, row: type[_Shape], asked: dict[str, str], limit: int | None = None
    ) -> Iterator[_Shape]:
        """The rows of a listing under `field`, page by page: a million take no more memory than a thousand."""
        left, cursor, shape = limit, None, answers.page_of(field, row)
        while left is None or left > 0:
            page_rows = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            query = {**asked, "limit": str(page_rows), **({} if cursor is None else {"cursor": cursor})}
            page: Any = self.get(with_query(path, query), shape)
            yield from page[field]
            cursor = page["cursor"]
            if cursor is None:
                return
            if left is not None:
                left -= len(page[field])

    def lines(
        self, path: str, shape: type[_Shape], opened: Callable[[str | None], None] = lambda date: None
    ) -> Iterator[_Shape]:
        """The lines that a GET answers, as they come, however long that takes; `opened` is told the Date."""
        patient = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=None)
        with self._streamed("GET", path, timeout=patient) as response:
            opened(response.headers.get("date"))
            for line in response.iter_lines():
                yield self._fitting("GET", path, line, shape)

    def probe(self, path: str) -> str | None:
        """The Date of whatever a GET answers that succeeds; None where it says none."""
        with self._streamed("GET", path) as response:
            date: str | None = response.headers.get("date")
            return date

    def stream(self, path: str) -> Iterator[bytes]:
        """The bytes that a POST answers, as they come, however long that takes."""
        patient = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=None)
        with self._streamed("POST", path, timeout=patient) as response:
            yield from response.iter_raw()

    def raw_lines(self, path: str) -> Iterator[bytes]:
        """The lines that a GET answers, as they come, without looking into them; only a line feed ends one."""
        patient = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        rest: list[bytes] = []
        with self._streamed("GET", path, timeout=patient) as response:
            for piece in response.iter_bytes():
                first, *lines = piece.split(b"\n")
                rest.append(first)
                if lines:
                    yield b"".join(rest)
                    yield from lines[:-1]
                    rest = lines[-1:]
        if last := b"".join(rest):
            yield last

    def fitting(self, path: str, line: bytes, shape: type[_Shape]) -> _Shape:
        """What a line of an answer says, where that has the shape."""
        return self._fitting("GET", path, line.decode("utf-8", "replace"), shape)

    def strange(self, path: str, why: str) -> CommandFailedError:
        """What is said of an answer to a GET that no host gives."""
        return self._strange("GET", path, why)

    def upload_lines(self, path: str, pieces: Iterator[bytes], shape: type[_Shape]) -> _Shape:
        """The JSON that a POST of lines answers, however many they are."""
        return self._answer("POST", path, shape, content=pieces, headers={"content-type": "application/x-ndjson"})

    def delete(self, path: str, shape: type[_Shape]) -> _Shape:
        """The JSON that a DELETE answers."""
        return self._answer("DELETE", path, shape)

    def call(self, actor_type: str, name: str, method: str, arguments: str, key: str | None = None) -> Any:
        """Call a method, under an idempotency key or none.

        `arguments` is JSON text, an object or an array, sent digit for digit as it is.
        """
        target = json.dumps({"type": actor_type, "name": name, "method": method})
        body = f'{target[:-1]}, "args": {arguments}}}'
        content = _json_content(body)
        if key is not None:
            content["headers"]["idempotency-key"] = '"{}"'.format(key.replace("\\", r"\\").replace('"', r"\""))
        return self._answer("POST", "/v1/call", answers.ANY, **content)

    def deploy(
        self,
        function: str,
        component: Path,
        manifest: str | None,
        *,
        flags: Sequence[str] = (),
        on_sent: Callable[[int], None],
        on_stage: Callable[[str], None],
    ) -> answers.RunningFunction:
        """Upload a component and follow its stages; returns the last line, the function as it is deployed.

        Without a manifest the component goes as a bare body, and the host derives one. `flags` are those of the route:
        `allow_breaking`, `adopt`.

        Raises:
            CommandFailedError: the host refused it or cannot be reached.
        """
        query = "&".join(f"{flag}=true" for flag in flags)
        path = api_path("functions", function) + (f"?{query}" if query else "")
        with Upload(component, on_sent) as upload:
            body: dict[str, Any]
            if manifest is None:
                body = {"content": upload.chunks(), "headers": {"content-type": "application/wasm"}}
                body["headers"]["content-length"] = str(upload.total_bytes)
            else:
                part = ("holdfast.toml", manifest.encode(), "application/toml")
                body = {"files": {"manifest": part, "component": (component.name, upload, "application/wasm")}}
            headers = {"accept": "application/x-ndjson", **body.pop("headers", {})}
            with self._streamed("PUT", path, headers=headers, **body) as response:
                return self._follow(path, response, on_stage)

    def _follow(self, path: str, response: httpx.Response, on_stage: Callable[[str], None]) -> answers.RunningFunction:
        """Report each line of a streamed deploy; the last one is the result."""
        last: Any = None
        for line in filter(str.strip, response.iter_lines()):
            last = self._fitting("PUT", path, line, dict)
            if misfit(last, answers.Stage) is None:
                on_stage(last["stage"])
        if last is None or "stage" in last:
            raise CommandFailedError(
                f"The host at {self.url} ended the deploy without a result: look at its log and deploy again."
            )
        if "error" in last:
            raise self._error("PUT", path, last["status"] if isinstance(last.get("status"), int) else 500, last)
        return self._checked("PUT", path, last, answers.RunningFunction)

    def _answer(self, method: str, path: str, shape: type[_Shape], **content: Any) -> _Shape:
        with self._translated():
            response = self._http.request(method, path, **content)
        if not response.is_success:
            raise self._refusal(method, path, response)
        return self._fitting(method, path, _text_of(response), shape)

    @contextmanager
    def _streamed(self, method: str, path: str, **facts: Any) -> Iterator[httpx.Response]:
        """A response whose body has not been read, and is none of an error."""
        with self._translated(), self._http.stream(method, path, **facts) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(method, path, response)
            yield response

    def _fitting(self, method: str, path: str, text: str, shape: type[_Shape]) -> _Shape:
        """What JSON text says, where that has the shape."""
        value = _json_of(text)
        if value is _NO_JSON:
            raise self._strange(method, path, f"expected JSON, got {repr(text[:40]) if text else 'nothing'}")
        return self._checked(method, path, value, shape)

    def _checked(self, method: str, path: str, value: Any, shape: type[_Shape]) -> _Shape:
        if (wrong := misfit(value, shape)) is not None:
            raise self._strange(method, path, wrong)
        checked: _Shape = value
        return checked

    def _strange(self, method: str, path: str, why: str) -> CommandFailedError:
        return StrangeAnswerError(
            f"{self.url} does not answer {method} {path} as a Holdfast host does ({why}): is --host the right one?"
        )

    def _refusal(self, method: str, path: str, response: httpx.Response) -> CommandFailedError:
        return self._error(method, path, response.status_code, _json_of(_text_of(response)))

    def _error(self, method: str, path: str, status: int, answer: Any) -> CommandFailedError:
        """The host's error as one sentence, with what to do where the host does not say it itself."""
        if misfit(answer, answers.RefusedAnswer) is not None:
            return self._strange(method, path, f"expected the reason in JSON, got status {status} without one")
        error: answers.Refusal = answer["error"]
        message = error["message"]
        if status == httpx.codes.UNAUTHORIZED:
            message += " (holdfast auth set, HOLDFAST_TOKEN or --token-file gives one)"
        elif error.get("retryable"):
            message += " (the same command may succeed later)"
        code = error.get("code")
        sentence = f"{error['name']}{f' [{code}]' if code else ''}: {message}"
        return RefusedError(sentence, error["name"], code, error["message"], retryable=error.get("retryable", False))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise UnreachableError(
                    f"The certificate of {self.url} is not trusted ({str(error).rpartition(': ')[2]}): give its "
                    "authority with --ca FILE, and use a name that the certificate has."
                ) from None
            raise UnreachableError(
                f"No host answers at {self.url}: start one with 'holdfast serve', or name another with --host."
            ) from None
        except httpx.TimeoutException:
            raise UnreachableError(
                f"The host at {self.url} did not answer in time: look at its log; the outcome is unknown."
            ) from None
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"The connection to {self.url} broke ({error}): the outcome is unknown, look at the host and try again."
            ) from None


def _trusted(authorities: Path | None) -> ssl.SSLContext:
    """Whose certificates are: those of this file, else of SSL_CERT_FILE, else the usual ones."""
    source = "--ca" if authorities is not None else "SSL_CERT_FILE"
    path = authorities or os.environ.get("SSL_CERT_FILE") or None
    try:
        return httpx.create_ssl_context() if path is None else ssl.create_default_context(cafile=path)
    except OSError as error:  # which the errors of TLS are too
        reason = "it is no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise CommandFailedError(f"{source} {path} cannot be used: {reason}.") from None


def _json_content(text: str) -> dict[str, Any]:
    """JSON text as a request's content; what no UTF-8 was on the command line is none here either."""
    return {"content": text.encode("utf-8", "surrogateescape"), "headers": {"content-type": "application/json"}}


def _text_of(response: httpx.Response) -> str:
    """UTF-8, whatever the Content-Type says."""
    return response.content.decode("utf-8", "replace")


def _json_of(text: str) -> Any:
    """What JSON says; `_NO_JSON` where it is something else."""
    try:
        with integers_of_any_length():
            return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_JSON
