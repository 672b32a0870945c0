"""`holdfast top`: what the workers do now."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.host_options import open_client, whole_host_options
from holdfast_host.cli.output import Screen, has_screen, json_option, print_json, say
from holdfast_host.cli.worker_answers import Activity, ShownWorker, Whose, Workers

_EXAMPLES: Final = """\b
Examples:
  holdfast top
  holdfast top --once --limit 100
"""
_DAY_S: Final = 86_400


@click.command("top", epilog=_EXAMPLES)
@click.option("--once", is_flag=True, help="Show it once; so it is where the output is no terminal.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look again.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Rows of each kind.")
@whole_host_options
@json_option
def command(once: bool, interval: float, limit: int, host: str, token_file: Path | None, as_json: bool) -> None:
    """Show what each worker does now, until Ctrl-C: running turns, the longest queues, what waits for the disk.

    It answers while all turns hang. A worker that does not answer is shown with what the host knows of it.
    """
    path = f"/v1/debug/workers?limit={limit}"
    with open_client(host, token_file) as client:
        if as_json:
            print_json(client.get(path, Workers))
        elif once or not has_screen():
            for line in _describe(client.get(path, Workers)):
                say(line)
        else:
            try:
                with Screen() as screen:
                    while True:
                        screen.show([*_describe(client.get(path, Workers)), "", "Ctrl-C ends it."])
                        time.sleep(interval)
            except KeyboardInterrupt:
                return


def _describe(answer: Workers) -> Iterator[str]:
    for worker in answer["workers"]:
        yield from _describe_worker(worker)


def _describe_worker(worker: ShownWorker) -> Iterator[str]:
    head = f"worker {worker['worker']}: {worker['state']}"
    if worker["pid"] is not None:
        head += f", pid {worker['pid']} for {_duration(worker['age_s'])}"
    if worker["deaths"]:
        head += f", died {_count(worker['deaths'], 'time')}"
    activity = worker["activity"]
    if activity is not None:
        head += (
            f", {_count(activity['activations'], 'activation')}, "
            f"{_count(activity['detached'], 'detached thread')}, {activity['waiting_turns']} waiting"
        )
    yield head
    if worker["commit_stalled"]:
        yield "  ITS COMMIT HANGS: look at the disk"
    if worker["shortage"]:
        yield f"  NOTHING MAY GROW: {worker['shortage']}"
    if activity is not None:
        yield from _describe_activity(activity)
    elif worker["state"] == "up":
        yield f"  IT DOES NOT ANSWER: its last sign of life was {_duration(worker['heartbeat_s'])} ago"
        for row in worker["noted"]:
            yield f"  has begun  {_whose(row)}"
        yield from _more(worker["noted_total"], worker["noted"], "others")


def _describe_activity(activity: Activity) -> Iterator[str]:
    for group in activity["groups"]:
        what = f"group {group['group']}" if group["group"] is not None else "sweep"
        since = "gathers" if group["age_s"] is None else f"at the disk for {_duration(group['age_s'])}"
        yield f"  {what}  {since}, {_count(group['turns'], 'turn')}, {group['held']} held back"
    for turn in activity["turns"]:
        for_what = f" of {turn['waits_for']}" if turn["waits_for"] else ""
        place = f"  in {turn['stands']}" if turn["stands"] else ""
        caller = f"  called by {turn['called_by']}" if turn["called_by"] else ""
        runs = f"{_whose(turn)}.{turn['method']}  {_duration(turn['age_s'])}  {turn['state']}{for_what}"
        yield f"  runs  {runs}{place}{caller}"
    yield from _more(activity["turns_total"], activity["turns"], "others run")
    for queue in activity["queues"]:
        oldest = "" if queue["oldest_s"] is None else f", the oldest for {_duration(queue['oldest_s'])}"
        yield f"  queue  {_whose(queue)}  {_count(queue['turns'], 'turn')} waiting{oldest}"
    yield from _more(activity["queues_total"], activity["queues"], "other queues")
    for pool in activity["functions"]:
        yield (
            f"  function  {pool['function']}  {_count(pool['sandboxes'], 'sandbox', 'sandboxes')}, "
            f"{pool['busy']} busy, {pool['waiting']} waiting"
        )
    yield from _more(activity["functions_total"], activity["functions"], "other functions")
    compute, alarms = activity["compute"], activity["alarms"]
    if compute["waiting"]:
        yield f"  {compute['waiting']} turns wait for {_count(compute['slots'], 'processor')}"
    if alarms["under_way"] or alarms["aside"] or alarms["in_line"]:
        yield f"  alarms  {alarms['under_way']} under way, {alarms['aside']} put aside, {alarms['in_line']} in line"
    jobs = activity.get("jobs")
    if jobs is not None and any(jobs.values()):
        yield f"  jobs    {jobs['under_way']} under way, {jobs['aside']} put aside, {jobs['in_line']} in line"


def _more(total: int, shown: Sequence[object], words: str) -> Iterator[str]:
    left = total - len(shown)
    if left > 0:
        yield f"  and {left} {words}"


def _whose(row: Whose) -> str:
    """An instance, or the function that a request is for."""
    return f"{row['type']}/{row['name']}" if row["type"] is not None else f"function {row['function']}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _duration(seconds: float | None) -> str:
    """`0.25 s`, `12 s`, `3 min 20 s`, `2 d 5 h`."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if seconds < _DAY_S else f"{hours // 24} d {hours % 24} h"
