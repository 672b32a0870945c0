"""One way to write a log for all processes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

from holdfast_host.core.logs import EventLog, event_text, guest_line, guest_text


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
        "adopt_logging('front 0', 'info', FORMAT)\n"
        "log = logging.getLogger('x')\n"
        "log.debug('no')\n"
        "log.info('%d calls', 5)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: log.exception('failed')\n"
    )
    done = _run(script.replace("FORMAT", "'text'"))
    first, second = done.splitlines()
    as_json = [json.loads(line) for line in _run(script.replace("FORMAT", "'json'")).splitlines()]

    assert [(each["level"], each["process"], each["message"]) for each in as_json] == [
        ("info", "front 0", "5 calls"),
        ("error", "front 0", "failed"),
    ]
    assert "ZeroDivisionError" in as_json[1]["exception"]
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


def test_as_json_an_event_is_one_ascii_object_with_the_facts_as_they_are() -> None:
    stream = io.StringIO()
    log = EventLog("info", stream, "worker 3", "json")
    log.warning("名 \n\x1b happened", pid=7, why="\u202e", time=1.25)
    log.error("failed", exc_info=ValueError("no"))
    first, second = stream.getvalue().splitlines()

    assert first.isascii()
    assert json.loads(first) == {
        "time": 1.25,
        "level": "warning",
        "process": "worker 3",
        "message": "名 \n\x1b happened",
        "pid": 7,
        "why": "\u202e",
    }
    assert json.loads(second)["exception"] == "ValueError: no"
    assert event_text(json.loads(first)).endswith(' warning worker 3 名 \\n\\u001b happened pid=7 why="\\u202e"')


def test_as_text_each_line_that_a_guest_prints_stands_behind_its_instance() -> None:
    facts = {"time": 1.5, "level": "error", "instance": "A/\n名", "message": "one\ttab\r\x1b[2J\ntwo", "function": "f"}
    head = "1970-01-01T00:00:01.500Z error worker 0 A/\\n名"

    assert guest_text(facts, "worker 0").split("\n") == [
        f"{head} | one\ttab",
        f"{head} | \\u001b[2J",
        f"{head} | two",
    ]
    assert guest_text({**facts, "message": "", "lines_dropped_before": 5}, "worker 0") == f"{head} (5 lines dropped) | "


def test_a_guests_line_is_one_json_object() -> None:
    text = guest_line({"time": 1.5, "message": "é\n\ud800"})

    assert text.isascii()
    assert json.loads(text) == {"time": 1.5, "message": "é\n\ud800"}


def _run(script: str) -> str:
    """What a program writes to standard error."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
