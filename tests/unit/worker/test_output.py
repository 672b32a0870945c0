"""The worker's log: nothing that a guest prints and no reader that goes away stops it, or fills the memory."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast_host.core.limits import KIB, MIB
from holdfast_host.sandbox.instance import SandboxTrap
from holdfast_host.wire.control.protocol import Fatal, read_from_child
from holdfast_host.worker.control import ControlChannel
from holdfast_host.worker.logs.output import Output
from holdfast_host.worker.threads.poller import Poller

ALL: dict[str, Any] = {
    "tenant": "default",
    "type": None,
    "name": None,
    "function": None,
    "since": None,
    "level": None,
    "positions": {},
}


class Broken:
    """A stream whose reader is gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


class Stuck(Broken):
    """A stream whose reader reads nothing until it may."""

    def __init__(self) -> None:
        self.may_read = threading.Event()
        self.asked = threading.Event()

    def write(self, text: str) -> int:
        self.asked.set()
        assert self.may_read.wait(60)
        return len(text)

    def flush(self) -> None:
        pass


def test_lines_are_kept_when_nobody_reads_standard_error_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken())
    output = Output(0, "info", tmp_path, MIB)
    for number in range(3):
        output.event("error", "unheard")
        output.guest_line("T/a", "f", "info", f"line {number}")
    output.flush()

    assert [line["message"] for line in output.read(ALL)["lines"]] == ["line 0", "line 1", "line 2"]


def test_a_folder_that_cannot_be_made_loses_lines_and_stops_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("in the way")
    output = Output(0, "info", tmp_path / "logs" / "w0", MIB)
    output.guest_line("T/a", "f", "info", "first")
    output.guest_line("T/a", "f", "info", "second")
    output.flush()

    assert capfd.readouterr().err.count("\n") == 2


def test_what_waits_to_be_written_is_bounded_in_size_not_only_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck()
    monkeypatch.setattr(sys, "stderr", stuck)
    output = Output(0, "info")
    output.guest_line("T/a", "f", "info", "the writer holds this one")
    assert stuck.asked.wait(60)
    for _ in range(100):
        output.guest_line("T/a", "f", "info", "x" * MIB)
    dropped = output.dropped_total
    stuck.may_read.set()
    output.flush()
    output.guest_line("T/a", "f", "info", "there is room again")

    assert 68 <= dropped <= 70
    assert output.dropped_total == dropped


def test_of_a_long_traceback_the_end_is_kept(tmp_path: Path) -> None:
    output = Output(0, "info", tmp_path, MIB)
    output.guest_traceback("T/a", "f", "x" * MIB + "ValueError: the cause")
    output.flush()
    (line,) = output.read(ALL)["lines"]

    assert line["message"].endswith("xValueError: the cause")
    assert len(line["message"]) <= 16 * KIB


def test_a_tenant_reads_its_own_lines_whatever_is_asked_for(tmp_path: Path) -> None:
    """One name is another instance's for each tenant, in a lane of its own."""
    output = Output(0, "info", tmp_path, MIB)
    for function in ("f", "f.acme", "f.blue"):
        output.guest_line("T/a", function, "info", f"of {function}")
    output.flush()

    for tenant, said in (("default", "of f"), ("acme", "of f.acme"), ("blue", "of f.blue")):
        for chosen in ({}, {"type": "T"}, {"type": "T", "name": "a"}, {"function": "f"}):
            assert [line["message"] for line in output.read({**ALL, "tenant": tenant, **chosen})["lines"]] == [said]
    assert output.read({**ALL, "tenant": "none"})["lines"] == []
    assert output.read({**ALL, "function": "f.acme"})["lines"] == []


def test_lines_are_chosen_by_level_and_time_and_what_is_printed_counts_as_info_or_warning(tmp_path: Path) -> None:
    output = Output(0, "info", tmp_path, MIB)
    for level in ("debug", "info", "stdout", "stderr", "warning", "error", "odd"):
        output.guest_line("T/a", "f", level, level)
    output.guest_trap("T/a", "f", SandboxTrap("stack", "the stack is full"), "the stack is full")
    output.flush()

    def levels(**chosen: Any) -> list[str]:
        return [line["level"] for line in output.read({**ALL, **chosen})["lines"]]

    assert levels(level="debug") == levels()
    assert levels(level="info") == ["info", "stdout", "stderr", "warning", "error", "odd", "error"]
    assert levels(level="warning") == ["stderr", "warning", "error", "error"]
    assert levels(level="error") == ["error", "error"]
    times = [line["time"] for line in output.read(ALL)["lines"]]
    assert len(levels(since=f"{times[0]:.6f}")) == 8
    assert levels(since=f"{times[-1] + 1:.6f}") == []


def test_messages_of_several_threads_to_the_supervisor_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
    worker: Any = SimpleNamespace(poller=Poller(), health=SimpleNamespace())  # whose leader reads nothing
    channel = ControlChannel(ours, worker, lambda: None, b"", measures=dict, activity=lambda _: ({}, []), backup=worker)
    threads = [threading.Thread(target=channel.send, args=(Fatal(text * MIB),)) for text in "abcd"]
    for thread in threads:
        thread.start()
    with theirs.makefile("rb") as lines:
        received = [read_from_child(next(lines)) for _ in threads]
    for thread in threads:
        thread.join()

    assert all(Fatal(text * MIB) in received for text in "abcd")
    theirs.close()
    ours.close()


def test_another_level_holds_for_events_and_not_for_guests(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(0, "error")
    output.event("info", "unwanted")
    output.guest_line("T/a", "f", "stdout", "printed")
    output.set_level("info")
    output.event("info", "wanted")
    output.flush()

    shown = capfd.readouterr().err
    assert ("unwanted" in shown, "printed" in shown, "0 wanted" in shown) == (False, True, True)
