"""Mutations of the worker that are about jobs; `mutants.worker` runs them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
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
    """The worker dies at the step of a call or request of a job that the file names, and removes the file."""

    def at(step: str) -> None:
        if path.exists() and path.read_text() == step:
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    send, answered, begin, write_down = Away.send, Jobs.answered, Jobs.begin, Jobs._write_down
    end, go_on = Jobs.end, Jobs._go_on

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

    def dying_end(self: Jobs, turn: Turn) -> None:
        at("before a piece is durable")
        end(self, turn)

    def dying_go_on(self: Jobs, delivery: JobDelivery) -> bool:
        at("when a piece is durable")
        return go_on(self, delivery)

    _patch(Jobs, "end", dying_end)
    _patch(Jobs, "_go_on", dying_go_on)
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


def note_no_pieces() -> None:
    """Pieces of an answer are published, and the row of their job does not say so."""
    read = Jobs._read

    def forgetful(self: Jobs, entry: Any, delivery: JobDelivery) -> Any:
        row = read(self, entry, delivery)
        if delivery.has_piece and delivery.following is not None:
            delivery.following = replace(delivery.following, pieces=0)
        return row

    _patch(Jobs, "_read", forgetful)


def ask_for_the_next_piece_before_one_is_durable() -> None:
    """A piece is given back to nobody: the courier keeps it no longer than its turn runs."""
    end, send = Jobs.end, Away.send

    def early(self: Jobs, turn: Turn) -> None:
        delivery = turn.delivery
        if isinstance(delivery, JobDelivery) and delivery.published and delivery.following is not None:
            loaded: Any = self.deployments.find(delivery.stored.type_id)
            asking: Any = JobDelivery(self, delivery.stored, 0, delivery.id)
            send(self.away, self, asking, delivery.following, loaded)
            asking.away.over = True  # nobody hears of it
            time.sleep(0.2)  # for the courier to read it
        end(self, turn)

    _patch(Jobs, "end", early)


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
        note_no_pieces,
        ask_for_the_next_piece_before_one_is_durable,
        run_jobs_in_one_pool,
    )
}
