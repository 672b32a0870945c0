"""How every process of the host writes its log: lines on stderr, through structlog, all of them in one format.

    2026-11-21T08:00:00.123Z warning supervisor worker 0 died pid=4711 code=-9
    2026-11-21T08:00:00.456Z stdout worker 0 Account/alice | balance 5

That is `text`, for people: time, level, process, event, then `key=value` where a value that is not one plain word is
JSON; what a guest prints stands behind its instance, each line of a traceback on a line of its own. `json` is for
programs: one ASCII object a line, with `time` (Unix, in seconds), `level`, `process` for the host's own events,
`message`, and whatever further facts there are. Where guests' lines are kept, and that they hold nobody up, is the
worker's business.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any, Final, TextIO

# structlog's renderer for consoles, which nothing here uses, would load rich: most of a process's start and 12 MB.
_RICH_IS_LOADED: Final = "rich" in sys.modules
if not _RICH_IS_LOADED:
    sys.modules["rich"] = None  # type: ignore[assignment] # an import of it fails, which structlog is prepared for
import structlog  # noqa: E402
from structlog.typing import EventDict  # noqa: E402

from holdfast_host.core.log_levels import LEVELS  # noqa: E402
from holdfast_host.core.terminal_text import printable  # noqa: E402

if not _RICH_IS_LOADED:
    del sys.modules["rich"]

_dump: Final = structlog.processors.JSONRenderer(separators=(",", ":"))


class EventLog:
    """Writes the events of one process that are at or above a level; any thread, each line in one write.

    A log that nobody can read any more is no reason to stop: what cannot be written is dropped.
    """

    def __init__(
        self,
        level: str = "info",
        stream: TextIO | None = None,
        process: str = "supervisor",
        log_format: str = "text",
    ) -> None:
        self._stream = _Stream(sys.stderr if stream is None else stream)
        self._process = process
        self._renderer = _RENDERERS[log_format]
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Write what is at or above another level from now on."""
        self._log = structlog.wrap_logger(
            self._stream,
            processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, self._renderer],
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
            process=self._process,
        )

    def write(self, level: str, event: str, **facts: Any) -> None:
        """Write one line; `time` among the facts is the Unix time of the event, else it is now."""
        self._log.log(LEVELS[level], event, **facts)

    def debug(self, event: str, **facts: Any) -> None:
        """What helps to find a bug."""
        self._log.debug(event, **facts)

    def info(self, event: str, **facts: Any) -> None:
        """What an operator may want to know."""
        self._log.info(event, **facts)

    def warning(self, event: str, **facts: Any) -> None:
        """What went wrong and was mended."""
        self._log.warning(event, **facts)

    def error(self, event: str, **facts: Any) -> None:
        """What went wrong and needs somebody."""
        self._log.error(event, **facts)


def adopt_logging(process: str, level: str, log_format: str = "text") -> None:
    """Have what the standard library's `logging` is told in this process come out as our lines."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.processors.format_exc_info],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            lambda logger, method, facts: _RENDERERS[log_format](logger, method, {"process": process, **facts}),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """The same for another level, once `logging` was adopted."""
    logging.getLogger().setLevel(LEVELS[level])


def adopt_tracebacks(process: str, log_format: str = "text") -> None:
    """Have what nobody catches in this process, in any thread, come out as one of our lines: it may quote anybody."""
    log = EventLog("error", process=process, log_format=log_format)

    def write(error: BaseException | None, where: str) -> None:
        log.error(f"nobody caught an exception{where}", exc_info=error)

    def of_thread(facts: threading.ExceptHookArgs) -> None:
        write(facts.exc_value, f" in the thread {facts.thread.name if facts.thread is not None else '?'}")

    def of_finalizer(facts: sys.UnraisableHookArgs) -> None:
        write(facts.exc_value, f" in {facts.object!r}")

    sys.excepthook = lambda _kind, error, _trace: write(error, "")
    threading.excepthook = of_thread
    sys.unraisablehook = of_finalizer


def guest_line(facts: EventDict) -> str:
    """A line of a guest's output: one JSON object, ASCII only."""
    line: str | bytes = _dump(None, "", facts)
    return line if isinstance(line, str) else line.decode()


def guest_text(facts: EventDict, process: str) -> str:
    """The same for people: each line of it, and of a trap's backtrace, behind time, level, process and instance."""
    dropped = facts.get("lines_dropped_before")
    lost = f" ({dropped} lines dropped)" if dropped else ""
    head = printable(f"{_stamp(facts['time'])} {facts['level']} {process} {facts['instance']}{lost}")
    text = "\n".join(filter(None, (str(facts["message"]), str(facts.get("backtrace", "")))))
    return "\n".join(f"{head} | " + printable(line, keep="\t") for line in text.splitlines() or [""])


def event_text(facts: EventDict) -> str:
    """An event that was written as JSON, as it reads for people."""
    return _render_line(None, "", {"event": facts["message"], **{k: v for k, v in facts.items() if k != "message"}})


class _Stream:
    """What structlog writes to; it calls the method of the level's name."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    log = debug = info = warning = warn = error = err = critical = fatal = exception = failure = msg


def _render_line(_logger: Any, _method: str, facts: EventDict) -> str:
    stamp = _stamp(facts.pop("time", None) or time.time())
    head = f"{stamp} {facts.pop('level')} {facts.pop('process')} {facts.pop('event')}"
    return printable(head) + "".join(f" {name}={_quoted(value)}" for name, value in facts.items())


def _render_json(_logger: Any, _method: str, facts: EventDict) -> str:
    now: float = facts.pop("time", None) or time.time()
    head = {"time": round(now, 6), "level": facts.pop("level"), "process": facts.pop("process")}
    return guest_line({**head, "message": facts.pop("event"), **facts})


_RENDERERS: Final = {"text": _render_line, "json": _render_json}


def _stamp(now: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"


def _quoted(value: Any) -> str:
    """The value as it is where it is one plain word, else as JSON: always one line."""
    text = str(value)
    plain = text and text.isascii() and text.isprintable() and not any(mark in text for mark in ' "=\\')
    return text if plain else json.dumps(text)
