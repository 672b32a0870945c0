"""How `holdfast dev` shows the host's log."""

import json

import click

from holdfast_host.cli.dev_log import readable_line


def shown(**facts: object) -> str:
    return click.unstyle(readable_line(json.dumps(facts)))


def test_a_guests_line_shows_its_instance() -> None:
    assert shown(level="stdout", message="hi", instance="Counter/a", function="demo") == "Counter/a | hi"


def test_a_traceback_keeps_its_lines_in_order() -> None:
    text = 'Traceback (most recent call last):\n  File "src/app.py", line 3, in f\nValueError: no\n'
    lines = shown(level="error", message=text, instance="Counter/a").splitlines()

    assert [line.partition("| ")[2] for line in lines] == text.splitlines()


def test_a_trap_shows_where_it_happened() -> None:
    assert (
        shown(level="error", message="trap: stack", instance="A/b", backtrace="0: f\n")
        == "A/b | trap: stack\nA/b | 0: f"
    )


def test_a_line_of_the_host_itself_stays_as_it_is() -> None:
    line = "2026-11-21T03:29:25.500Z warning supervisor worker 0 died"
    assert readable_line(line) == line
    assert readable_line("[1, 2]") == "[1, 2]"
