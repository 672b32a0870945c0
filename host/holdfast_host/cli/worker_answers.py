"""What `GET /v1/debug/workers` answers, as far as `holdfast top` shows it; see `answers`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from holdfast_host.cli.answers import Count


class Whose(TypedDict):
    """An instance, by type and name; or, with neither, the function of a request."""

    type: str | None
    name: str | None
    function: str | None


class RunningTurn(Whose):
    """A turn that runs now."""

    method: str
    state: str
    age_s: float
    called_by: str | None
    waits_for: str | None
    stands: str | None


class Queue(Whose):
    """Turns that wait."""

    turns: Count
    oldest_s: float | None


class CommitGroup(TypedDict):
    """What waits for the disk; a sweep has no number, and what gathers no age."""

    group: Count | None
    turns: Count
    held: Count
    age_s: float | None


class FunctionPool(TypedDict):
    """The sandboxes of a function."""

    function: str
    sandboxes: Count
    busy: Count
    waiting: Count


class ComputeSlots(TypedDict):
    """Who computes."""

    slots: Count
    waiting: Count


class AlarmsUnderWay(TypedDict):
    """How many alarms are on their way."""

    under_way: Count
    aside: Count
    in_line: Count


class Activity(TypedDict):
    """What a worker does now."""

    turns: list[RunningTurn]
    turns_total: Count
    queues: list[Queue]
    queues_total: Count
    waiting_turns: Count
    groups: list[CommitGroup]
    detached: Count
    compute: ComputeSlots
    activations: Count
    functions: list[FunctionPool]
    functions_total: Count
    alarms: AlarmsUnderWay
    jobs: NotRequired[AlarmsUnderWay]


class ShownWorker(TypedDict):
    """A worker; without its activity where it does not answer."""

    worker: Count
    pid: Count | None
    state: str
    age_s: float | None
    heartbeat_s: float | None
    deaths: Count
    commit_stalled: bool
    shortage: str | None
    activity: Activity | None
    noted: list[Whose]
    noted_total: Count


class Workers(TypedDict):
    """All of them."""

    workers: list[ShownWorker]
