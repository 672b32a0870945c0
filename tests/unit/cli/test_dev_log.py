"""How `holdfast dev` shows the host's log."""

import json

import pytest

from holdfast_host.cli.dev.log import show_line

Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, **facts: object) -> str:
    show_line(json.dumps(facts))
    return capsys.readouterr().out.removesuffix("\n")


def test_a_guests_line_shows_its_instance(capsys: Capture) -> None:
    line = shown(capsys, level="stdout", message="hi", instance="Counter/a", function="demo")
    assert line == "Counter/a | hi"


def test_a_traceback_keeps_its_lines_in_order(capsys: Capture) -> None:
    text = 'Traceback (most recent call last):\n  File "src/app.py", line 3, in f\nValueError: no\n'
    lines = shown(capsys, level="error", message=text, instance="Counter/a").splitlines()

    assert [line.partition("| ")[2] for line in lines] == text.splitlines()


def test_a_trap_shows_where_it_happened(capsys: Capture) -> None:
    line = shown(capsys, level="error", message="trap: stack", instance="A/b", backtrace="0: f\n")
    assert line == "A/b | trap: stack\nA/b | 0: f"


def test_a_line_of_the_host_itself_reads_as_its_log_does(capsys: Capture) -> None:
    facts = {"time": 1.25, "level": "warning", "process": "supervisor", "message": "worker 0 died", "pid": 7}

    assert shown(capsys, **facts) == "1970-01-01T00:00:01.250Z warning supervisor worker 0 died pid=7"


def test_what_is_no_line_of_the_log_stays_as_it_is(capsys: Capture) -> None:
    for line in ("2026-11-21T03:29:25.500Z warning supervisor worker 0 died", "[1, 2]"):
        show_line(line)
        assert capsys.readouterr().out == f"{line}\n"
