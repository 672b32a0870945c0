"""What a case of the fault table is, and what cases have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.harness.caller import Answer, NoAnswerError
from tests.harness.host import HostProcess

NAMES = [f"name-{number}" for number in range(8)]
END_S = 20.0


class SkippedError(Exception):
    """This machine does not allow the case."""


@dataclass(frozen=True, slots=True)
class Case:
    """`run(data, folder)` gets a data directory with the probe deployed and room for its own; what it saw, briefly.

    It raises AssertionError where what must hold does not.
    """

    name: str
    expected: str
    run: Callable[[Path, Path], str]


def hosted(data: Path, *options: str, **environment: str) -> HostProcess:
    return HostProcess(data, "--workers", "1", *options, environment=environment)


def increment_all(host: HostProcess) -> list[Answer | None]:
    """One durable call to each name at the same time; None where there was no answer."""

    def call(name: str) -> Answer | None:
        with host.caller(timeout_s=40.0) as caller:
            try:
                return caller.call("Probe", name, "increment")
            except NoAnswerError:
                return None

    with ThreadPoolExecutor(len(NAMES)) as pool:
        return list(pool.map(call, NAMES))


def values(host: HostProcess) -> list[int]:
    with host.caller() as caller:
        return [caller.value("Probe", name, "get", "n", 0) for name in NAMES]


def wait_for_end(host: HostProcess) -> int:
    """The exit code of a host that must end by itself, and leave nothing."""
    code = host.wait(END_S)
    host.assert_nothing_left()
    return code


def errors(answers: list[Answer | None]) -> str:
    return ", ".join(sorted({"no answer" if each is None else each.error or "200" for each in answers}))


def start_that_may_fail(data: Path, *options: str, sentence: str = "") -> str:
    """Start a host where it perhaps cannot; it must be ready or end, soon, with a sentence and no traceback.

    Args:
        data: the data directory.
        options: of `holdfast serve`.
        sentence: what a host that ends must say.
    """
    host = hosted(data, *options)
    began = time.monotonic()
    try:
        host.start()
    except AssertionError:
        assert not host.is_running
        assert time.monotonic() - began < END_S, "it took too long to give up"
        host.assert_nothing_left()
        code = host.wait()
        assert code in {1, 2}, f"the host ended with {code}"
        assert "Traceback" not in host.log, host.log
        said = [line for line in host.log.splitlines() if sentence in line]
        assert said, f"nothing in the log says {sentence!r}:\n{host.log}"
        return f"ended with {code}: {said[-1][-160:]}"
    host.stop()
    return "came up"
