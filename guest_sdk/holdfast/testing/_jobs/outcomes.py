"""What an answer says of a job, by the rules of a real host: that it is over, or that it is tried again, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final

from holdfast._http import Response
from holdfast.testing._failures import RefusedError
from holdfast.testing._jobs.rows import StoredJob
from holdfast.testing._limits import Limits

ERROR_CHARS_MAX: Final = 1_000
_WAITS_S: Final = (1, 4, 16, 64, 256)
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_AGAIN_STATUSES: Final = frozenset({408, 425, 429})
_FINAL_STATUSES: Final = frozenset({501, 505})

# What is said of the job itself: to ask again would be answered alike.
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


@dataclass(frozen=True, slots=True)
class Tried:
    """How one try has ended."""

    member: dict[str, Any]  # of the outcome: result, response or error
    ok: bool = False
    again: bool = False
    unknown: bool = False
    why: str = ""
    settles: bool = True  # what was unknown of earlier tries is known now
    wait_s: float = field(default=0.0)  # that the server asked for


def returned(result: str) -> Tried:
    """A call has returned this text."""
    return Tried({"result": json.loads(result)}, ok=True)


def failed(failure: RefusedError) -> Tried:
    """There is no result, or no answer."""
    name = failure.name
    why = f"{name}: {failure.message}"[:ERROR_CHARS_MAX]
    member = {"error": {**failure.facts(), "status": failure.status}}
    return Tried(member, again=name not in _REFUSALS, unknown=name in _UNKNOWN, why=why, settles=name in _RAN)


def answered(response: Response, now_us: int, limits: Limits) -> Tried:
    """A request was answered."""
    status = response.status
    again = status in _AGAIN_STATUSES or (status >= 500 and status not in _FINAL_STATUSES)
    ok = 200 <= status < 300
    why = "" if ok else f"it was answered with status {status}"
    size, limit = len(response.body), limits.job_outcome_bytes_max
    if size > limit:
        text = f"an answer of {size} bytes exceeds the limit of {limit} bytes that is kept for a job"
        error = failed(RefusedError("LimitError", text))
        return replace(error, member={**error.member, "response": {"status": status, "headers": []}}, again=again)
    wait_s = _retry_after_s(response.headers.get("retry-after"), now_us) if again else 0.0
    return Tried({"response": json.loads(response.to_wire())}, ok, again, why=why, wait_s=wait_s)


def judged(job: StoredJob, tried: Tried, now_us: int, limits: Limits) -> StoredJob:
    """The job from then on: retrying, or waiting with its outcome."""
    tries, unknown = job.tries + 1, tried.unknown or (job.unknown and not tried.settles)
    if tried.again and tries < limits.job_tries_max:
        wait_s = max(_WAITS_S[tries - 1] if tries <= len(_WAITS_S) else _HOUR_S, tried.wait_s)
        due_us = now_us + round(wait_s * 1e6)
        return replace(
            job,
            state="retrying",
            due_us=due_us,
            tries=tries,
            unknown=unknown and job.kind == "call",
            last_error=tried.why,
            pieces=0,
            again=job.again or job.pieces > 0,
        )
    outcome = {"ok": tried.ok, "unknown": unknown, "tries": tries, **tried.member}
    return replace(job, state="waiting", tries=tries, unknown=unknown, last_error=tried.why, outcome=outcome)


def _retry_after_s(text: str | None, now_us: int) -> float:
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), _DAY_S)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now_us / 1e6), _DAY_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
