"""What an answer says of a job: that it is over, and with what outcome, or that it is tried again, and when.

Any thread: an answer may be large, so it is read where the job's row is.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast_host.core.errors import HoldfastError, LimitError
from holdfast_host.wire.calls.http_messages import pack_message
from holdfast_host.wire.calls.moved import MOVED
from holdfast_host.wire.calls.outbound import PIECE

if TYPE_CHECKING:
    from holdfast_host.core.json_text import JsonObject
    from holdfast_host.core.limits import Limits
    from holdfast_host.storage.jobs import Job

_OK: Final = 200
_WAITS_S: Final = (1, 4, 16, 64, 256)
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_ERROR_CHARS_MAX: Final = 1_000
_STATUS: Final = re.compile(rb'\{"status":([0-9]{3})[,}]')

# What the callee, or the courier, says of the job itself: to ask again would be answered alike.
_REFUSALS: Final = frozenset(
    {
        "ActorError", "ActorPrivateMethodError", "ActorUnknownMethodError", "BadArgumentsError", "BadRequestError",
        "CodecError", "IdempotencyConflictError", "InvalidNameError", "LimitError", "OutboundDeniedError",
    }
)  # fmt: skip
# A turn of the callee has run and says so: it looked first for what is kept of an earlier try, and found nothing.
_RAN: Final = frozenset(
    {
        "ActorError", "ActorInitError", "ActorMethodError", "ActorMethodTimeoutError", "ActorTrapError",
        "BadArgumentsError", "CodecError",
    }
)  # fmt: skip
_UNKNOWN: Final = frozenset({"ActorOutputGateError", "OutboundUnreachableError", "OutboundTimeoutError"})
_NOT_SENT: Final = b'{"error":{"name":"OutboundBusyError"'
_HEAD_BYTES: Final = 64  # in which a response says its status
_AGAIN_STATUSES: Final = frozenset({408, 425, 429})
_FINAL_STATUSES: Final = frozenset({501, 505})


class Answer(NamedTuple):
    """What came of one try: of a call its REPLY, of a request the courier's ANSWER."""

    status: int
    body: bytes
    left_out_bytes: int = 0  # of a body that is too long to be kept

    @property
    def is_piece(self) -> bool:
        """Whether more follows: this is a piece of an answer that streams."""
        return self.status == _OK and self.body.startswith(PIECE)

    def cut(self, limits: Limits) -> Answer:
        """The same, without a body that nobody will be told. A piece is told whole; its courier bounds it."""
        if len(self.body) <= _kept_bytes(limits) or self.is_piece:
            return self
        return Answer(self.status, self.body[:_HEAD_BYTES], len(self.body) - _HEAD_BYTES)


FORGOTTEN: Final = Answer(0, b"")  # nobody asks any more: what was kept of its first try may be gone


class _Read(NamedTuple):
    ok: bool
    again: bool
    unknown: bool
    why: str  # what failed
    member: bytes  # of the outcome: `"result":...`, `"response":...` or `"error":...`
    settles: bool = True  # what was unknown of earlier tries is known now
    wait_s: float = 0.0  # that the server asked for


def judge(job: Job, answer: Answer, now_us: int, limits: Limits) -> Job:
    """The job from then on: retrying, or waiting with its outcome.

    Args:
        job: as it stands.
        answer: to its last try.
        now_us: the wall clock.
        limits: the host's.
    """
    if answer is FORGOTTEN:
        return _forgotten(job)
    read = _read_call(answer) if job.kind == "call" else _read_response(answer, now_us, limits)
    tries, unknown = job.tries + 1, read.unknown or (job.unknown and not read.settles)
    if read.again and tries < limits.job_tries_max:
        wait_s = max(_WAITS_S[tries - 1] if tries <= len(_WAITS_S) else _HOUR_S, read.wait_s)
        due_us = now_us + round(wait_s * 1e6)
        kept = unknown and job.kind == "call"
        again = replace(job, state="retrying", due_us=due_us, tries=tries, unknown=kept, last_error=read.why)
        return again.broken_off()
    outcome = b'{"ok":%b,"unknown":%b,"tries":%d,%b}' % (_said(read.ok), _said(unknown), tries, read.member)
    return replace(job, state="waiting", tries=tries, unknown=unknown, last_error=read.why, outcome=outcome)


def was_not_sent(answer: Answer) -> bool:
    """Whether there was no room for a request, or another worker owns who is called: then it was no try."""
    return answer.status == MOVED or (answer.status != _OK and answer.body.startswith(_NOT_SENT))


def is_success(job: Job) -> bool:
    """Whether a job that waits with its outcome has done what it was for."""
    return job.outcome.startswith(b'{"ok":true')


def _kept_bytes(limits: Limits) -> int:
    """Of an answer as text: a body grows by a third in base64, and headers come with it."""
    return limits.fetch_headers_bytes_max + limits.job_outcome_bytes_max * 3 // 2


def _forgotten(job: Job) -> Job:
    error = HoldfastError("whether it took effect cannot be known any more: it was first tried too long ago")
    facts = {**error.facts(), "name": "ActorOutputGateError", "status": 500}
    why = job.last_error or error.message
    outcome = b'{"ok":false,"unknown":true,"tries":%d,"error":%b}' % (job.tries, _dumps(facts))
    return replace(job, state="waiting", unknown=True, last_error=why, outcome=outcome)


def _read_call(answer: Answer) -> _Read:
    if answer.status == _OK:
        return _Read(True, False, False, "", b'"result":' + (answer.body or b"null"))
    return _read_error(answer)


def _read_response(answer: Answer, now_us: int, limits: Limits) -> _Read:
    if answer.status != _OK:
        return _read_error(answer)
    match = _STATUS.match(answer.body)
    status = int(match[1]) if match else 0
    again = status in _AGAIN_STATUSES or (status >= 500 and status not in _FINAL_STATUSES)
    ok = 200 <= status < 300
    why = "" if ok else f"it was answered with status {status}"
    body, wait_s = answer.body, 0.0
    if answer.left_out_bytes:
        error = LimitError(
            f"an answer of {len(body) + answer.left_out_bytes} bytes exceeds the limit of "
            f"{limits.job_outcome_bytes_max} bytes that is kept for a job"
        )
        member = b'"response":%b,"error":%b' % (
            pack_message({"status": status, "headers": []}, b""),
            _error(error, 413),
        )
        return _Read(False, again, False, why or error.message, member)
    if again:
        wait_s = _retry_after_s(json.loads(body).get("headers", []), now_us)
    return _Read(ok, again, False, why, b'"response":' + body, wait_s=wait_s)


def _read_error(answer: Answer) -> _Read:
    error = HoldfastError.from_facts(json.loads(answer.body)["error"], answer.status)
    why = f"{error.name}: {error.message}"[:_ERROR_CHARS_MAX]
    again = error.name not in _REFUSALS
    member = b'"error":' + _error(error, answer.status)
    return _Read(False, again, error.name in _UNKNOWN, why, member, settles=error.name in _RAN)


def _error(error: HoldfastError, status: int) -> bytes:
    return _dumps({**error.facts(), "status": status})


def _retry_after_s(headers: list[list[str]], now_us: int) -> float:
    """What `Retry-After` asks for, a day at most; 0 where there is none that can be read."""
    text = next((value.strip() for name, value in headers if name.lower() == "retry-after"), "")
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), _DAY_S)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now_us / 1e6), _DAY_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def _said(value: bool) -> bytes:
    return b"true" if value else b"false"


def _dumps(facts: JsonObject) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode()
