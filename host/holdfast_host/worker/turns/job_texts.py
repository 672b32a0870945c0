"""Jobs as guests write and read them, see `wit/jobs.wit`; and the facts of one that is stored.

The facts of a stored job are two JSON texts, a line each: a short one that every listing reads (method, target, cron),
and what the method is called with, or the request.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast_host.core.errors import BadRequestError, LimitError
from holdfast_host.core.json_text import JsonObject, is_nested_deeper
from holdfast_host.storage.jobs import ID_BYTES, KINDS, Job
from holdfast_host.wire.calls.http_messages import BadMessageError, read_body, read_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast_host.core.limits import Limits

KEY_BYTES_MAX: Final = 255
_METHOD_CHARS_MAX: Final = 256
_URL_CHARS_MAX: Final = 16_384
_TOPIC_CHARS_MAX: Final = 200
_DUE_AHEAD_US: Final = 10 * 366 * 86_400 * 1_000_000
_TRACE_FIRST: Final = b'{"trace":"'  # of the first line, where its maker was traced
_HEADERS_FIRST: Final = b'{"redirects":false,"headers":['
_LISTED: Final = ("cron", "tz", "method", "binding", "name", "url", "stream_to", "then")
_MEMBERS: Final = {
    "run": frozenset({"kind", "due_us", "key", "method", "arguments", "cron", "tz"}),
    "call": frozenset({"kind", "due_us", "key", "method", "arguments", "binding", "name", "then"}),
    "http": frozenset({"kind", "due_us", "key", "request", "stream_to", "then"}),
}


class Facts(NamedTuple):
    """What a stored job says of itself."""

    head: JsonObject
    payload: bytes  # JSON: arguments, or a request


def read_facts(job: Job) -> Facts:
    """Any thread."""
    head, _, payload = job.facts.partition(b"\n")
    return Facts(json.loads(head), payload)


def may_repeat(job: Job) -> bool:
    """False for one that is no cron, which most are not, without reading its facts."""
    return b'"cron"' in job.facts[: job.facts.find(b"\n")]


def with_trace(job: Job, context: bytes) -> Job:
    """The same, made by a turn of that trace context. Not a cron: it goes on for ever, and the same again is none."""
    if job.repeats:
        return job
    return replace(job, facts=b'%b%b",%b' % (_TRACE_FIRST, context.hex().encode(), job.facts[1:]))


def trace_of(job: Job) -> bytes:
    """What `with_trace` has added; empty for none."""
    if not job.facts.startswith(_TRACE_FIRST):
        return b""
    at = len(_TRACE_FIRST)
    return bytes.fromhex(job.facts[at : job.facts.index(b'"', at)].decode())


def read_job(text: bytes, now_us: int, limits: Limits, label: str, aim: Callable[[str, str], int]) -> Job:
    """What a guest wants done.

    Args:
        text: as `put` of `wit/jobs.wit` has it.
        now_us: the wall clock.
        limits: the host's.
        label: names the instance in errors.
        aim: the number of the type that a binding leads to, for an instance of that name; it refuses what cannot work.

    Raises:
        BadRequestError: a member breaks the rules, named.
        LimitError: it is too large or nested too deep.
        HoldfastError: what `aim` refuses with.
    """
    if len(text) > 2 * limits.job_bytes_max:
        raise LimitError(f"{label}: a job of {len(text)} bytes exceeds the limit of {limits.job_bytes_max} bytes")
    if is_nested_deeper(text, limits.nesting_max + 4):
        raise LimitError(f"{label}: a job nested deeper than the limit of {limits.nesting_max}")
    wanted = _parse(text, label)
    kind = wanted.get("kind")
    if kind not in KINDS:
        raise BadRequestError(f"{label}: kind of a job is {_shown(kind)}: it must be one of {', '.join(KINDS)}")
    unknown = wanted.keys() - _MEMBERS[kind]
    if unknown:
        raise BadRequestError(f"{label}: a job of kind {kind} has no member {min(unknown)!r}")
    head, payload = _READERS[kind](wanted, limits, label, aim)
    key = _text(wanted, "key", label, 0, KEY_BYTES_MAX)
    if "key" in wanted and not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise BadRequestError(f"{label}: key of a job must have 1 to {KEY_BYTES_MAX} bytes")
    due_us = _due_us(wanted, now_us, label)
    return Job(
        kind=kind,
        due_us=due_us,
        scheduled_us=due_us,
        key=key,
        facts=_dumps(head) + b"\n" + payload,
        repeats="cron" in head,
    )


def describe_job(id_: bytes, job: Job) -> JsonObject:
    """As `list` of `wit/jobs.wit` has it."""
    head = read_facts(job).head
    facts: JsonObject = {"id": id_.hex(), "kind": job.kind, "state": job.state, "due_us": job.due_us}
    if job.key:
        facts["key"] = job.key
    facts |= {name: head[name] for name in _LISTED if name in head}
    facts["tries"] = job.tries + job.retry_count
    if job.last_error:
        facts["last_error"] = job.last_error
    if job.unknown:
        facts["unknown"] = True
    return facts


def read_id(text: str) -> bytes | None:
    """A job's id; None where that is none."""
    try:
        id_ = bytes.fromhex(text) if text.isascii() and " " not in text else b""
    except ValueError:
        return None
    return id_ if len(id_) == ID_BYTES else None


def read_by(text: bytes, label: str) -> tuple[bytes, str]:
    """What `cancel` means: an id or a key; BadRequestError where it says neither, or both."""
    by = _parse(text, label)
    found, key = by.get("id"), by.get("key")
    if len(by) == 1 and isinstance(key, str) and key:
        return b"", key
    id_ = read_id(found) if isinstance(found, str) and len(by) == 1 else None
    if id_ is None:
        raise BadRequestError(f"{label}: a job is cancelled by its id, 32 hexadecimal digits, or by its key")
    return id_, ""


def request_text(payload: bytes, id_: bytes, *, keyed: bool) -> bytes:
    """The request of a job as the courier reads it; under the job's id, unless it has a key of its own."""
    if keyed:
        return payload
    rest = payload[len(_HEADERS_FIRST) :]
    comma = b"" if rest.startswith(b"]") else b","
    return b'%b["Idempotency-Key","%b"]%b%b' % (_HEADERS_FIRST, id_.hex().encode(), comma, rest)


def _read_run(wanted: JsonObject, limits: Limits, label: str, aim: object) -> tuple[JsonObject, bytes]:
    head = {"method": _text(wanted, "method", label, 1, _METHOD_CHARS_MAX)}
    if "cron" in wanted:
        if wanted.get("due_us"):
            raise BadRequestError(f"{label}: a job has due_us or cron, not both")
        head["cron"] = _text(wanted, "cron", label, 1, 256)
        if "tz" in wanted:
            head["tz"] = _text(wanted, "tz", label, 1, 256)
    elif "tz" in wanted:
        raise BadRequestError(f"{label}: tz of a job needs a cron")
    return head, _arguments(wanted, limits, label)


def _read_call(
    wanted: JsonObject, limits: Limits, label: str, aim: Callable[[str, str], int]
) -> tuple[JsonObject, bytes]:
    binding, name = _text(wanted, "binding", label, 1, 256), _text(wanted, "name", label, 1, 256)
    head: JsonObject = {"type_id": aim(binding, name), "binding": binding, "name": name}
    head["method"] = _text(wanted, "method", label, 1, _METHOD_CHARS_MAX)
    return _with_then(head, wanted, label), _arguments(wanted, limits, label)


def _read_http(wanted: JsonObject, limits: Limits, label: str, aim: object) -> tuple[JsonObject, bytes]:
    request = wanted.get("request")
    if not isinstance(request, dict):
        raise BadRequestError(f"{label}: request of a job must be an object, as http.request spells it")
    if "redirects" in request:
        raise BadRequestError(f"{label}: request of a job cannot have redirects: they are its outcome")
    what = f"request of a job of {label}"
    try:
        headers = read_headers(request.get("headers", []), limits.fetch_headers_bytes_max, what)
        read_body(request, what)
    except BadMessageError as error:
        raise BadRequestError(str(error)) from None
    url = _text(request, "url", label, 1, _URL_CHARS_MAX)
    _text(request, "method", label, 1, 32)
    head = {"url": url}
    if any(name.lower() == "idempotency-key" for name, _ in headers):
        head["keyed"] = "yes"
    if "stream_to" in wanted:
        head["stream_to"] = _text(wanted, "stream_to", label, 1, _TOPIC_CHARS_MAX)
    # Headers first, for `request_text`; a body, which may be long, last, for whoever reads it.
    rest = {name: value for name, value in request.items() if name not in {"headers", "body", "body_base64"}}
    rest |= {name: request[name] for name in ("body", "body_base64") if name in request}
    payload = _HEADERS_FIRST + _dumps([list(pair) for pair in headers])[1:-1] + b"]," + _dumps(rest)[1:]
    return _with_then(head, wanted, label), payload


_READERS: Final[dict[str, Callable[..., tuple[JsonObject, bytes]]]] = {
    "run": _read_run,
    "call": _read_call,
    "http": _read_http,
}


def _with_then(head: JsonObject, wanted: JsonObject, label: str) -> JsonObject:
    return {**head, "then": _text(wanted, "then", label, 1, _METHOD_CHARS_MAX)} if "then" in wanted else head


def _arguments(wanted: JsonObject, limits: Limits, label: str) -> bytes:
    found = wanted.get("arguments")
    value = found.get("v") if isinstance(found, dict) and found.get("$hf") == "arguments" and len(found) == 2 else None
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], list) and isinstance(value[1], dict)):
        raise BadRequestError(f'{label}: arguments of a job must be {{"$hf":"arguments","v":[[...],{{...}}]}}')
    return _dumps(found)


def _due_us(wanted: JsonObject, now_us: int, label: str) -> int:
    from holdfast_host.core.cron import next_after

    if "cron" in wanted:
        try:
            return next_after(wanted["cron"], wanted.get("tz", "UTC"), now_us)
        except ValueError as error:
            raise BadRequestError(f"{label}: cron of a job: {error}") from None
    due_us = wanted.get("due_us", 0)
    if not isinstance(due_us, int) or isinstance(due_us, bool):
        raise BadRequestError(
            f"{label}: due_us of a job is {_shown(due_us)}: it must be a whole number of microseconds"
        )
    if due_us > now_us + _DUE_AHEAD_US:
        raise BadRequestError(f"{label}: due_us of a job is {due_us}: it must lie within 10 years")
    return due_us if due_us > 0 else now_us


def _text(facts: JsonObject, name: str, label: str, chars_min: int, chars_max: int) -> str:
    value = facts.get(name, "")
    if not isinstance(value, str) or not chars_min <= len(value) <= chars_max:
        raise BadRequestError(
            f"{label}: {name} of a job is {_shown(value)}: it must be a text of {chars_min} to {chars_max} characters"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequestError(f"{label}: {name} of a job holds a lone surrogate") from None
    return value


def _parse(text: bytes, label: str) -> JsonObject:
    try:
        facts = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadRequestError(f"{label}: a job is one JSON object, this is none") from None
    if not isinstance(facts, dict):
        raise BadRequestError(f"{label}: a job is one JSON object, this is none")
    return facts


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _shown(value: Any) -> str:
    return ascii(value) if len(ascii(value)) <= 80 else ascii(value)[:80] + "..."
