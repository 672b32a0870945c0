"""The W3C trace context that calls carry along: of the request that a backend is serving, or of OpenTelemetry's span.

OpenTelemetry is never imported here: who uses it has done so, and who does not pays nothing.
"""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from typing import Any, Final

_carried: Final[ContextVar[str | None]] = ContextVar("holdfast.client.traceparent", default=None)
# No version ff, and no id of zeros alone: the rule has them as none.
_GOOD: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def carry_trace(traceparent: str | None) -> None:
    """Have the calls that this thread, or this task, makes from here on carry a trace context.

    Example:
        carry_trace(request.headers.get("traceparent"))

    Args:
        traceparent: The W3C header's text; one that breaks its rule counts as none. None: that of OpenTelemetry's
            current span, where the process uses that.
    """
    _carried.set(traceparent)


def current_traceparent() -> str | None:
    """What a call that begins now carries; None for nothing. A text that is none counts as nothing."""
    given = _carried.get()
    if given is None:
        api: Any = sys.modules.get("opentelemetry.trace")
        span = None if api is None else api.get_current_span().get_span_context()
        if span is None or not span.is_valid:
            return None
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return given if _GOOD.fullmatch(given) else None
