from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast import StatefulActor
from holdfast._log_capture import LINE_CHARS_MAX, Output
from tests.unit.guest.memory_host import Hosted, MemoryLog


@contextmanager
def installed() -> Iterator[tuple[Output, MemoryLog]]:
    """An installed and connected output, within the test itself; everything is put back afterwards."""
    root, log, output = logging.getLogger(), MemoryLog(), Output()
    before = (sys.stdout, sys.stderr, time.sleep, root.handlers[:], root.level)
    root.handlers[:] = []
    try:
        output.install()
        output.connect(log)
        yield output, log
    finally:
        sys.stdout, sys.stderr, time.sleep, root.handlers[:], level = before
        root.setLevel(level)


def test_what_is_printed_becomes_lines() -> None:
    with installed() as (output, log):
        print("one", "two")
        print("three\nfour", end="")
        print("to stderr", file=sys.stderr)

        assert log.lines == [("stdout", "one two"), ("stdout", "three"), ("stderr", "to stderr")]
        assert output.pending
        output.flush()
        assert log.lines[-1] == ("stdout", "four")
        assert not output.pending


def test_logging_keeps_its_levels_and_traceback_lines() -> None:
    with installed() as (_, log):
        logging.debug("not shown")
        logging.info("info %d", 1)
        logger = logging.getLogger("app.db")
        logger.setLevel(logging.DEBUG)
        logger.debug("debug")
        try:
            int("bad")
        except ValueError:
            logger.exception("failed")

        assert log.lines[:3] == [("info", "info 1"), ("debug", "app.db: debug"), ("error", "app.db: failed")]
        assert log.lines[-1] == ("error", "ValueError: invalid literal for int() with base 10: 'bad'")


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    with installed() as (_, log):
        for _ in range(3):
            sys.stdout.write("x" * LINE_CHARS_MAX)
            sys.stdout.write("y")

        assert len(log.lines) == 3


def test_a_lone_surrogate_is_printed_as_an_escape() -> None:
    with installed() as (_, log):
        print("é \ud800")

        assert log.lines == [("stdout", "é \\ud800")]


def test_sleeping_is_refused_with_the_way_out() -> None:
    with installed(), pytest.raises(RuntimeError, match="set an alarm"):
        time.sleep(1)


class Prints(StatefulActor):
    output: Any = None

    def half_a_line(self) -> None:
        print("half", end="")


def test_a_half_line_is_written_at_the_end_of_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = Hosted(Prints)
    monkeypatch.setattr(sys, "stdout", hosted.output._out)

    hosted.call("half_a_line")

    assert hosted.log.lines == [("stdout", "half")]
