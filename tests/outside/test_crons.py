"""Crons on a real host, of a constructor and of a function: over a day without a host, and a clock that is set back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.guest.drivers import SUITE
from tests.harness import components
from tests.harness.caller import Caller
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess
from tests.harness.mutants.host import command

DAY_S = 86_400
WITHIN_S = 30.0

pytestmark = pytest.mark.slow


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """By how many seconds the workers' clock is off."""
    return tmp_path / "clock"


@pytest.fixture
def host(tmp_path: Path, clock: Path) -> Iterator[HostProcess]:
    """A host of its own: it is stopped, and its clock set."""
    options = ("--workers", "2", "--outbound", "http://*")
    with HostProcess(tmp_path / "data", *options, command=command(f"shift_clock={clock}")) as running:
        deploy(running, components.built(SUITE))
        yield running


def set_clock(clock: Path, ahead_s: float) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(str(ahead_s))
    fresh.replace(clock)


def wait_for(what: Callable[[], bool], said: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def counted(caller: Caller) -> int:
    """How often the cron of Daily's constructor has run; each asking is an activation."""
    caller.request("POST", "/v1/instances/Daily/a/evict")
    found: int = caller.value("Daily", "a", "counted")
    return found


def seen(caller: Caller, name: str) -> list[Any]:
    found: list[Any] = caller.value("Leaving", name, "seen")
    return found


def test_a_day_without_a_host_is_one_run_and_a_clock_set_back_is_none(host: HostProcess, clock: Path) -> None:
    with host.caller() as caller:
        first = caller.value("Daily", "a", "id_of_job")
        caller.value("Leaving", "b", "again", "* * * * *")
    host.stop()
    set_clock(clock, DAY_S)
    host.start()
    with host.caller() as caller:
        wait_for(lambda: counted(caller) >= 1, "the cron of the constructor did not run")
        wait_for(lambda: len(seen(caller, "b")) >= 1, "the cron did not run")
        wait_for(lambda: len(seen(caller, "of the function")) >= 1, "the function did not run")
        [_, _, _, missed], *_ = seen(caller, "b")
        assert 1_438 <= missed <= 1_441
        assert counted(caller) <= 2
        assert caller.value("Daily", "a", "id_of_job") == first

        ran = counted(caller), len(seen(caller, "b"))
        set_clock(clock, DAY_S - 7_200)
        assert caller.value("Leaving", "b", "waits_s") > 7_000
        assert (counted(caller), len(seen(caller, "b"))) == ran
        set_clock(clock, DAY_S + 61)
        wait_for(lambda: counted(caller) > ran[0], "the cron does not go on")
        wait_for(lambda: len(seen(caller, "b")) > ran[1], "the cron does not go on")
        assert seen(caller, "b")[-1][-1] <= 1


def test_the_crons_of_a_function_are_those_of_the_manifest_that_runs(
    host: HostProcess, clock: Path, tmp_path: Path
) -> None:
    """And the type that keeps them is shown to nobody."""
    built = components.built(SUITE)
    manifest = tmp_path / "without.toml"
    manifest.write_text(built.manifest.read_text().replace('[triggers]\ncrons = ["* * * * *"]\n', ""))
    with host.caller() as caller:
        shown = [each["type"] for each in caller.request("GET", "/v1/actors").value["actors"]]
        assert not [each for each in shown if each.startswith("Crons_")]
        deploy(host, replace(built, manifest=manifest))
        set_clock(clock, 3_600)
        caller.value("Leaving", "b", "later", 0, "_note", ["now"])
        wait_for(lambda: seen(caller, "b") == ["now"], "jobs are not run")
        ran = len(seen(caller, "of the function"))
        assert ran <= 1  # in the minute of the first version

        deploy(host, built)
        set_clock(clock, 3_600 + 61)
        wait_for(lambda: len(seen(caller, "of the function")) > ran, "the function did not run")
