"""The host's log as its author reads it: instance and line, tracebacks as Python prints them.

Everything that the host's processes write to standard error passes here: JSON lines of guests and of the host.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast_host.cli.output import say, say_labelled
from holdfast_host.core.logs import event_text

_JOIN_S: Final = 2.0
_COLOURS: Final = {"error": "red", "warning": "yellow", "stderr": "yellow"}


def show_line(line: str) -> None:
    """Print one line of the log, which is JSON, for people; what else was written there stays as it is."""
    try:
        facts = json.loads(line)
        text, level = str(facts["message"]), str(facts["level"])
    except (ValueError, KeyError, TypeError):
        say(line)
        return
    if "process" in facts:
        say(event_text(facts))
        return
    label = str(facts.get("instance") or "holdfast")
    text = "\n".join(filter(None, (text.rstrip("\n"), str(facts.get("backtrace") or "").rstrip("\n"))))
    say_labelled(label, text, colour=_COLOURS.get(level))


@contextmanager
def readable_log() -> Iterator[None]:
    """Everything that this process and its children write to descriptor 2 comes out readable on standard output."""
    sys.stderr.flush()
    kept = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    reader = threading.Thread(target=_pass_on, args=(reading,), name="holdfast-dev-log", daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        reader.join(_JOIN_S)


def _pass_on(reading: int) -> None:
    with open(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            show_line(line.rstrip("\n"))
