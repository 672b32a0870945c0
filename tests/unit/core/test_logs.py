"""One way to write a log for all processes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

from holdfast_host.core.logs import EventLog, guest_line


def test_an_event_is_one_line_with_time_level_process_and_facts() -> None:
    stream = io.StringIO()
    EventLog("info", stream, "worker 3").warning("it \n happened", pid=7, why='a "b"', empty="", time=1.25)

    assert stream.getvalue() == (
        '1970-01-01T00:00:01.250Z warning worker 3 it \\n happened pid=7 why="a \\"b\\"" empty=""\n'
    )


def test_what_an_event_names_can_neither_break_the_line_nor_steer_a_terminal() -> None:
    stream = io.StringIO()
    EventLog("info", stream).error("名前 a\r\n\x1b[2J\x9b\u2028b\ud800", name="\x1b]0;x", time=1.0)

    assert stream.getvalue() == (
        '1970-01-01T00:00:01.000Z error supervisor 名前 a\\r\\n\\u001b[2J\\u009b\\u2028b\\ud800 name="\\u001b]0;x"\n'
    )


def test_events_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    log = EventLog("warning", stream)
    log.debug("no")
    log.info("no")
    log.write("info", "no")
    log.write("error", "yes")

    assert re.fullmatch(r"\S+ error supervisor yes\n", stream.getvalue())


def test_a_stream_that_is_closed_stops_nobody() -> None:
    stream = io.StringIO()
    log = EventLog("info", stream)
    stream.close()

    log.error("unheard")


def test_what_the_standard_library_logs_looks_the_same_tracebacks_included() -> None:
    script = (
        "import logging\n"
        "from holdfast_host.core.logs import adopt_logging\n"
        "adopt_logging('front 0', 'info')\n"
        "log = logging.getLogger('x')\n"
        "log.debug('no')\n"
        "log.info('%d calls', 5)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: log.exception('failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()

    assert first.endswith(" info front 0 5 calls")
    assert " error front 0 failed exception=" in second
    assert "ZeroDivisionError" in second


def test_what_nobody_catches_in_any_thread_or_finalizer_is_a_line_too() -> None:
    evil = "\x1b]0;x\x07\u202e\nFORGED"
    script = (
        "import threading\n"
        "from holdfast_host.core.logs import adopt_tracebacks\n"
        "adopt_tracebacks('worker 3')\n"
        f"def fail(*_): raise ValueError({evil!r})\n"
        "thread = threading.Thread(target=fail, name='t'); thread.start(); thread.join()\n"
        "type('Odd', (), {'__del__': fail})()\n"
        "fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(" error worker 3 nobody caught an exception")[2][:8] for line in lines] == [
        " in the ",
        " in <fun",
        " excepti",
    ]
    assert all(line.isascii() and line.isprintable() and "FORGED" in line for line in lines)


def test_a_guests_line_is_one_json_object() -> None:
    text = guest_line({"time": 1.5, "message": "é\n\ud800"})

    assert text.isascii()
    assert json.loads(text) == {"time": 1.5, "message": "é\n\ud800"}
