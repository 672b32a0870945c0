"""Mutations of the worker that are about jobs; `mutants.worker` runs them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from holdfast_host.worker.deliveries.stages import Delivery
from holdfast_host.worker.jobs import deliveries as jobs_module
from holdfast_host.worker.jobs.away import Away
from holdfast_host.worker.jobs.deliveries import JobDelivery, Jobs
from holdfast_host.worker.jobs.outcomes import Answer
from holdfast_host.worker.turns.turn import Turn

# Machines that can be told what to do.


def die_at_a_step_of_calls(path: Path) -> None:
    """The worker dies at the step of a job's call that the file names, and takes the name out of the file."""

    def at(step: str) -> None:
        if path.exists() and path.read_text() == step:
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    send, answered, begin, write_down = Away.send, Jobs.answered, Jobs.begin, Jobs._write_down

    def dying_send(self: Away, *given: Any) -> None:
        at("before it is sent")
        send(self, *given)
        at("when it was sent")

    def dying_answered(self: Jobs, delivery: JobDelivery, answer: Answer) -> None:
        at("when it is answered")
        answered(self, delivery, answer)

    def dying_begin(self: Jobs, turn: Turn, loaded: Any) -> bool:
        runs = begin(self, turn, loaded)
        if runs:
            at("before then runs")
        return runs

    def dying_write_down(self: Jobs, *given: Any) -> None:
        at("before its try is written down")
        write_down(self, *given)

    _patch(Away, "send", dying_send)
    _patch(Jobs, "answered", dying_answered)
    _patch(Jobs, "begin", dying_begin)
    _patch(Jobs, "_write_down", dying_write_down)


# Mechanisms taken out.


def remove_calls_before_they_are_answered() -> None:
    """A call's row goes when it is sent: nobody knows of one that a crash keeps from being sent."""
    write_down, changes = Jobs._write_down, Jobs._changes

    def careless(self: Jobs, turn: Turn, delivery: Delivery, row: Any) -> None:
        _patch(Jobs, "_changes", lambda self, delivery, _: changes(self, delivery, None))
        try:
            write_down(self, turn, delivery, row)
        finally:
            _patch(Jobs, "_changes", changes)

    _patch(Jobs, "_write_down", careless)


def run_jobs_in_one_pool() -> None:
    """All jobs together are as many under way as runs may be, of one instance as of many."""
    jobs_module.FUNCTION_MAX.update(run=1 << 30, call=1 << 30, http=1 << 30)
    jobs_module.INSTANCE_MAX = 1 << 30


def _patch(owner: type, name: str, replacement: Callable[..., Any]) -> None:
    setattr(owner, name, replacement)


MUTATIONS: Final[dict[str, Callable[..., None]]] = {
    each.__name__: each
    for each in (
        die_at_a_step_of_calls,
        remove_calls_before_they_are_answered,
        run_jobs_in_one_pool,
    )
}
