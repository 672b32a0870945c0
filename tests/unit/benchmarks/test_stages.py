"""Samples of a process count for the stage of a call that they were taken in."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_host.front.http import answers
from holdfast_host.sandbox import marshal
from holdfast_host.storage import overlay
from holdfast_host.storage.lmdb import commits
from holdfast_host.worker.commits import committer
from holdfast_host.worker.running import executor
from holdfast_host.worker.running import runner as running
from holdfast_host.worker.threads import leadership
from tests.benchmarks import stages
from tests.benchmarks.stages import GUEST, OTHER, stage_of


def frame(module: object, function: str, line: int = 1) -> str:
    """As py-spy writes it."""
    return f"{function} ({module.__file__}:{line})"  # type: ignore[attr-defined]


GUEST_LINE = next(
    at for at, line in enumerate(Path(marshal.__file__).read_text().split("\n"), 1) if "error = _call(" in line
)
TURN = [frame(executor, "Executor.run"), frame(running, "TurnRunner.run")]
IN_GUEST = [*TURN, frame(marshal, "bind.<locals>.call", GUEST_LINE)]


@pytest.mark.parametrize(
    ("role", "stack", "stage"),
    [
        ("worker", IN_GUEST, GUEST),
        ("worker", [*TURN, frame(marshal, "bind.<locals>.call", GUEST_LINE - 1)], "into the sandbox and out"),
        ("worker", [*IN_GUEST, frame(marshal, "serve"), frame(overlay, "Overlay.get")], "storage imports"),
        ("worker", [*TURN, frame(overlay, "Overlay.take")], "the turn around it"),
        ("worker", [frame(committer, "Committer._write"), frame(commits, "_write_together")], "commit"),
        ("front", [frame(answers, "Answer.prepare")], "write the response"),
        ("front", ["data_received (/x/site-packages/aiohttp/web_protocol.py:446)"], "read and parse HTTP"),
        ("front", ["nothing we know (/x/y.py:1)"], OTHER),
    ],
)
def test_the_innermost_frame_that_is_known_decides(role: str, stack: list[str], stage: str) -> None:
    assert stage_of(role, stack) == stage
    assert stage in stages.stages_of(role)


def test_a_parked_thread_is_no_stage() -> None:
    source = Path(leadership.__file__).read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "follower.wake.acquire()" in text)

    assert stage_of("worker", [frame(leadership, "Leadership._follow", line)]) is None


def test_every_rule_names_what_is_there() -> None:
    """A renamed module or function would move its time to another stage without a word."""
    host = Path(answers.__file__).parents[2]
    for rule in [*stages.FRONT, *stages.WORKER]:
        if rule.file.startswith(("aiohttp/", "uvloop/", "asyncio/")) or rule.file.endswith("/"):
            continue
        text = (host / rule.file).read_text()
        missing = [each for each in rule.functions if f"def {each}(" not in text]
        assert not missing, f"{rule.file} has no {missing}"
