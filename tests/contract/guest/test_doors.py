"""What actors do not have - network, threads, files, processes, sleep - says so in a sentence that can be caught."""

from __future__ import annotations

import pytest

from tests.contract.guest.conftest import NewSubject
from tests.contract.guest.drivers import Subject

RULES = {
    "network": "actors and functions have no network of their own; ask with holdfast.http, for what [outbound] allow",
    "threads": "actors and functions have no threads",
    "files": "actors and functions have no files; keep what changes in self.ctx.storage",
    "processes": "actors and functions have no processes and start no programs; do it in Python, or outside",
    "time": "an actor's turn cannot sleep, it would hold up every other call of the instance; set an alarm",
    "signals": "actors and functions get no signals; for what is to happen later set an alarm",
    "input": "actors and functions have no terminal to read from; take what is needed as an argument of a method",
    "loop": "no running event loop: one runs around a method that is written as async def, and within asyncio.run(",
}
# What a caller of those doors expects; the sandbox's Python has no os.fork and no signal.alarm at all.
EXCEPTIONS = {
    "network": {("PermissionError", "OSError"), ("URLError", "OSError")},
    "threads": {("RuntimeError", "")},
    "files": {("FileNotFoundError", "OSError")},
    "processes": {("PermissionError", "OSError"), ("AttributeError", "")},
    "time": {("RuntimeError", "")},
    "signals": {("RuntimeError", ""), ("AttributeError", "")},
    "input": {("EOFError", "")},
    "loop": {("RuntimeError", "")},
}


@pytest.fixture
def doors(subject: NewSubject) -> Subject:
    """An instance of Doors."""
    return subject("Doors")


@pytest.mark.parametrize("kind", RULES)
def test_every_door_of_a_kind_names_the_rule_and_the_way_out_and_can_be_caught(doors: Subject, kind: str) -> None:
    said = doors.call("knock", kind).typed

    assert {name: text for name, (_, _, text) in said.items() if RULES[kind] not in text} == {}
    assert {name: each for name, each in said.items() if (each[0], each[1]) not in EXCEPTIONS[kind]} == {}
    assert doors.call("how_many").typed == len(said)  # the activation has gone on all the time


def test_a_rule_that_nobody_catches_is_what_the_caller_reads(doors: Subject) -> None:
    reply = doors.call("uncaught")

    assert reply.refusal == (500, "ActorMethodError")
    assert reply.error["message"].startswith(
        "FileNotFoundError: open('/etc/passwd'): actors and functions have no files"
    )


def test_what_only_looks_like_a_door_works(doors: Subject) -> None:
    assert doors.call("harmless").typed == [[1], 1, False, 1, False, False, False, True]
