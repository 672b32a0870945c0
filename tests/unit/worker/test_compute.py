"""Compute slots: fair by function, then by turn."""

from __future__ import annotations

import threading

from holdfast_host.worker.threads.compute_slots import ComputeSlots


def line_up(slots: ComputeSlots, function: str, label: str, events: list[str]) -> threading.Thread:
    """A thread that waits for a slot, notes its label and gives the slot back."""
    waiting = len(list(slots._lines.get(function, ())))

    def wait() -> None:
        assert slots.enter(function, 10)
        events.append(label)
        slots.leave()

    thread = threading.Thread(target=wait)
    thread.start()
    while len(slots._lines.get(function, ())) <= waiting:
        pass
    return thread


def test_slots_go_round_robin_by_function_then_in_order() -> None:
    slots, events = ComputeSlots(1), list[str]()
    assert slots.enter("holder", 1)
    threads = [line_up(slots, label[0], label, events) for label in ("a1", "a2", "a3", "b1")]
    slots.leave()
    for thread in threads:
        thread.join(10)

    assert events == ["a1", "b1", "a2", "a3"]


def test_passing_on_lets_the_next_in_line_run_first() -> None:
    slots, events = ComputeSlots(1), list[str]()
    assert slots.enter("a", 1)
    thread = line_up(slots, "b", "b", events)
    assert slots.pass_on("a", 10)
    events.append("a again")
    slots.leave()
    thread.join(10)

    assert events == ["b", "a again"]


def test_passing_on_alone_keeps_the_slot() -> None:
    slots = ComputeSlots(1)

    assert slots.enter("a", 1)
    assert slots.pass_on("a", 0)


def test_a_waiter_whose_time_is_over_leaves_the_line_and_no_slot_is_lost() -> None:
    slots = ComputeSlots(1)
    assert slots.enter("a", 1)
    assert not slots.enter("b", 0.01)
    slots.leave()

    assert slots.enter("c", 0)
